//! A layout as bytes, appended in order: the output may be a pipe.

use std::io::{self, Read, Write};

use tree::{Content, TreePath};

use crate::Layout;
use crate::format::{APPLICATION_USE, SECTOR, SYSTEM_AREA_SECTORS, put};
use crate::layout::Piece;
use crate::media_sum::MediaSum;

#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("cannot write the image")]
    Output(#[source] io::Error),
    #[error("cannot read {path} for the image")]
    Content { path: TreePath, source: io::Error },
    #[error("cannot read the ESP for the image")]
    Esp(#[source] io::Error),
}

/// Content is read in pieces of this size.
const CHUNK: usize = 256 << 10;

impl Layout<'_> {
    /// Appends the whole image to `out`; `progress` is told from time to time
    /// how many bytes have been written.
    pub fn write(&self, out: &mut dyn Write, progress: &mut dyn FnMut(u64)) -> Result<(), WriteError> {
        let mut media_sum = None;
        if self.media_sum {
            // The sum stands before what it is the sum of.
            let mut hasher = MediaSum::new(self.len());
            self.append(&mut hasher, &mut |_| {}, None)?;
            media_sum = Some(hasher.finish());
        }
        self.append(out, progress, media_sum.as_deref())
    }

    fn append(
        &self,
        out: &mut dyn Write,
        progress: &mut dyn FnMut(u64),
        media_sum: Option<&str>,
    ) -> Result<(), WriteError> {
        let mut sink = Sink { out, written: 0, progress, buffer: vec![0; CHUNK] };
        for placed in &self.pieces {
            sink.zeros_to(u64::from(placed.extent.lba) * SECTOR as u64).map_err(WriteError::Output)?;
            let start = sink.written;
            match &placed.piece {
                Piece::Bytes(bytes) => sink.bytes(bytes).map_err(WriteError::Output)?,
                Piece::PrimaryDescriptor(bytes) => {
                    let mut bytes = bytes.clone();
                    if let (Some(sum), SYSTEM_AREA_SECTORS) = (media_sum, placed.extent.lba) {
                        put(&mut bytes, APPLICATION_USE.start, sum.as_bytes());
                    }
                    sink.bytes(&bytes).map_err(WriteError::Output)?;
                }
                Piece::Directory { volume, directory } => {
                    sink.bytes(&self.render_directory(*volume, *directory)).map_err(WriteError::Output)?;
                }
                Piece::File { path, content } => sink.content(content).map_err(|e| e.reading(path))?,
                Piece::BootImage { path, content, patch } => {
                    let reading = |source| WriteError::Content { path: (*path).clone(), source };
                    let mut image = content.read_all(content.len()).map_err(reading)?;
                    patch.apply(&mut image, placed.extent.lba, SYSTEM_AREA_SECTORS);
                    sink.bytes(&image).map_err(WriteError::Output)?;
                }
                Piece::Appended(content) => sink.content(content).map_err(|e| match e {
                    CopyError::Reading(source) => WriteError::Esp(source),
                    CopyError::Writing(source) => WriteError::Output(source),
                })?,
            }
            assert_eq!(sink.written - start, placed.extent.len, "{placed:?} has the length it was planned with");
        }
        sink.zeros_to(self.len()).map_err(WriteError::Output)?;
        sink.out.flush().map_err(WriteError::Output)
    }
}

struct Sink<'s> {
    out: &'s mut dyn Write,
    written: u64,
    progress: &'s mut dyn FnMut(u64),
    buffer: Vec<u8>,
}

enum CopyError {
    Reading(io::Error),
    Writing(io::Error),
}

impl CopyError {
    fn reading(self, path: &TreePath) -> WriteError {
        match self {
            Self::Reading(source) => WriteError::Content { path: path.clone(), source },
            Self::Writing(source) => WriteError::Output(source),
        }
    }
}

impl Sink<'_> {
    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.written += bytes.len() as u64;
        (self.progress)(self.written);
        Ok(())
    }

    fn content(&mut self, content: &Content) -> Result<(), CopyError> {
        let mut reader = content.open().map_err(CopyError::Reading)?;
        let mut left = content.len();
        while left > 0 {
            let want = left.min(CHUNK as u64) as usize;
            let mut chunk = std::mem::take(&mut self.buffer);
            let result = reader.read_exact(&mut chunk[..want]).map_err(CopyError::Reading);
            let result = result.and_then(|()| self.bytes(&chunk[..want]).map_err(CopyError::Writing));
            self.buffer = chunk;
            result?;
            left -= want as u64;
        }
        Ok(())
    }

    /// Fills up to the planned place of the next piece.
    fn zeros_to(&mut self, offset: u64) -> io::Result<()> {
        static ZEROS: [u8; 16 * SECTOR] = [0; 16 * SECTOR];
        assert!(self.written <= offset, "{} bytes are written and the next piece belongs at {offset}", self.written);
        while self.written < offset {
            let step = (offset - self.written).min(ZEROS.len() as u64) as usize;
            self.bytes(&ZEROS[..step])?;
        }
        Ok(())
    }
}
