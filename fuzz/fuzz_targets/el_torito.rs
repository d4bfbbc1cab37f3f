//! A boot catalog in an image that is sound otherwise. The validation entry's
//! sum is made right, or nothing would be read behind it.

#![no_main]

use iso::SECTOR;
use iso::read::Iso;
use libfuzzer_sys::fuzz_target;
use liveroot_fuzz::SOUND;
use tree::Content;

fuzz_target!(|data: &[u8]| {
    let (mut image, at) = SOUND.clone();
    let catalog = &mut image[at..at + SECTOR];
    let len = data.len().min(SECTOR);
    catalog[..len].copy_from_slice(&data[..len]);
    catalog[28..30].fill(0);
    let words = catalog[..32].chunks(2).map(|word| u16::from_le_bytes([word[0], word[1]]));
    let sum = words.fold(0, u16::wrapping_add).wrapping_neg();
    catalog[28..30].copy_from_slice(&sum.to_le_bytes());
    if let Ok(iso) = Iso::open(Content::from(image)) {
        let _ = iso.boot_entries();
    }
});
