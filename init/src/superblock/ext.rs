//! ext2, ext3 and ext4: Documentation/filesystems/ext4/super.rst.

use std::io;

use super::{Device, Fs, Superblock, c_str, le16, le32, uuid};

const MAGIC: u16 = 0xef53;
/// 64 KiB, as the logarithm over 1 KiB.
const BLOCK_SIZE_MAX: u32 = 6;
const COMPAT_HAS_JOURNAL: u32 = 0x4;
const INCOMPAT_JOURNAL_DEVICE: u32 = 0x8;
/// filetype, recover and meta_bg: all that the ext3 driver knew.
const INCOMPAT_EXT3: u32 = 0x2 | 0x4 | 0x10;
/// sparse_super, large_file and btree_dir.
const RO_COMPAT_EXT3: u32 = 0x1 | 0x2 | 0x4;

pub(super) fn probe(device: &Device) -> io::Result<Option<Superblock>> {
    let Some(block) = device.read::<1024>(1024)? else { return Ok(None) };
    // Two bytes alone are found by chance: blocks, inodes and a block size that can be are asked for too.
    let plausible = le32(&block, 0) > 0 && le32(&block, 4) > 0 && le32(&block, 0x18) <= BLOCK_SIZE_MAX;
    if le16(&block, 0x38) != MAGIC || !plausible {
        return Ok(None);
    }
    let (compat, incompat, ro_compat) = (le32(&block, 0x5c), le32(&block, 0x60), le32(&block, 0x64));
    if incompat & INCOMPAT_JOURNAL_DEVICE != 0 {
        return Ok(None);
    }
    let fs = if incompat & !INCOMPAT_EXT3 != 0 || ro_compat & !RO_COMPAT_EXT3 != 0 {
        Fs::Ext4
    } else if compat & COMPAT_HAS_JOURNAL != 0 {
        Fs::Ext3
    } else {
        Fs::Ext2
    };
    Ok(Some(Superblock::new(fs, c_str(&block[0x78..0x88]), uuid(&block[0x68..0x78]))))
}
