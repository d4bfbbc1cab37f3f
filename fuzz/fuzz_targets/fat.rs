//! A whole FAT image.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tree::Content;

fuzz_target!(|data: &[u8]| {
    if let Ok(tree) = iso::fat::read(&Content::from(data.to_vec())) {
        liveroot_fuzz::exhaust(&tree);
    }
});
