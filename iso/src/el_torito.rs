//! El Torito 1.0: the boot catalog, and what a boot image is told about
//! itself.

use crate::format::{SECTOR, STANDARD_ID, descriptor_type, put};

/// Table 4 of the specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Platform {
    X86 = 0,
    /// UEFI 2.10, 13.3.2.1.
    Efi = 0xEF,
}

/// One bootable image of the catalog, always without emulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CatalogEntry {
    pub(crate) platform: Platform,
    pub(crate) lba: u32,
    /// In units of 512 bytes.
    pub(crate) load_sectors: u16,
}

impl CatalogEntry {
    /// The load size of an image past the field's 32 MiB: firmware then reads
    /// as far as the volume goes.
    pub(crate) const TO_THE_END: u16 = 0;
}

/// The catalog, one sector: a validation entry and the default entry (2.1,
/// 2.2), then a section header and an entry (2.3, 2.4) for each other image.
pub(crate) fn catalog(entries: &[CatalogEntry]) -> Vec<u8> {
    let mut out = vec![0; 32];
    if let Some((default, others)) = entries.split_first() {
        out[0] = 1;
        out[1] = default.platform as u8;
        put(&mut out, 30, &[0x55, 0xAA]);
        // The words of the validation entry add up to nothing (2.1).
        let sum = out.chunks(2).fold(0_u16, |sum, word| sum.wrapping_add(u16::from_le_bytes([word[0], word[1]])));
        put(&mut out, 28, &sum.wrapping_neg().to_le_bytes());
        out.extend(image_entry(*default));
        for (n, other) in others.iter().enumerate() {
            let more_follow = n + 1 < others.len();
            let mut header = [0; 32];
            header[0] = if more_follow { 0x90 } else { 0x91 };
            header[1] = other.platform as u8;
            put(&mut header, 2, &1_u16.to_le_bytes());
            out.extend(header);
            out.extend(image_entry(*other));
        }
    }
    out.resize(SECTOR, 0);
    out
}

/// 2.2 and 2.4: bootable, no emulation, the default load segment.
fn image_entry(entry: CatalogEntry) -> [u8; 32] {
    let mut out = [0; 32];
    out[0] = 0x88;
    put(&mut out, 6, &entry.load_sectors.to_le_bytes());
    put(&mut out, 8, &entry.lba.to_le_bytes());
    out
}

/// Figure 7: what tells El Torito's boot record from others.
pub(crate) const SYSTEM_ID: &[u8] = b"EL TORITO SPECIFICATION";

/// Figure 7: the volume descriptor that leads to the catalog.
pub(crate) fn boot_record(catalog: u32) -> Vec<u8> {
    let mut out = vec![0; SECTOR];
    out[0] = descriptor_type::BOOT_RECORD;
    put(&mut out, 1, STANDARD_ID);
    out[6] = 1;
    put(&mut out, 7, SYSTEM_ID);
    put(&mut out, 0x47, &catalog.to_le_bytes());
    out
}

/// Bytes 8 to 63 of a boot image hold the boot info table (isolinux's
/// core/isolinux.asm, `bi_pvd` to `bi_end`).
const INFO_TABLE: usize = 8;
const INFO_TABLE_END: usize = 64;

/// Where GRUB's grub-core/boot/i386/pc/cdboot.S keeps its own pointer.
const GRUB2_INFO: usize = 2548;
const GRUB2_INFO_END: usize = GRUB2_INFO + 8;

/// What an image is to be told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patch {
    pub(crate) info_table: bool,
    pub(crate) grub2_info: bool,
}

impl Patch {
    /// The shortest image that has room for it.
    pub(crate) fn needs(self) -> u64 {
        let table = if self.info_table { INFO_TABLE_END } else { 0 };
        let grub2 = if self.grub2_info { GRUB2_INFO_END } else { 0 };
        table.max(grub2) as u64
    }

    /// Tells the image at `lba` where it stands. GRUB's pointer comes first:
    /// the table's checksum covers it.
    pub(crate) fn apply(self, image: &mut [u8], lba: u32, primary_descriptor: u32) {
        if self.grub2_info {
            put(image, GRUB2_INFO, &(u64::from(lba) * 4 + 5).to_le_bytes());
        }
        if self.info_table {
            let sum = checksum(&image[INFO_TABLE_END..]);
            let fields = [primary_descriptor, lba, image.len() as u32, sum];
            image[INFO_TABLE..INFO_TABLE_END].fill(0);
            put(image, INFO_TABLE, &fields.map(u32::to_le_bytes).concat());
        }
    }
}

/// The sum of little-endian words, the last one filled up with zeros.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.chunks(4).fold(0, |sum, chunk| {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        sum.wrapping_add(u32::from_le_bytes(word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BIOS: CatalogEntry = CatalogEntry { platform: Platform::X86, lba: 0x1234, load_sectors: 4 };
    const EFI: CatalogEntry = CatalogEntry { platform: Platform::Efi, lba: 0x5678, load_sectors: 0x100 };

    #[test]
    fn the_catalog_is_the_specifications_own_byte_for_byte() {
        let catalog = catalog(&[BIOS, EFI]);
        assert_eq!(catalog.len(), SECTOR);
        assert_eq!(catalog[..4], [1, 0, 0, 0]);
        assert_eq!(catalog[28..32], [0xAA, 0x55, 0x55, 0xAA]);
        assert_eq!(catalog[32..44], [0x88, 0, 0, 0, 0, 0, 4, 0, 0x34, 0x12, 0, 0]);
        assert_eq!(catalog[64..68], [0x91, 0xEF, 1, 0]);
        assert_eq!(catalog[96..108], [0x88, 0, 0, 0, 0, 0, 0, 1, 0x78, 0x56, 0, 0]);
        assert!(catalog[108..].iter().all(|&b| b == 0));
    }

    #[test]
    fn the_validation_entry_adds_up_to_nothing() {
        for entries in [&[BIOS][..], &[EFI], &[BIOS, EFI]] {
            let catalog = catalog(entries);
            assert_eq!(catalog[1], entries[0].platform as u8);
            let words = catalog[..32].chunks(2).map(|w| u16::from_le_bytes([w[0], w[1]]));
            assert_eq!(words.fold(0_u16, u16::wrapping_add), 0);
        }
    }

    #[test]
    fn the_boot_record_leads_to_the_catalog() {
        let record = boot_record(0x0102_0304);
        assert_eq!(&record[..39], b"\0CD001\x01EL TORITO SPECIFICATION\0\0\0\0\0\0\0\0\0");
        assert_eq!(record[71..75], [4, 3, 2, 1]);
    }

    #[test]
    fn a_boot_image_learns_where_it_stands() {
        let mut image = vec![1; 2560 + 3];
        let patch = Patch { info_table: true, grub2_info: true };
        patch.apply(&mut image, 100, 16);
        let word = |at: usize| u32::from_le_bytes(image[at..at + 4].try_into().unwrap());
        assert_eq!([word(8), word(12), word(16)], [16, 100, 2563]);
        assert_eq!(u64::from_le_bytes(image[2548..2556].try_into().unwrap()), 405);
        assert_eq!(word(20), checksum(&image[64..]), "the checksum is taken after GRUB's pointer is in");
        assert!(image[24..64].iter().all(|&b| b == 0) && image[..8] == [1; 8]);
    }

    #[test]
    fn the_checksum_fills_the_last_word_with_zeros() {
        assert_eq!(checksum(&[1, 0, 0, 0, 2]), 3);
        assert_eq!(checksum(&[0xFF; 8]), u32::MAX.wrapping_add(u32::MAX));
    }
}
