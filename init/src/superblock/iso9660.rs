//! ECMA-119 (ISO 9660) volume descriptors.

use std::io;

use super::{Device, Fs, Superblock, le16, le32, trimmed};
use crate::contract::BootId;

const SECTOR: u64 = 2048;
/// Descriptors start behind the system area (clause 6.2.1).
const FIRST: u64 = 16;
/// Real images have two to five; the set may be without its terminator.
const DESCRIPTORS_MAX: u64 = 32;
const PRIMARY: u8 = 1;
const TERMINATOR: u8 = 255;

pub(super) fn probe(device: &Device) -> io::Result<Option<Superblock>> {
    for sector in FIRST..FIRST + DESCRIPTORS_MAX {
        let Some(descriptor) = device.read::<2048>(sector * SECTOR)? else { return Ok(None) };
        if &descriptor[1..6] != b"CD001" || descriptor[0] == TERMINATOR {
            return Ok(None);
        }
        if descriptor[0] == PRIMARY {
            return Ok(Some(primary(&descriptor)));
        }
    }
    Ok(None)
}

/// Clause 8.4.
fn primary(descriptor: &[u8; 2048]) -> Superblock {
    let volume_set = &descriptor[190..318];
    let (creation, modification) = (&descriptor[813..830], &descriptor[830..847]);
    let mut uuid = date(modification);
    if uuid.is_empty() {
        uuid = date(creation);
    }
    let mut superblock = Superblock::new(Fs::Iso9660, trimmed(&descriptor[40..72]), uuid);
    // Clause 8.4.8 and 8.4.12, each in both byte orders.
    superblock.len = u64::from(le32(descriptor, 80)) * u64::from(le16(descriptor, 128));
    superblock.boot_id = str::from_utf8(volume_set).ok().and_then(BootId::from_volume_set);
    superblock
}

/// Sixteen digits and a time zone (clause 8.4.26.1), printed as blkid does;
/// empty when it is not set.
fn date(field: &[u8]) -> String {
    let digits = &field[..16];
    let unset = field[16] == 0 && digits.iter().all(|&b| b == b'0');
    if unset || !digits.iter().all(u8::is_ascii_digit) {
        return String::new();
    }
    let mut text = String::new();
    for (n, digit) in digits.iter().enumerate() {
        if matches!(n, 4 | 6 | 8 | 10 | 12 | 14) {
            text.push('-');
        }
        text.push(char::from(*digit));
    }
    text
}
