//! [`Content`]: a regular file's bytes, re-openable, with a length that is
//! known before the first byte is read.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// Cheap to clone; reads nothing until [`Content::open`].
#[derive(Debug, Clone)]
pub struct Content(Source);

#[derive(Debug, Clone)]
enum Source {
    Bytes(Arc<[u8]>),
    /// A file of the host, opened anew for each reading: a tree of 400,000
    /// files must not need 400,000 descriptors.
    Host {
        path: Arc<Path>,
        len: u64,
    },
    /// A stretch of a file that is held open: the member of an archive.
    Span {
        file: Arc<File>,
        name: Arc<str>,
        offset: u64,
        len: u64,
    },
}

impl Source {
    fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Host { len, .. } | Self::Span { len, .. } => *len,
        }
    }
}

impl Content {
    /// A file of the host that had `len` bytes when it was looked at.
    pub fn host(path: impl Into<Arc<Path>>, len: u64) -> Self {
        Self(Source::Host { path: path.into(), len })
    }

    /// `len` bytes at `offset` of an open file; `name` is for messages.
    pub fn span(file: Arc<File>, name: impl Into<Arc<str>>, offset: u64, len: u64) -> Self {
        Self(Source::Span { file, name: name.into(), offset, len })
    }

    pub fn len(&self) -> u64 {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A reader that gives exactly [`Content::len`] bytes or an error that
    /// names the file: one that shrank or grew since it was looked at would
    /// otherwise shift everything an encoder has already placed.
    pub fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(match &self.0 {
            Source::Bytes(bytes) => Box::new(Cursor::new(bytes.clone())),
            Source::Host { path, len } => Box::new(open_host(path, *len)?),
            Source::Span { file, name, offset, len } => {
                Box::new(SpanReader { file: file.clone(), name: name.clone(), at: *offset, end: offset + len })
            }
        })
    }

    /// For who needs a few stretches of a large file and not the rest of it.
    pub fn open_at(&self) -> io::Result<ContentAt> {
        Ok(ContentAt(match &self.0 {
            Source::Bytes(bytes) => Held::Bytes(bytes.clone()),
            Source::Host { path, len } => Held::File(open_host(path, *len)?),
            Source::Span { file, name, offset, len } => {
                Held::File(SpanReader { file: file.clone(), name: name.clone(), at: *offset, end: offset + len })
            }
        }))
    }

    /// All of it in memory; refuses more than `limit` bytes.
    pub fn read_all(&self, limit: u64) -> io::Result<Vec<u8>> {
        if self.len() > limit {
            let text = format!("{} bytes, and at most {limit} are read here", self.len());
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
        }
        let mut bytes = Vec::with_capacity(self.len() as usize);
        self.open()?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Source::Bytes(bytes.into()))
    }
}

impl From<&'static [u8]> for Content {
    fn from(bytes: &'static [u8]) -> Self {
        Self(Source::Bytes(bytes.into()))
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

/// A [`Content`] held open for reading at any offset.
#[derive(Debug)]
pub struct ContentAt(Held);

#[derive(Debug)]
enum Held {
    Bytes(Arc<[u8]>),
    File(SpanReader),
}

impl ContentAt {
    /// The bytes of `at..at + len`, or an error if they are not all there:
    /// nothing is allocated for a stretch that ends behind the content.
    pub fn read(&self, at: u64, len: u64) -> io::Result<Vec<u8>> {
        let total = match &self.0 {
            Held::Bytes(bytes) => bytes.len() as u64,
            Held::File(span) => span.end - span.at,
        };
        let Some(end) = at.checked_add(len).filter(|&end| end <= total) else {
            let text = format!("{len} bytes at offset {at} are asked for, and there are {total} bytes in all");
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        };
        match &self.0 {
            Held::Bytes(bytes) => Ok(bytes[at as usize..end as usize].to_vec()),
            Held::File(SpanReader { file, name, at: start, .. }) => {
                let mut bytes = vec![0; len as usize];
                file.read_exact_at(&mut bytes, start + at).map_err(|e| match e.kind() {
                    io::ErrorKind::UnexpectedEof => changed(name, total),
                    kind => io::Error::new(kind, format!("{name}: {e}")),
                })?;
                Ok(bytes)
            }
        }
    }
}

fn open_host(path: &Path, len: u64) -> io::Result<SpanReader> {
    let named = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
    let file = File::open(path).map_err(named)?;
    if file.metadata().map_err(named)?.len() != len {
        return Err(changed(&path.display(), len));
    }
    Ok(SpanReader { file: Arc::new(file), name: path.to_string_lossy().into(), at: 0, end: len })
}

fn changed(name: &dyn std::fmt::Display, len: u64) -> io::Error {
    let text = format!("{name}: changed while it was being packed (it had {len} bytes); build again");
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[derive(Debug)]
struct SpanReader {
    file: Arc<File>,
    name: Arc<str>,
    at: u64,
    end: u64,
}

impl Read for SpanReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let want = (self.end - self.at).min(buf.len() as u64) as usize;
        if want == 0 {
            return Ok(0);
        }
        let got = self
            .file
            .read_at(&mut buf[..want], self.at)
            .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", self.name)))?;
        if got == 0 {
            return Err(changed(&self.name, self.end));
        }
        self.at += got as u64;
        Ok(got)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_file_that_changed_is_an_error_naming_it() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"12345").unwrap();
        let content = Content::host(file.path(), 5);
        assert_eq!(content.read_all(10).unwrap(), b"12345");
        assert_eq!(content.read_all(10).unwrap(), b"12345", "content is re-openable");
        file.write_all(b"6").unwrap();
        let error = content.read_all(10).unwrap_err().to_string();
        assert!(error.contains(file.path().to_str().unwrap()), "{error}");
    }

    #[test]
    fn a_span_that_ends_early_is_an_error() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        let file = Arc::new(file);
        assert_eq!(Content::span(file.clone(), "x.tar", 2, 3).read_all(9).unwrap(), b"234");
        assert!(Content::span(file.clone(), "x.tar", 8, 5).read_all(9).is_err());
        assert!(Content::span(file, "x.tar", 0, 10).read_all(9).is_err(), "the limit holds");
    }

    #[test]
    fn stretches_are_read_whole_or_not_at_all() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"0123456789").unwrap();
        let span = Content::span(Arc::new(file.reopen().unwrap()), "x.tar", 0, 10);
        for content in [Content::host(file.path(), 10), span, b"0123456789".to_vec().into()] {
            let content = content.open_at().unwrap();
            assert_eq!(content.read(3, 4).unwrap(), b"3456");
            assert_eq!(content.read(10, 0).unwrap(), b"");
            assert!(content.read(7, 4).is_err());
            assert!(content.read(u64::MAX, 2).is_err(), "an offset that overflows");
            assert!(content.read(0, u64::MAX).is_err(), "a length nobody has memory for");
        }
    }
}
