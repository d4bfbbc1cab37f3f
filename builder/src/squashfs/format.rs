//! The numbers of squashfs 4.0 on disk, as the kernel's
//! fs/squashfs/squashfs_fs.h names them. Everything is little-endian.

pub(super) const MAGIC: u32 = 0x7371_7368;
pub(super) const SUPERBLOCK_LEN: u64 = 96;
/// SQUASHFS_METADATA_SIZE: how much of a table one metadata block holds.
pub(super) const METADATA_LEN: usize = 8192;
/// In a metadata block's two-byte header: what follows is stored as it is.
pub(super) const METADATA_RAW: u16 = 1 << 15;
/// SQUASHFS_COMPRESSED_BIT_BLOCK, which is set where a block is *not* compressed.
pub(super) const BLOCK_RAW: u32 = 1 << 24;
/// SQUASHFS_INVALID_BLK: a table that is not there.
pub(super) const NO_TABLE: u64 = u64::MAX;
pub(super) const NO_FRAGMENT: u32 = u32::MAX;
pub(super) const NO_XATTRS: u32 = u32::MAX;
/// SQUASHFS_DIR_COUNT: entries below one directory header.
pub(super) const DIR_COUNT: usize = 256;
/// A directory's size counts `.` and `..`, which are not stored: three bytes.
pub(super) const DOTS_LEN: u32 = 3;
/// Images end on a whole page, or a loop device's last read would fail.
pub(super) const ALIGNMENT: u64 = 4096;
/// The superblock counts ids in 16 bits.
pub(super) const MAX_IDS: usize = u16::MAX as usize;

pub(super) mod flags {
    pub(in crate::squashfs) const RAW_INODES: u16 = 1;
    pub(in crate::squashfs) const RAW_DATA: u16 = 1 << 1;
    pub(in crate::squashfs) const RAW_FRAGMENTS: u16 = 1 << 3;
    /// Files over one block have their ends in fragments too.
    pub(in crate::squashfs) const ALWAYS_FRAGMENTS: u16 = 1 << 5;
    pub(in crate::squashfs) const DEDUPLICATED: u16 = 1 << 6;
    pub(in crate::squashfs) const EXPORTABLE: u16 = 1 << 7;
    pub(in crate::squashfs) const RAW_XATTRS: u16 = 1 << 8;
    pub(in crate::squashfs) const NO_XATTRS: u16 = 1 << 9;
    pub(in crate::squashfs) const CODEC_OPTIONS: u16 = 1 << 10;
    pub(in crate::squashfs) const RAW_IDS: u16 = 1 << 11;
}

/// The basic inode types; an extended one is seven more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Type {
    Dir = 1,
    File = 2,
    Symlink = 3,
    BlockDevice = 4,
    CharDevice = 5,
    Fifo = 6,
    Socket = 7,
}

impl Type {
    pub(super) fn basic(self) -> u16 {
        self as u16
    }

    pub(super) fn extended(self) -> u16 {
        self as u16 + 7
    }
}

/// struct squashfs_super_block, without what never varies.
#[derive(Debug, Default)]
pub(super) struct Superblock {
    pub(super) inodes: u32,
    pub(super) mkfs_time: u32,
    pub(super) block_size: u32,
    pub(super) fragments: u32,
    pub(super) codec: u16,
    pub(super) flags: u16,
    pub(super) ids: u16,
    pub(super) root_inode: u64,
    pub(super) bytes_used: u64,
    pub(super) id_table: u64,
    pub(super) xattr_table: u64,
    pub(super) inode_table: u64,
    pub(super) directory_table: u64,
    pub(super) fragment_table: u64,
    pub(super) export_table: u64,
}

impl Superblock {
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(SUPERBLOCK_LEN as usize);
        for word in [MAGIC, self.inodes, self.mkfs_time, self.block_size, self.fragments] {
            out.extend(word.to_le_bytes());
        }
        let block_log = self.block_size.trailing_zeros() as u16;
        for half in [self.codec, block_log, self.flags, self.ids, 4, 0] {
            out.extend(half.to_le_bytes());
        }
        let tables = [self.id_table, self.xattr_table, self.inode_table, self.directory_table];
        let more = [self.fragment_table, self.export_table];
        for long in [self.root_inode, self.bytes_used].into_iter().chain(tables).chain(more) {
            out.extend(long.to_le_bytes());
        }
        out
    }
}

/// Where something starts within a table: the metadata block's own offset in
/// the table, and the offset in what the block unpacks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Position {
    pub(super) block: u32,
    pub(super) offset: u16,
}

impl Position {
    /// As inode references and xattr references are written.
    pub(super) fn reference(self) -> u64 {
        u64::from(self.block) << 16 | u64::from(self.offset)
    }
}
