//! Bare lz4 blocks: no frame, no length.

use lz4::block::{CompressionMode, compress_to_buffer};

/// LZ4HC_CLEVEL_MAX, the level that mksquashfs's `-Xhc` means.
const HIGH_LEVEL: i32 = 12;

pub(in crate::squashfs) struct Lz4 {
    mode: CompressionMode,
}

impl Lz4 {
    pub(super) fn new(high: bool) -> Self {
        Self { mode: if high { CompressionMode::HIGHCOMPRESSION(HIGH_LEVEL) } else { CompressionMode::DEFAULT } }
    }

    pub(super) fn encode(&mut self, block: &[u8], out: &mut [u8]) -> Option<usize> {
        // The one error a valid call can give is that `out` is too small.
        compress_to_buffer(block, Some(self.mode), false, out).ok()
    }
}
