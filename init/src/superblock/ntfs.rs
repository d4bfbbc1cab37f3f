//! NTFS: fs/ntfs3/ntfs.h, `struct NTFS_BOOT` and `struct MFT_REC`.

use std::io;

use super::more::utf16;
use super::{Device, Fs, Superblock, le16, le32};

/// The number of `$Volume` among the records of the master file table.
const VOLUME: u64 = 3;
const VOLUME_NAME: u32 = 0x60;
const END: u32 = u32::MAX;

pub(super) fn probe(device: &Device) -> io::Result<Option<Superblock>> {
    let Some(boot) = device.read::<512>(0)? else { return Ok(None) };
    if &boot[3..11] != b"NTFS    " || le16(&boot, 510) != 0xaa55 {
        return Ok(None);
    }
    let label = match volume_record(&boot) {
        Some(offset) => device.read::<1024>(offset)?.and_then(|record| volume_name(&record)),
        None => None,
    };
    let serial = format!("{:016X}", le64(&boot, 72));
    Ok(Some(Superblock::new(Fs::Ntfs, label.unwrap_or_default(), serial)))
}

/// Where on the device; `None` when the boot sector makes no sense.
fn volume_record(boot: &[u8; 512]) -> Option<u64> {
    // Counts from 0x80 up are negative logarithms.
    let sectors_per_cluster = match boot[13] {
        count @ 0..=0x80 => u64::from(count),
        log @ 0x81.. => 1_u64.checked_shl(u32::from(log.wrapping_neg()))?,
    };
    let cluster = sectors_per_cluster.checked_mul(u64::from(le16(boot, 11)))?;
    let record = match boot[64] {
        count @ 0..0x80 => cluster.checked_mul(u64::from(count))?,
        log => 1_u64.checked_shl(u32::from(log.wrapping_neg()))?,
    };
    le64(boot, 48).checked_mul(cluster)?.checked_add(record.checked_mul(VOLUME)?)
}

fn volume_name(record: &[u8; 1024]) -> Option<Vec<u8>> {
    if &record[..4] != b"FILE" {
        return None;
    }
    let mut attributes = record.get(usize::from(le16(record, 20))..)?;
    while attributes.len() >= 24 && le32(attributes, 0) != END {
        let (kind, len, resident) = (le32(attributes, 0), le32(attributes, 4) as usize, attributes[8] == 0);
        if kind == VOLUME_NAME && resident {
            let (len, start) = (le32(attributes, 16) as usize, usize::from(le16(attributes, 20)));
            return attributes.get(start..)?.get(..len).map(utf16);
        }
        // An attribute of no length would be found again for ever.
        attributes = attributes.get(len.max(24)..)?;
    }
    None
}

fn le64(bytes: &[u8], at: usize) -> u64 {
    u64::from(le32(bytes, at)) | u64::from(le32(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot(per_cluster: u8, per_record: u8, mft: u64) -> [u8; 512] {
        let mut boot = [0; 512];
        boot[11..13].copy_from_slice(&512_u16.to_le_bytes());
        boot[13] = per_cluster;
        boot[48..56].copy_from_slice(&mft.to_le_bytes());
        boot[64] = per_record;
        boot
    }

    #[test]
    fn the_volume_record_is_where_the_boot_sector_says() {
        assert_eq!(volume_record(&boot(8, 0xf6, 4)), Some(4 * 4096 + 3 * 1024));
        assert_eq!(volume_record(&boot(1, 2, 100)), Some(100 * 512 + 3 * 1024));
        // 64 KiB and 2 MiB clusters.
        assert_eq!(volume_record(&boot(0x80, 0xf6, 1)), Some(65_536 + 3 * 1024));
        assert_eq!(volume_record(&boot(0xf4, 0xf6, 1)), Some((2 << 20) + 3 * 1024));
        for nonsense in [boot(0xff, 0x80, 1), boot(8, 0xf6, u64::MAX), boot(0x81, 1, 1)] {
            assert_eq!(volume_record(&nonsense), None);
        }
    }

    #[test]
    fn the_label_is_the_value_of_its_attribute() {
        let mut record = [0; 1024];
        record[..4].copy_from_slice(b"FILE");
        record[20] = 56;
        // Another attribute, of 32 bytes, comes first.
        record[56] = 0x10;
        record[60] = 32;
        record[88] = 0x60;
        record[92] = 32;
        record[104] = 4;
        record[108] = 24;
        record[112..116].copy_from_slice(&[b'H', 0, 0xe9, 0]);
        assert_eq!(volume_name(&record), Some("H\u{e9}".as_bytes().to_vec()));
        for at in 0..128 {
            for value in [0, 1, 0x80, 0xff] {
                let mut damaged = record;
                damaged[at] = value;
                let _ = volume_name(&damaged);
            }
        }
        record[92] = 0;
        record[88] = 0x10;
        assert_eq!(volume_name(&record), None);
    }
}
