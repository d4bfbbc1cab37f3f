//! zlib streams, which is what squashfs calls gzip.

use std::io;

use libdeflater::{CompressionLvl, Compressor};

/// zlib's largest window, 32 KiB: what every reader allows for.
pub(super) const WINDOW_BITS: u32 = 15;

pub(in crate::squashfs) struct Gzip {
    state: Compressor,
}

impl Gzip {
    pub(super) fn new(level: u32) -> io::Result<Self> {
        let level =
            CompressionLvl::new(level as i32).map_err(|_| io::Error::other(format!("no gzip level {level}")))?;
        Ok(Self { state: Compressor::new(level) })
    }

    pub(super) fn encode(&mut self, block: &[u8], out: &mut [u8]) -> Option<usize> {
        // The one error there is says that `out` is too small.
        self.state.zlib_compress(block, out).ok()
    }
}
