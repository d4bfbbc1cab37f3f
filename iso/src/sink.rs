//! Bytes appended one after the other: one thread gathers them in blocks while
//! another writes the blocks before, so that neither the disk that is read nor
//! the one that is written waits for the other.

use std::io::{self, Read, Write};
use std::panic;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread;

use tree::{Content, TreePath};

use crate::write::WriteError;

/// Measured on Linux 6.18 with ext4: writes of 1 MiB took five times the system
/// time that these take.
const BLOCK: usize = 256 << 10;

/// Blocks that may wait for their writing.
const WAITING: usize = 8;

pub(crate) struct Sink {
    block: Vec<u8>,
    filled: usize,
    handed_over: u64,
    full: SyncSender<Block>,
    written: Receiver<Vec<u8>>,
}

struct Block {
    bytes: Vec<u8>,
    filled: usize,
}

pub(crate) enum CopyError {
    Reading(io::Error),
    Writing(io::Error),
}

impl CopyError {
    pub(crate) fn reading(self, path: &TreePath) -> WriteError {
        match self {
            Self::Reading(source) => WriteError::Content { path: path.clone(), source },
            Self::Writing(source) => WriteError::Output(source),
        }
    }
}

/// Writes to `out` what `fill` appends; `progress` is told how many bytes have
/// been written.
pub(crate) fn write(
    out: &mut dyn Write,
    progress: &mut dyn FnMut(u64),
    fill: impl FnOnce(&mut Sink) -> Result<(), WriteError> + Send,
) -> Result<(), WriteError> {
    let (full, to_write) = mpsc::sync_channel(WAITING);
    let (emptied, written) = mpsc::channel();
    thread::scope(|scope| {
        let filler = thread::Builder::new().name("iso-read".into()).spawn_scoped(scope, move || {
            let mut sink = Sink { block: vec![0; BLOCK], filled: 0, handed_over: 0, full, written };
            fill(&mut sink)?;
            sink.hand_over().map_err(WriteError::Output)
        });
        let filler = filler.map_err(WriteError::Output)?;
        let wrote = write_blocks(to_write, &emptied, out, progress);
        let filled = filler.join().unwrap_or_else(|panic| panic::resume_unwind(panic));
        // Where both failed, the filler did because nobody took its blocks.
        wrote.map_err(WriteError::Output).and(filled)
    })
}

fn write_blocks(
    to_write: Receiver<Block>,
    emptied: &Sender<Vec<u8>>,
    out: &mut dyn Write,
    progress: &mut dyn FnMut(u64),
) -> io::Result<()> {
    let mut done = 0;
    for Block { bytes, filled } in to_write {
        out.write_all(&bytes[..filled])?;
        done += filled as u64;
        progress(done);
        // A filler that has ended wants no more of them.
        let _ = emptied.send(bytes);
    }
    out.flush()
}

impl Sink {
    pub(crate) fn position(&self) -> u64 {
        self.handed_over + self.filled as u64
    }

    pub(crate) fn bytes(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = self.room()?;
            let (now, later) = bytes.split_at(bytes.len().min(room.len()));
            room[..now.len()].copy_from_slice(now);
            self.filled += now.len();
            bytes = later;
        }
        Ok(())
    }

    pub(crate) fn content(&mut self, content: &Content) -> Result<(), CopyError> {
        let mut reader = content.reader().map_err(CopyError::Reading)?;
        let mut left = content.len();
        while left > 0 {
            let room = self.room().map_err(CopyError::Writing)?;
            let want = left.min(room.len() as u64) as usize;
            reader.read_exact(&mut room[..want]).map_err(CopyError::Reading)?;
            self.filled += want;
            left -= want as u64;
        }
        Ok(())
    }

    /// Fills up to the planned place of the next piece.
    pub(crate) fn zeros_to(&mut self, offset: u64) -> io::Result<()> {
        let at = self.position();
        assert!(at <= offset, "{at} bytes are appended and the next piece belongs at {offset}");
        let mut left = offset - at;
        while left > 0 {
            let room = self.room()?;
            let now = left.min(room.len() as u64) as usize;
            room[..now].fill(0);
            self.filled += now;
            left -= now as u64;
        }
        Ok(())
    }

    /// Where the next bytes go: at least one.
    fn room(&mut self) -> io::Result<&mut [u8]> {
        if self.filled == self.block.len() {
            self.hand_over()?;
        }
        Ok(&mut self.block[self.filled..])
    }

    fn hand_over(&mut self) -> io::Result<()> {
        let next = self.written.try_recv().unwrap_or_else(|_| vec![0; BLOCK]);
        let block = Block { bytes: std::mem::replace(&mut self.block, next), filled: self.filled };
        self.handed_over += self.filled as u64;
        self.filled = 0;
        self.full.send(block).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes `room` bytes, and then no more.
    struct Full {
        room: usize,
    }

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.room = self.room.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn append(bytes: &'static [u8], times: u64) -> impl FnOnce(&mut Sink) -> Result<(), WriteError> + Send {
        move |sink| (0..times).try_for_each(|_| sink.bytes(bytes)).map_err(WriteError::Output)
    }

    #[test]
    fn blocks_arrive_whole_and_in_order() {
        let times = 3 * BLOCK as u64;
        let (mut out, mut told) = (Vec::new(), Vec::new());
        write(&mut out, &mut |written| told.push(written), append(b"liveroot", times)).unwrap();
        assert!(out.chunks(8).all(|chunk| chunk == b"liveroot"));
        assert_eq!((out.len() as u64, told.last()), (8 * times, Some(&(8 * times))));
        assert!(told.is_sorted());
    }

    #[test]
    fn a_full_disk_is_named_and_stops_the_reading() {
        for room in [0, BLOCK, 3 * BLOCK] {
            let error = write(&mut Full { room }, &mut |_| {}, append(b"12345678", u64::MAX)).unwrap_err();
            assert!(matches!(&error, WriteError::Output(e) if e.kind() == io::ErrorKind::StorageFull), "{error:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let gone = TreePath::new("/gone").unwrap();
        let fill = |sink: &mut Sink| {
            let content = Content::host(std::path::PathBuf::from("/nonexistent/gone"), 3);
            sink.content(&content).map_err(|e| e.reading(&gone))
        };
        let error = write(&mut Vec::new(), &mut |_| {}, fill).unwrap_err();
        assert!(matches!(&error, WriteError::Content { path, .. } if *path == gone), "{error:?}");
    }
}
