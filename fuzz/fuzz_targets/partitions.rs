//! The system area, which has MBR and GPT in it, before an image that is
//! sound otherwise.

#![no_main]

use iso::SECTOR;
use iso::read::Iso;
use libfuzzer_sys::fuzz_target;
use liveroot_fuzz::SOUND;
use tree::Content;

fuzz_target!(|data: &[u8]| {
    let mut image = SOUND.0.clone();
    let len = data.len().min(16 * SECTOR);
    image[..len].copy_from_slice(&data[..len]);
    if let Ok(iso) = Iso::open(Content::from(image)) {
        let _ = iso.partitions();
    }
});
