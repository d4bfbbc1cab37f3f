//! Partition tables: what they call a partition.

use std::io;
use std::os::unix::fs::FileExt;

use super::more::utf16;
use super::{Device, le16, le32, uuid};

/// Logical sectors of disks that are partitioned.
const SECTORS: [u64; 3] = [512, 4096, 2048];
/// UEFI specification 2.10, clause 5.3.3: an entry has 128 bytes times a power of two.
const ENTRY_MAX: u32 = 4096;
/// Of the four primary entries, behind the boot code.
const MBR_ENTRIES: usize = 446;
const PROTECTIVE: u8 = 0xee;

/// Empty where the table has no such thing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Partition {
    /// As blkid(8) prints it: of a GPT its GUID, of an MBR the disk's signature and the number.
    pub uuid: String,
    pub label: Vec<u8>,
}

/// The partition of that number, counted from 1, by the table of its `disk`.
pub fn partition(disk: &impl FileExt, size: u64, number: u32) -> io::Result<Partition> {
    let device = Device { device: disk, size };
    let Some(mbr) = device.read::<512>(0)? else { return Ok(Partition::default()) };
    if le16(&mbr, 510) != 0xaa55 || number == 0 {
        return Ok(Partition::default());
    }
    // As the kernel: a hybrid's MBR has a protective entry among others.
    if mbr[MBR_ENTRIES..510].chunks_exact(16).any(|entry| entry[4] == PROTECTIVE) {
        for sector in SECTORS {
            if let Some(found) = gpt(&device, sector, number)? {
                return Ok(found);
            }
        }
    }
    let signature = le32(&mbr, 440);
    let uuid = if signature == 0 { String::new() } else { format!("{signature:08x}-{number:02x}") };
    Ok(Partition { uuid, label: Vec::new() })
}

/// UEFI specification 2.10, clause 5.3. The kernel has looked at its check sums.
fn gpt(device: &Device, sector: u64, number: u32) -> io::Result<Option<Partition>> {
    let Some(header) = device.read::<512>(sector)? else { return Ok(None) };
    let (entries, size) = (le32(&header, 80), le32(&header, 84));
    let sound = header.starts_with(b"EFI PART") && number <= entries && (128..=ENTRY_MAX).contains(&size);
    let first = u64::from(le32(&header, 72)) | u64::from(le32(&header, 76)) << 32;
    let offset = first.checked_mul(sector).and_then(|at| at.checked_add(u64::from(number - 1) * u64::from(size)));
    let (true, Some(offset)) = (sound, offset) else { return Ok(None) };
    let Some(entry) = device.read::<128>(offset)? else { return Ok(None) };
    Ok(Some(Partition { uuid: guid(&entry[16..32]), label: utf16(&entry[56..128]) }))
}

/// Appendix A: the first three fields are little-endian.
fn guid(bytes: &[u8]) -> String {
    let mut ordered = [0; 16];
    for (to, from) in [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15].into_iter().enumerate() {
        ordered[to] = bytes[from];
    }
    uuid(&ordered)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUID: [u8; 16] =
        [0xa2, 0xa0, 0xd0, 0xeb, 0xe5, 0xb9, 0x33, 0x44, 0x87, 0xc0, 0x68, 0xb6, 0xb7, 0x26, 0x99, 0xc7];

    struct Bytes(Vec<u8>);

    impl FileExt for Bytes {
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            let from = self.0.get(offset as usize..).unwrap_or_default();
            let len = from.len().min(buffer.len());
            buffer[..len].copy_from_slice(&from[..len]);
            Ok(len)
        }

        fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
            Err(io::ErrorKind::ReadOnlyFilesystem.into())
        }
    }

    fn mbr(kind: u8) -> Vec<u8> {
        let mut disk = vec![0; 64 << 10];
        disk[440..444].copy_from_slice(&0x1234_abcd_u32.to_le_bytes());
        disk[MBR_ENTRIES + 4] = kind;
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        disk
    }

    fn gpt(sector: usize, entries: u32, entry_size: u32) -> Vec<u8> {
        let mut disk = mbr(PROTECTIVE);
        disk[sector..sector + 8].copy_from_slice(b"EFI PART");
        disk[sector + 72] = 2;
        disk[sector + 80..sector + 84].copy_from_slice(&entries.to_le_bytes());
        disk[sector + 84..sector + 88].copy_from_slice(&entry_size.to_le_bytes());
        let second = 2 * sector + 128;
        disk[second + 16..second + 32].copy_from_slice(&GUID);
        disk[second + 56..second + 60].copy_from_slice(&[b'p', 0, 0xe9, 0]);
        disk
    }

    fn read(disk: Vec<u8>, number: u32) -> (String, Vec<u8>) {
        let size = disk.len() as u64;
        let found = partition(&Bytes(disk), size, number).unwrap();
        (found.uuid, found.label)
    }

    #[test]
    fn a_partition_is_called_as_blkid_calls_it() {
        let named = || ("ebd0a0a2-b9e5-4433-87c0-68b6b72699c7".to_owned(), "p\u{e9}".into());
        for sector in [512, 2048, 4096] {
            assert_eq!(read(gpt(sector, 4, 128), 2), named(), "{sector}");
        }
        assert_eq!(read(mbr(0x83), 5), ("1234abcd-05".to_owned(), vec![]));
    }

    #[test]
    fn a_table_that_makes_no_sense_calls_nothing() {
        let nothing = (String::new(), vec![]);
        assert_eq!(read(vec![0; 1024], 1), nothing);
        assert_eq!(read(vec![], 1), nothing);
        assert_eq!(read(mbr(0x83), 0), nothing);
        for (entries, size) in [(1, 128), (4, 64), (4, u32::MAX), (0, 0)] {
            assert_eq!(read(gpt(512, entries, size), 2).1, nothing.1, "{entries} {size}");
        }
        let mut far = gpt(512, 4, 128);
        far[512 + 72..512 + 80].fill(0xff);
        assert_eq!(read(far, 2).1, nothing.1);
    }
}
