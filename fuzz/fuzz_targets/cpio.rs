//! An initramfs: segments behind one another, plain and compressed.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tree::{Content, Limits, Provenance};

/// Small, so that a bomb is told by its error and not by the fuzzer's patience.
const LIMITS: Limits = Limits { bytes: 1 << 20, entries: 10_000, paths: 1 << 20 };

fuzz_target!(|data: &[u8]| {
    if let Ok(tree) = tree::cpio::parse("fuzzed", &Content::from(data.to_vec()), LIMITS, &Provenance::new("fuzzing")) {
        liveroot_fuzz::exhaust(&tree);
    }
});
