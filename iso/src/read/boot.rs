//! The boot catalog, as found (El Torito 1.0, 2).

use tree::ContentAt;

use crate::format::SECTOR;

use super::ReadError;
use super::fields::{u16_le, u32_le};

/// One boot image that firmware is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootEntry {
    /// 0 for BIOS, 0xEF for UEFI.
    pub platform: u8,
    pub bootable: bool,
    /// 0 for none; 1 to 4 for a floppy's or a hard disk's.
    pub emulation: u8,
    /// In units of 512 bytes.
    pub load_sectors: u16,
    pub lba: u32,
}

const ENTRY: usize = 32;

/// Sound catalogs have a handful; this is one sector full.
const ENTRIES_MAX: usize = SECTOR / ENTRY;

/// The catalog at `lba`: validation entry, default entry, then sections.
pub(super) fn entries(at: &ContentAt, image_len: u64, lba: u32) -> Result<Vec<BootEntry>, ReadError> {
    let offset = u64::from(lba) * SECTOR as u64;
    let damaged = |problem| ReadError::Catalog { offset, problem };
    if offset + SECTOR as u64 > image_len {
        return Err(damaged("it stands behind the image's end"));
    }
    let sector = at.read(offset, SECTOR as u64)?;
    let words = sector[..ENTRY].chunks(2).map(|word| u16::from_le_bytes([word[0], word[1]]));
    if sector[0] != 1 || sector[30..32] != [0x55, 0xAA] || words.fold(0, u16::wrapping_add) != 0 {
        return Err(damaged("its validation entry is not valid"));
    }
    let mut found = Vec::new();
    found.extend(entry(sector[1], &sector[ENTRY..2 * ENTRY]));
    let mut section: Option<(u8, u16)> = None;
    for bytes in sector.chunks_exact(ENTRY).take(ENTRIES_MAX).skip(2) {
        section = match (section, bytes[0]) {
            // An extension of the entry before it.
            (same, 0x44) => same,
            (Some((platform, left)), _) if left > 0 => {
                found.extend(entry(platform, bytes));
                Some((platform, left - 1))
            }
            (_, 0x90 | 0x91) => Some((bytes[1], u16_le(bytes, 2).unwrap_or(0))),
            _ => break,
        };
    }
    Ok(found)
}

fn entry(platform: u8, bytes: &[u8]) -> Option<BootEntry> {
    Some(BootEntry {
        platform,
        bootable: bytes[0] == 0x88,
        emulation: bytes[1] & 0x0F,
        load_sectors: u16_le(bytes, 6)?,
        lba: u32_le(bytes, 8)?,
    })
}
