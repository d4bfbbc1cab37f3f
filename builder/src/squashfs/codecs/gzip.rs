//! zlib streams, which is what squashfs calls gzip.

use std::io;

use flate2::{Compress, Compression, FlushCompress, Status};

/// zlib's largest window, 32 KiB: what every reader allows for.
pub(super) const WINDOW_BITS: u32 = 15;

pub(in crate::squashfs) struct Gzip {
    state: Compress,
}

impl Gzip {
    pub(super) fn new(level: u32) -> Self {
        Self { state: Compress::new(Compression::new(level), true) }
    }

    pub(super) fn encode(&mut self, block: &[u8], out: &mut [u8]) -> io::Result<Option<usize>> {
        self.state.reset();
        let status = self.state.compress(block, out, FlushCompress::Finish)?;
        Ok((status == Status::StreamEnd).then(|| self.state.total_out() as usize))
    }
}
