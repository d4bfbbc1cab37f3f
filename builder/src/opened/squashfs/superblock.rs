//! The superblock and what it promises (kernel: fs/squashfs/squashfs_fs.h,
//! `struct squashfs_super_block`).

use super::fields::{u16_le, u32_le, u64_le};
use super::{Codec, ReadError};

pub const MAGIC: &[u8] = b"hsqs";
pub(super) const LEN: u64 = 96;
/// In place of the start of a table that the image does not have.
const ABSENT: u64 = u64::MAX;
/// `SQUASHFS_FILE_MAX_SIZE`.
const BLOCK_MAX: u32 = 1 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Superblock {
    pub codec: Codec,
    pub block_size: u32,
    pub inodes: u32,
    pub mtime: u32,
    /// The image without what pads it to a multiple of 4 KiB.
    pub len: u64,
    pub(super) ids: u16,
    pub(super) fragments: u32,
    pub(super) root: u64,
    pub(super) inode_table: u64,
    pub(super) dir_table: u64,
    pub(super) id_table: u64,
    pub(super) fragment_table: Option<u64>,
    pub(super) xattr_table: Option<u64>,
}

impl Superblock {
    /// Every table lies within the image, and inodes before directories, as
    /// the kernel demands (fs/squashfs/super.c, `squashfs_fill_super`).
    pub(super) fn parse(bytes: &[u8], image_len: u64) -> Result<Self, ReadError> {
        let short = ReadError::NotSquashfs("its superblock is cut short");
        let Some(bytes) = bytes.first_chunk::<{ LEN as usize }>() else { return Err(short) };
        if !bytes.starts_with(MAGIC) {
            return Err(ReadError::NotSquashfs("it does not begin with `hsqs`"));
        }
        let version = (u16_le(bytes, 28), u16_le(bytes, 30));
        if version != (4, 0) {
            return Err(ReadError::NotSquashfs("its version is not 4.0"));
        }
        let table = |at| Some(u64_le(bytes, at)).filter(|&start| start != ABSENT);
        let fragments = u32_le(bytes, 16);
        let found = Self {
            codec: Codec::from_id(u16_le(bytes, 20))?,
            block_size: u32_le(bytes, 12),
            inodes: u32_le(bytes, 4),
            mtime: u32_le(bytes, 8),
            len: u64_le(bytes, 40),
            ids: u16_le(bytes, 26),
            fragments,
            root: u64_le(bytes, 32),
            inode_table: u64_le(bytes, 64),
            dir_table: u64_le(bytes, 72),
            id_table: u64_le(bytes, 48),
            fragment_table: table(80).filter(|_| fragments > 0),
            xattr_table: table(56),
        };
        found.check(u16_le(bytes, 22), image_len).map_err(|problem| ReadError::Damaged { offset: 0, problem })?;
        if found.len > image_len {
            return Err(ReadError::CutShort { len: image_len, wanted: found.len });
        }
        Ok(found)
    }

    fn check(&self, block_log: u16, image_len: u64) -> Result<(), &'static str> {
        let Self { block_size, inode_table, dir_table, id_table, len, .. } = *self;
        if !block_size.is_power_of_two() || !(4096..=BLOCK_MAX).contains(&block_size) {
            return Err("its block size is no power of two from 4 KiB to 1 MiB");
        }
        if u32::from(block_log) != block_size.trailing_zeros() {
            return Err("its block size and the logarithm of that contradict each other");
        }
        if self.ids == 0 || self.inodes == 0 {
            return Err("it has no owners or no inodes");
        }
        let optional = [self.fragment_table, self.xattr_table].into_iter().flatten();
        if [inode_table, dir_table, id_table].into_iter().chain(optional).any(|start| start < LEN || start >= len) {
            return Err("a table stands outside of it");
        }
        if inode_table >= dir_table || dir_table > id_table {
            return Err("its tables are not in order");
        }
        // The length is held against the image's by the caller, who tells a cut from damage.
        if len.saturating_sub(image_len) > 1 << 50 {
            return Err("its length cannot be");
        }
        Ok(())
    }
}
