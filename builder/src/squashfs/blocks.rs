//! The ordered pipeline: one thread reads blocks, several pack them, and the
//! caller's thread writes them in the order they were read.
//!
//! A fixed number of buffers goes round, and that bounds the memory: who wants
//! to read waits until something has been written.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use super::format::BLOCK_RAW;
use super::{Options, SquashfsError};

/// What a thread of the pipeline does with blocks. It belongs to that thread,
/// and what comes out must depend on the block alone.
pub(super) trait Pack {
    /// How many bytes of `out`, which is as long as the block, the packed block
    /// takes; `None` if the block is written as it is.
    fn pack(&mut self, block: &[u8], out: &mut [u8]) -> io::Result<Option<usize>>;
}

/// Room for one block, as it was read and as it was packed.
pub(super) struct Buffer {
    block: Box<[u8]>,
    len: usize,
    packed: Box<[u8]>,
}

impl Buffer {
    fn new(block_size: usize) -> Self {
        Self { block: vec![0; block_size].into(), len: 0, packed: vec![0; block_size].into() }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.block[..self.len]
    }

    /// All of the room, to be filled; the first `len` bytes will count.
    pub(super) fn fill(&mut self, len: usize) -> &mut [u8] {
        self.len = len;
        &mut self.block[..len]
    }

    /// False if there is no room for them.
    pub(super) fn append(&mut self, bytes: &[u8]) -> bool {
        let end = self.len + bytes.len();
        if end > self.block.len() {
            return false;
        }
        self.block[self.len..end].copy_from_slice(bytes);
        self.len = end;
        true
    }
}

struct Job {
    number: usize,
    buffer: Buffer,
}

struct Done {
    number: usize,
    buffer: Buffer,
    /// How long the packed block is; `None` if it is written as it is.
    packed: io::Result<Option<usize>>,
}

/// The reading end.
pub(super) struct Feed {
    free: Receiver<Buffer>,
    spare: Vec<Buffer>,
    jobs: Sender<Job>,
    sent: usize,
}

impl Feed {
    /// An empty buffer, once there is one.
    pub(super) fn buffer(&mut self) -> Result<Buffer, SquashfsError> {
        let mut buffer = match self.spare.pop() {
            Some(buffer) => buffer,
            None => self.free.recv().map_err(|_| SquashfsError::Stopped)?,
        };
        buffer.len = 0;
        Ok(buffer)
    }

    /// Takes back a buffer whose block is not wanted.
    pub(super) fn keep(&mut self, buffer: Buffer) {
        self.spare.push(buffer);
    }

    /// Sends a block on its way; returns its number, counted from 0.
    pub(super) fn send(&mut self, buffer: Buffer) -> Result<usize, SquashfsError> {
        let number = self.sent;
        self.jobs.send(Job { number, buffer }).map_err(|_| SquashfsError::Stopped)?;
        self.sent += 1;
        Ok(number)
    }
}

/// What has gone through so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Passed {
    /// Bytes of blocks, before packing.
    pub read: u64,
    /// Bytes written.
    pub written: u64,
}

/// Runs `feed` and writes what it sends to `out`, each thread with a packer of
/// its own. Returns what `feed` did and, for each block, the word that squashfs
/// keeps of it.
pub(super) fn run<T: Send, P: Pack>(
    options: &Options,
    out: &mut impl Write,
    packer: impl Fn() -> io::Result<P> + Sync,
    feed: impl FnOnce(&mut Feed) -> Result<T, SquashfsError> + Send,
    watch: &mut dyn FnMut(Passed),
) -> Result<(T, Vec<u32>), SquashfsError> {
    let jobs = options.jobs.max(1);
    let (free, free_buffers) = channel();
    // One being packed and one waiting a thread, one being read, one being
    // written and the open fragment.
    for _ in 0..2 * jobs + 3 {
        free.send(Buffer::new(options.block_size.bytes())).expect("its receiver is right here");
    }
    let (job_sender, waiting) = channel();
    let waiting = Mutex::new(waiting);
    let (done_sender, done) = channel();
    thread::scope(|scope| {
        for _ in 0..jobs {
            let (packer, waiting, done) = (&packer, &waiting, done_sender.clone());
            scope.spawn(move || pack(packer(), waiting, &done));
        }
        drop(done_sender);
        let reader = scope.spawn(move || {
            let mut ends = Feed { free: free_buffers, spare: Vec::new(), jobs: job_sender, sent: 0 };
            feed(&mut ends)
        });
        let words = write_in_order(&done, &free, out, watch);
        // After an error this is what brings every thread to its end.
        drop((done, free));
        let fed = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let words = words?;
        Ok((fed?, words))
    })
}

fn pack(mut packer: io::Result<impl Pack>, waiting: &Mutex<Receiver<Job>>, done: &Sender<Done>) {
    loop {
        // The lock is held while waiting: one waits for a job, the rest for it.
        let job = waiting.lock().expect("nobody panics with the lock").recv();
        let Ok(Job { number, mut buffer }) = job else { return };
        let packed = match &mut packer {
            Ok(packer) => {
                let (block, out) = (&buffer.block[..buffer.len], &mut buffer.packed[..buffer.len]);
                // A block that never arrives would be waited for for ever. Its
                // error ends the run, and nobody looks at the packer again.
                catch_unwind(AssertUnwindSafe(|| packer.pack(block, out)))
                    .unwrap_or_else(|_| Err(io::Error::other("a thread that packs has panicked")))
            }
            Err(e) => Err(io::Error::new(e.kind(), e.to_string())),
        };
        if done.send(Done { number, buffer, packed }).is_err() {
            return;
        }
    }
}

fn write_in_order(
    done: &Receiver<Done>,
    free: &Sender<Buffer>,
    out: &mut impl Write,
    watch: &mut dyn FnMut(Passed),
) -> Result<Vec<u32>, SquashfsError> {
    let mut words = Vec::new();
    let mut early = BTreeMap::new();
    let mut passed = Passed::default();
    for block in done {
        early.insert(block.number, block);
        while let Some(Done { buffer, packed, .. }) = early.remove(&words.len()) {
            let packed = packed.map_err(SquashfsError::Codec)?;
            let (bytes, raw) = match packed {
                Some(len) => (&buffer.packed[..len], 0),
                None => (buffer.bytes(), BLOCK_RAW),
            };
            out.write_all(bytes).map_err(SquashfsError::Write)?;
            words.push(bytes.len() as u32 | raw);
            passed.read += buffer.len as u64;
            passed.written += bytes.len() as u64;
            watch(passed);
            // A reader that is done with reading wants no more buffers.
            let _ = free.send(buffer);
        }
    }
    Ok(words)
}

/// The length on disk that a block's word tells.
pub(super) fn len_on_disk(word: u32) -> u64 {
    u64::from(word & !BLOCK_RAW)
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::squashfs::codecs::Encoder;

    fn options(jobs: usize) -> Options {
        Options { jobs, block_size: "4K".parse().unwrap(), ..Options::new("zstd:1".parse().unwrap()) }
    }

    fn encoder() -> io::Result<Encoder> {
        Encoder::new(options(1).compression, options(1).block_size)
    }

    #[test]
    fn blocks_come_out_in_the_order_they_went_in() {
        let feed = |feed: &mut Feed| {
            for n in 0..500_u32 {
                let mut buffer = feed.buffer()?;
                let len = 1 + (n as usize * 977) % 4096;
                buffer.fill(len).iter_mut().enumerate().for_each(|(i, byte)| *byte = (i as u32 / (n + 1)) as u8);
                assert_eq!(feed.send(buffer)?, n as usize);
            }
            Ok(())
        };
        let mut one = Vec::new();
        let ((), words) = run(&options(1), &mut one, encoder, feed, &mut |_| ()).unwrap();
        assert_eq!((words.len(), words.iter().map(|w| len_on_disk(*w)).sum::<u64>()), (500, one.len() as u64));
        for jobs in [2, 4, 16] {
            let mut many = Vec::new();
            let ((), same) = run(&options(jobs), &mut many, encoder, feed, &mut |_| ()).unwrap();
            assert!(same == words && many == one, "{jobs} threads");
        }
    }

    fn endless(feed: &mut Feed) -> Result<(), SquashfsError> {
        loop {
            let mut buffer = feed.buffer()?;
            buffer.fill(4096);
            feed.send(buffer)?;
        }
    }

    #[test]
    fn a_panic_in_a_packing_thread_is_an_error_and_stalls_nobody() {
        struct Panics(u32);
        impl Pack for Panics {
            fn pack(&mut self, _: &[u8], _: &mut [u8]) -> io::Result<Option<usize>> {
                self.0 += 1;
                assert!(self.0 < 20, "as a codec with a bug does");
                Ok(None)
            }
        }
        let failed = run(&options(3), &mut Vec::new(), || Ok(Panics(0)), endless, &mut |_| ());
        assert!(matches!(failed, Err(SquashfsError::Codec(_))), "{failed:?}");
    }

    #[test]
    fn a_full_disk_stops_the_reader() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let failed = run(&options(4), &mut Full, encoder, endless, &mut |_| ());
        assert!(matches!(failed, Err(SquashfsError::Write(_))), "{failed:?}");
    }

    #[test]
    fn a_reader_that_fails_ends_the_run() {
        let fails = |feed: &mut Feed| -> Result<(), SquashfsError> {
            let buffer = feed.buffer()?;
            feed.send(buffer)?;
            Err(SquashfsError::TooMany { what: "tests", limit: 1 })
        };
        let failed = run(&options(2), &mut Vec::new(), encoder, fails, &mut |_| ());
        assert!(matches!(failed, Err(SquashfsError::TooMany { .. })), "{failed:?}");
    }
}
