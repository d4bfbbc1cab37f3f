//! A whole squashfs.

#![no_main]

use builder::opened::squashfs;
use libfuzzer_sys::fuzz_target;
use tree::Content;

fuzz_target!(|data: &[u8]| {
    if let Ok(tree) = squashfs::tree(&Content::from(data.to_vec())) {
        liveroot_fuzz::exhaust(&tree);
    }
});
