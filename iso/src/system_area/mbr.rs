//! The master boot record.

use super::{DISK_SECTOR, HEADS, SECTORS_PER_TRACK};
use crate::StartCode;
use crate::format::put;

/// What is left for code below the pointer, the disk's id and the table.
const CODE_LEN: usize = 432;

/// Partition types.
pub(crate) mod kind {
    /// Nothing that a system would look into.
    pub(crate) const EMPTY: u8 = 0;
    /// "Hidden NTFS": what isohybrid images have been using since syslinux
    /// 3.72, so that nothing takes the partition for its own.
    pub(crate) const HIDDEN: u8 = 0x17;
    /// UEFI 2.10, 5.2.3: a GPT protects the disk.
    pub(crate) const PROTECTIVE: u8 = 0xEE;
    /// UEFI 2.10, 5.2.2: an EFI system partition.
    pub(crate) const ESP: u8 = 0xEF;
}

/// An entry of the partition table, in sectors of 512 bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Partition {
    pub(crate) active: bool,
    pub(crate) kind: u8,
    pub(crate) start: u64,
    pub(crate) sectors: u64,
}

/// Code with the pointer it needs: its boot image stands at sector `lba` of
/// the disc.
pub(crate) fn start(code: &StartCode, lba: u32) -> Vec<u8> {
    let first = u64::from(lba) * 4;
    let (bytes, pointer) = match code {
        // mbr/isohdpfx.S: the boot image's first sector.
        StartCode::Isohdpfx(bytes) => (bytes, first),
        // grub-core/boot/i386/pc/boot.S, HYBRID_BOOT: past cdboot.img.
        StartCode::BootHybrid(bytes) => (bytes, first + 4),
    };
    let mut out = vec![0; CODE_LEN + 8];
    put(&mut out, 0, &bytes[..CODE_LEN]);
    put(&mut out, CODE_LEN, &pointer.to_le_bytes());
    out
}

/// How long the file with a start code is.
pub(crate) fn expected_len(code: &StartCode) -> usize {
    match code {
        StartCode::Isohdpfx(_) => CODE_LEN,
        StartCode::BootHybrid(_) => DISK_SECTOR as usize,
    }
}

/// The whole sector, with what [`start`] made or nothing, and at most four
/// partitions.
pub(crate) fn mbr(start: &[u8], disk_id: u32, partitions: &[Partition]) -> Vec<u8> {
    let mut out = vec![0; DISK_SECTOR as usize];
    put(&mut out, 0, start);
    put(&mut out, 440, &disk_id.to_le_bytes());
    for (partition, entry) in partitions.iter().zip(out[446..510].chunks_exact_mut(16)) {
        entry.copy_from_slice(&partition.entry());
    }
    put(&mut out, 510, &[0x55, 0xAA]);
    out
}

impl Partition {
    fn entry(self) -> [u8; 16] {
        let mut out = [0; 16];
        out[0] = if self.active { 0x80 } else { 0 };
        put(&mut out, 1, &chs(self.start));
        out[4] = self.kind;
        put(&mut out, 5, &chs(self.start + self.sectors - 1));
        put(&mut out, 8, &saturated(self.start).to_le_bytes());
        put(&mut out, 12, &saturated(self.sectors).to_le_bytes());
        out
    }
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
        let whole = Partition { active: true, kind: kind::HIDDEN, start: 0, sectors: 3 * 2048 };
        let code = start(&StartCode::Isohdpfx(vec![0x90; 432]), 0x1234);
        let mbr = mbr(&code, 0xDDCC_BBAA, &[whole]);
        assert_eq!(mbr.len(), 512);
        assert_eq!(mbr[431..446], [0x90, 0xD0, 0x48, 0, 0, 0, 0, 0, 0, 0xAA, 0xBB, 0xCC, 0xDD, 0, 0]);
        assert_eq!(mbr[446..462], [0x80, 0, 1, 0, 0x17, 63, 32, 2, 0, 0, 0, 0, 0, 0x18, 0, 0]);
        assert!(mbr[462..510].iter().all(|&b| b == 0));
        assert_eq!(mbr[510..], [0x55, 0xAA]);
    }

    #[test]
    fn grub_is_led_past_its_first_sectors() {
        let code = start(&StartCode::BootHybrid(vec![0x90; 512]), 0x1234);
        assert_eq!(code[431..], [0x90, 0xD4, 0x48, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn addresses_past_the_last_cylinder_are_saturated() {
        assert_eq!(chs(0), [0, 1, 0]);
        assert_eq!(chs(1024 * 2048 - 1), [63, 0xC0 | 32, 0xFF]);
        assert_eq!(chs(u64::MAX), [63, 0xC0 | 32, 0xFF]);
        assert_eq!(saturated(1 << 40), u32::MAX);
    }
}
