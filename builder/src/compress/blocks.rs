//! Codecs whose stream is a row of blocks, each packed on its own: lz4's
//! legacy frame and, with what stands before a block as its dictionary, gzip.

use std::io::{self, Write};
use std::num::NonZero;
use std::thread;

/// Packs one block, given what stands before it: up to [`Blocks::behind`] bytes.
pub(super) type Pack = fn(level: u32, before: &[u8], block: &[u8]) -> io::Result<Vec<u8>>;

/// Cuts what is written into blocks, packs as many at once as there are
/// threads, and writes them in order.
pub(super) struct Blocks<W: Write> {
    pub(super) out: W,
    pub(super) threads: NonZero<usize>,
    pub(super) len: usize,
    pub(super) behind: usize,
    pub(super) level: u32,
    pub(super) pack: Pack,
    /// Dictionary, then what is not packed yet.
    pub(super) pending: Vec<u8>,
    /// Of `pending`, the dictionary's length.
    pub(super) dictionary: usize,
}

impl<W: Write> Blocks<W> {
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.pack_pending()?;
        Ok(self.out)
    }

    fn pack_pending(&mut self) -> io::Result<()> {
        let Self { len, behind, level, pack, dictionary, ref pending, .. } = *self;
        let starts: Vec<usize> = (dictionary..pending.len()).step_by(len).collect();
        let one = |start: usize| {
            let before = &pending[start.saturating_sub(behind)..start];
            pack(level, before, &pending[start..pending.len().min(start + len)])
        };
        let packed: Vec<io::Result<Vec<u8>>> = thread::scope(|scope| {
            let workers: Vec<_> = starts.iter().map(|&start| scope.spawn(move || one(start))).collect();
            workers.into_iter().map(|worker| worker.join().expect("a codec does not panic")).collect()
        });
        for block in packed {
            self.out.write_all(&block?)?;
        }
        let keep = self.pending.len().saturating_sub(behind);
        self.pending.drain(..keep);
        self.dictionary = self.pending.len();
        Ok(())
    }
}

impl<W: Write> Write for Blocks<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let room = self.dictionary + self.len * self.threads.get() - self.pending.len();
        let taken = buf.len().min(room);
        self.pending.extend_from_slice(&buf[..taken]);
        if taken == room {
            self.pack_pending()?;
        }
        Ok(taken)
    }

    /// Blocks have one length: what is not a whole one stays until the end.
    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
