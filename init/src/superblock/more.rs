//! File systems that say who they are in one place: a magic, a label, a UUID.

use std::io;

use super::{Device, Fs, Superblock, c_str, le16, le32, uuid};

/// Documentation/filesystems/squashfs.rst; only major version 4 can be mounted.
pub(super) fn squashfs(device: &Device) -> io::Result<Option<Superblock>> {
    let Some(block) = device.read::<96>(0)? else { return Ok(None) };
    let known = &block[..4] == b"hsqs" && le16(&block, 28) == 4;
    Ok(known.then(|| Superblock::new(Fs::Squashfs, Vec::new(), String::new())))
}

/// The LUKS2 On-Disk Format Specification, 3.1; LUKS1 has the same magic and UUID, and no label.
pub(super) fn luks(device: &Device) -> io::Result<Option<Superblock>> {
    let Some(block) = device.read::<208>(0)? else { return Ok(None) };
    if &block[..6] != b"LUKS\xba\xbe" {
        return Ok(None);
    }
    let label = if block[7] == 2 { c_str(&block[24..72]) } else { Vec::new() };
    let uuid = String::from_utf8_lossy(&c_str(&block[168..208])).into_owned();
    Ok(Some(Superblock::new(Fs::Luks, label, uuid)))
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
pub(super) fn utf16(bytes: &[u8]) -> Vec<u8> {
    let units = bytes.chunks_exact(2).map(|pair| le16(pair, 0)).take_while(|&unit| unit != 0);
    char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect::<String>().into_bytes()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::super::probe;
    use super::*;

    /// Bytes at an offset.
    type Piece<'a> = (u64, &'a [u8]);

    /// A device of zeros but for these.
    struct Sparse<'a>(&'a [Piece<'a>]);

    impl FileExt for Sparse<'_> {
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            for (n, byte) in buffer.iter_mut().enumerate() {
                let at = offset + n as u64;
                let here = self.0.iter().rev().find_map(|(start, bytes)| bytes.get(at.checked_sub(*start)? as usize));
                *byte = here.copied().unwrap_or_default();
            }
            Ok(buffer.len())
        }

        fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
            Err(io::ErrorKind::ReadOnlyFilesystem.into())
        }
    }

    const ID: &[u8] = &[0x4f, 0x05, 0x9f, 0x4c, 0x34, 0x0c, 0x41, 0x34, 0x88, 0x53, 0x77, 0x54, 0x47, 0x0d, 0x65, 0x24];

    /// Offsets as mkfs of each wrote them, which blkid read in the same way.
    #[test]
    fn each_is_known_by_its_magic_with_label_and_uuid() {
        let id = "4f059f4c-340c-4134-8853-7754470d6524";
        let rows: [(Fs, &str, &str, &[Piece]); 8] = [
            (Fs::Xfs, "xlabel", id, &[(0, b"XFSB"), (32, ID), (108, b"xlabel")]),
            (Fs::Erofs, "elabel", id, &[(1024, &[0xe2, 0xe1, 0xf5, 0xe0]), (1072, ID), (1088, b"elabel")]),
            (Fs::F2fs, "f\u{e9}", id, &[(1024, &[0x10, 0x20, 0xf5, 0xf2]), (1132, ID), (1148, b"f\0\xe9\0")]),
            (Fs::Btrfs, "blabel", id, &[(0x10040, b"_BHRfS_M"), (0x10020, ID), (0x1012b, b"blabel")]),
            (Fs::Squashfs, "", "", &[(0, b"hsqs"), (28, &[4])]),
            (Fs::Luks, "secret", id, &[(0, b"LUKS\xba\xbe"), (7, &[2]), (24, b"secret"), (168, id.as_bytes())]),
            (
                Fs::Ntfs,
                "",
                "048428033B3A710F",
                &[(3, b"NTFS    "), (72, &[0x0f, 0x71, 0x3a, 0x3b, 0x03, 0x28, 0x84, 0x04]), (510, &[0x55, 0xaa])],
            ),
            (
                Fs::Exfat,
                "ex",
                "FBA5-ADB5",
                &[
                    (3, b"EXFAT   "),
                    (88, &[16, 0, 0, 0]),
                    (96, &[4, 0, 0, 0]),
                    (100, &[0xb5, 0xad, 0xa5, 0xfb]),
                    (108, &[9, 1]),
                    (510, &[0x55, 0xaa]),
                    // Cluster 4, the third, behind the allocation bitmap's entry.
                    (20 * 512, &[0x81]),
                    (20 * 512 + 32, &[0x83, 2, b'e', 0, b'x', 0, b'-']),
                ],
            ),
        ];
        for (fs, label, uuid, bytes) in rows {
            let found = probe(&Sparse(bytes), 1 << 20).unwrap();
            assert_eq!(found, Some(Superblock::new(fs, label.into(), uuid.into())), "{}", fs.name());
            let known: Vec<_> = bytes[1..].to_vec();
            assert_eq!(probe(&Sparse(&known), 1 << 20).unwrap(), None, "{} without its magic", fs.name());
        }
    }

    #[test]
    fn what_an_exfat_claims_is_bounded() {
        for (at, value) in [(88, 0xff), (96, 0xff), (96, 0), (108, 0xff), (109, 0xff)] {
            let magic: [Piece; 3] = [(3, b"EXFAT   "), (510, &[0x55, 0xaa]), (at, &[value, value, value, value])];
            assert_eq!(probe(&Sparse(&magic), u64::MAX).unwrap().unwrap().label, b"", "{value} at {at}");
        }
    }
}
