//! Bytes appended one after the other, and counted.

use std::io::{self, Read, Write};

use tree::{Content, TreePath};

use crate::format::SECTOR;
use crate::write::WriteError;

/// Content is read in pieces of this size.
const CHUNK: usize = 256 << 10;

pub(crate) struct Sink<'s> {
    out: &'s mut dyn Write,
    written: u64,
    progress: &'s mut dyn FnMut(u64),
    buffer: Vec<u8>,
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

impl<'s> Sink<'s> {
    /// `progress` is told how many bytes have been written.
    pub(crate) fn new(out: &'s mut dyn Write, progress: &'s mut dyn FnMut(u64)) -> Self {
        Self { out, written: 0, progress, buffer: vec![0; CHUNK] }
    }

    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.written += bytes.len() as u64;
        (self.progress)(self.written);
        Ok(())
    }

    pub(crate) fn content(&mut self, content: &Content) -> Result<(), CopyError> {
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
    pub(crate) fn zeros_to(&mut self, offset: u64) -> io::Result<()> {
        static ZEROS: [u8; 16 * SECTOR] = [0; 16 * SECTOR];
        assert!(self.written <= offset, "{} bytes are written and the next piece belongs at {offset}", self.written);
        while self.written < offset {
            let step = (offset - self.written).min(ZEROS.len() as u64) as usize;
            self.bytes(&ZEROS[..step])?;
        }
        Ok(())
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
