//! File systems that say who they are in one place: a magic, a label, a UUID.

use std::io;

use super::{Device, Fs, Superblock, c_str, le16, le32, uuid};

/// Documentation/filesystems/squashfs.rst; only major version 4 can be mounted.
pub(super) fn squashfs(device: &Device) -> io::Result<Option<Superblock>> {
    let Some(block) = device.read::<96>(0)? else { return Ok(None) };
    let known = &block[..4] == b"hsqs" && le16(&block, 28) == 4;
    Ok(known.then(|| Superblock::new(Fs::Squashfs, Vec::new(), String::new())))
}

/// struct erofs_super_block of fs/erofs/erofs_fs.h.
pub(super) fn erofs(device: &Device) -> io::Result<Option<Superblock>> {
    let Some(block) = device.read::<128>(1024)? else { return Ok(None) };
    let known = le32(&block, 0) == 0xe0f5_e1e2;
    Ok(known.then(|| Superblock::new(Fs::Erofs, c_str(&block[64..80]), uuid(&block[48..64]))))
}

/// struct xfs_dsb of fs/xfs/libxfs/xfs_format.h.
pub(super) fn xfs(device: &Device) -> io::Result<Option<Superblock>> {
    let Some(block) = device.read::<512>(0)? else { return Ok(None) };
    let known = &block[..4] == b"XFSB";
    Ok(known.then(|| Superblock::new(Fs::Xfs, c_str(&block[108..120]), uuid(&block[32..48]))))
}

/// struct f2fs_super_block of include/linux/f2fs_fs.h.
pub(super) fn f2fs(device: &Device) -> io::Result<Option<Superblock>> {
    let Some(block) = device.read::<1148>(1024)? else { return Ok(None) };
    let known = le32(&block, 0) == 0xf2f5_2010;
    Ok(known.then(|| Superblock::new(Fs::F2fs, utf16(&block[124..1148]), uuid(&block[108..124]))))
}

/// struct btrfs_super_block of include/uapi/linux/btrfs_tree.h.
pub(super) fn btrfs(device: &Device) -> io::Result<Option<Superblock>> {
    let Some(block) = device.read::<1024>(64 << 10)? else { return Ok(None) };
    let known = &block[64..72] == b"_BHRfS_M";
    Ok(known.then(|| Superblock::new(Fs::Btrfs, c_str(&block[299..555]), uuid(&block[32..48]))))
}

/// The label of NTFS is in the contents of file 3, behind attributes and
/// mapping pairs, and so is not read: media on NTFS are found by UUID or path.
pub(super) fn ntfs(device: &Device) -> io::Result<Option<Superblock>> {
    let Some(block) = device.read::<512>(0)? else { return Ok(None) };
    let serial = u64::from_le_bytes(std::array::from_fn(|n| block[72 + n]));
    let known = &block[3..11] == b"NTFS    " && le16(&block, 510) == 0xaa55;
    Ok(known.then(|| Superblock::new(Fs::Ntfs, Vec::new(), format!("{serial:016X}"))))
}

/// Microsoft's exFAT specification 1.00, clauses 3.1 and 7.3.
pub(super) fn exfat(device: &Device) -> io::Result<Option<Superblock>> {
    const LABEL: u8 = 0x83;
    let Some(block) = device.read::<512>(0)? else { return Ok(None) };
    if &block[3..11] != b"EXFAT   " || le16(&block, 510) != 0xaa55 {
        return Ok(None);
    }
    let (heap, root, serial) = (le32(&block, 88), le32(&block, 96), le32(&block, 100));
    let (sector_shift, cluster_shift) = (block[108], block[109]);
    let mut label = Vec::new();
    if let (9..=12, 0..=16, 2..) = (sector_shift, cluster_shift, root) {
        let cluster = u64::from(root - 2) << cluster_shift;
        let directory = (u64::from(heap) + cluster) << sector_shift;
        // mkfs and Windows both put it among the first entries.
        for entry in 0..16 {
            match device.read::<32>(directory + entry * 32)? {
                Some(entry) if entry[0] == LABEL => {
                    label = utf16(&entry[2..2 + 2 * usize::from(entry[1].min(11))]);
                }
                Some(entry) if entry[0] != 0 => continue,
                _ => {}
            }
            break;
        }
    }
    let uuid = format!("{:04X}-{:04X}", serial >> 16, serial & 0xffff);
    Ok(Some(Superblock::new(Fs::Exfat, label, uuid)))
}

/// Little-endian, up to the first NUL, as UTF-8.
fn utf16(bytes: &[u8]) -> Vec<u8> {
    let units = bytes.chunks_exact(2).map(|pair| le16(pair, 0)).take_while(|&unit| unit != 0);
    char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect::<String>().into_bytes()
}
