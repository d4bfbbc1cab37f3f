//! An image from its volume descriptors on: the system area before them is
//! `partitions`' matter.

#![no_main]

use iso::SECTOR;
use iso::read::{Iso, Names};
use libfuzzer_sys::fuzz_target;
use tree::Content;

fuzz_target!(|data: &[u8]| {
    let image = [&[0; 16 * SECTOR], data].concat();
    let Ok(iso) = Iso::open(Content::from(image)) else { return };
    let _ = iso.boot_entries();
    for names in [Names::RockRidge, Names::Joliet, Names::Plain] {
        if let Ok(tree) = iso.tree_with(names) {
            liveroot_fuzz::exhaust(&tree);
        }
    }
});
