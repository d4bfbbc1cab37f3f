//! One zstd frame a block; its window never exceeds the block, because the
//! encoder knows the block's length.

use std::io;

use zstd::bulk::Compressor;

pub(in crate::squashfs) struct Zstd {
    context: Compressor<'static>,
}

impl Zstd {
    pub(super) fn new(level: u32) -> io::Result<Self> {
        Ok(Self { context: Compressor::new(level as i32)? })
    }

    pub(super) fn encode(&mut self, block: &[u8], out: &mut [u8]) -> Option<usize> {
        // The one error a valid call can give is that `out` is too small.
        self.context.compress_to_buffer(block, out).ok()
    }
}
