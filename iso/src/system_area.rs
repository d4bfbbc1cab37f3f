//! The first 32 KiB, which ISO 9660 leaves to others: the MBR.

use crate::format::put;

/// What is left for code below the pointer, the disk's id and the table.
pub(crate) const MBR_CODE_LEN: usize = 432;

/// A stick's own sector.
const DISK_SECTOR: u64 = 512;

/// The geometry that a partition table of 64 heads and 32 sectors tells: one
/// cylinder is 1 MiB. BIOSes that guess the geometry guess it from there, and
/// want whole cylinders.
const HEADS: u64 = 64;
const SECTORS_PER_TRACK: u64 = 32;
pub(crate) const CYLINDER: u64 = HEADS * SECTORS_PER_TRACK * DISK_SECTOR;

/// "Hidden NTFS": what isohybrid images have been using since syslinux 3.72,
/// so that nothing takes the partition for its own.
const HIDDEN: u8 = 0x17;

/// An MBR with one active partition over all `image_len` bytes, for
/// syslinux's `isohdpfx.bin`, which finds the boot image's first 512-byte
/// sector at 432 (mbr/isohdpfx.S).
pub(crate) fn isohybrid(code: &[u8], boot_image: u32, disk_id: u32, image_len: u64) -> Vec<u8> {
    let mut out = vec![0; 512];
    put(&mut out, 0, code);
    put(&mut out, 432, &(u64::from(boot_image) * 4).to_le_bytes());
    put(&mut out, 440, &disk_id.to_le_bytes());
    put(&mut out, 446, &partition(HIDDEN, 0, image_len / DISK_SECTOR));
    put(&mut out, 510, &[0x55, 0xAA]);
    out
}

/// An active entry of the partition table.
fn partition(kind: u8, start: u64, sectors: u64) -> [u8; 16] {
    let mut out = [0; 16];
    out[0] = 0x80;
    put(&mut out, 1, &chs(start));
    out[4] = kind;
    put(&mut out, 5, &chs(start + sectors - 1));
    put(&mut out, 8, &saturated(start).to_le_bytes());
    put(&mut out, 12, &saturated(sectors).to_le_bytes());
    out
}

/// An MBR counts 2 TiB; more is told as that much.
fn saturated(sectors: u64) -> u32 {
    u32::try_from(sectors).unwrap_or(u32::MAX)
}

/// Cylinder, head and sector; past 1024 cylinders the last address there is.
fn chs(sector: u64) -> [u8; 3] {
    let cylinder = sector / (HEADS * SECTORS_PER_TRACK);
    if cylinder > 1023 {
        return [(HEADS - 1) as u8, 0xC0 | SECTORS_PER_TRACK as u8, 0xFF];
    }
    let head = sector / SECTORS_PER_TRACK % HEADS;
    let within = sector % SECTORS_PER_TRACK + 1;
    [head as u8, (cylinder >> 8 << 6) as u8 | within as u8, cylinder as u8]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mbr_leads_to_the_boot_image() {
        let mbr = isohybrid(&[0x90; MBR_CODE_LEN], 0x1234, 0xDDCC_BBAA, 3 * CYLINDER);
        assert_eq!(mbr.len(), 512);
        assert_eq!(mbr[431..446], [0x90, 0xD0, 0x48, 0, 0, 0, 0, 0, 0, 0xAA, 0xBB, 0xCC, 0xDD, 0, 0]);
        assert_eq!(mbr[446..462], [0x80, 0, 1, 0, 0x17, 63, 32, 2, 0, 0, 0, 0, 0, 0x18, 0, 0]);
        assert!(mbr[462..510].iter().all(|&b| b == 0));
        assert_eq!(mbr[510..], [0x55, 0xAA]);
    }

    #[test]
    fn addresses_past_the_last_cylinder_are_saturated() {
        assert_eq!(chs(0), [0, 1, 0]);
        assert_eq!(chs(1024 * 2048 - 1), [63, 0xC0 | 32, 0xFF]);
        assert_eq!(chs(u64::MAX), [63, 0xC0 | 32, 0xFF]);
        assert_eq!(saturated(1 << 40), u32::MAX);
    }
}
