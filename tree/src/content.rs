//! [`Content`]: a regular file's bytes, re-openable, with a length that is
//! known before the first byte is read.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// Cheap to clone; reads nothing until [`Content::open`].
#[derive(Debug, Clone)]
pub struct Content {
    source: Source,
    window: Window,
}

#[derive(Debug, Clone)]
enum Source {
    /// A file of the host, opened anew for each reading: a tree of 400,000
    /// files must not need 400,000 descriptors.
    Host {
        path: Arc<Path>,
        len: u64,
    },
    Open(Opened),
    Joined(Arc<[Content]>),
}

#[derive(Debug, Clone)]
enum Opened {
    Bytes(Arc<[u8]>),
    /// Held open: the archive that a member stands in.
    File {
        file: Arc<File>,
        name: Arc<str>,
    },
    Joined(Arc<[JoinedPart]>),
    Made(Arc<dyn Made>),
}

#[derive(Debug)]
struct JoinedPart {
    /// Where it ends in the whole.
    end: u64,
    part: ContentAt,
}

/// Bytes that are made when they are read, as those of a file that stands
/// compressed in an image.
pub trait Made: fmt::Debug + Send + Sync {
    /// Fills a part of `buf`, at least one byte, from what stands at `at`. The
    /// whole of `buf` lies within the content's length.
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize>;
}

/// The part of the source that is the content. With a map, the source is seen
/// through it: what no stretch covers is zeros.
#[derive(Debug, Clone)]
struct Window {
    offset: u64,
    len: u64,
    map: Option<Arc<[Stretch]>>,
}

/// A run of stored bytes in a file with holes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// Where it stands in the file.
    pub(crate) at: u64,
    /// Where its bytes are in what stores them.
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

impl Content {
    /// A file of the host that had `len` bytes when it was looked at.
    pub fn host(path: impl Into<Arc<Path>>, len: u64) -> Self {
        Self::whole(Source::Host { path: path.into(), len }, len)
    }

    /// `len` bytes at `offset` of an open file; `name` is for messages.
    pub fn span(file: Arc<File>, name: impl Into<Arc<str>>, offset: u64, len: u64) -> Self {
        Self {
            source: Source::Open(Opened::File { file, name: name.into() }),
            window: Window { offset, len, map: None },
        }
    }

    /// One behind the other, without copying any.
    pub fn joined(parts: Vec<Self>) -> Self {
        let len = parts.iter().map(Self::len).sum();
        Self::whole(Source::Joined(parts.into()), len)
    }

    /// `len` bytes that `made` makes.
    pub fn made(made: Arc<dyn Made>, len: u64) -> Self {
        Self::whole(Source::Open(Opened::Made(made)), len)
    }

    fn whole(source: Source, len: u64) -> Self {
        Self { source, window: Window { offset: 0, len, map: None } }
    }

    /// `len` bytes of which only the `stretches`, in order and not
    /// overlapping, are stored in `self`. `None` for content that has holes
    /// already: no archive nests them.
    pub(crate) fn with_holes(&self, mut stretches: Vec<Stretch>, len: u64) -> Option<Self> {
        if self.window.map.is_some() {
            return None;
        }
        for stretch in &mut stretches {
            stretch.offset = stretch.offset.checked_add(self.window.offset)?;
        }
        Some(Self { source: self.source.clone(), window: Window { offset: 0, len, map: Some(stretches.into()) } })
    }

    /// A part of it; `None` where it would reach past the end.
    pub fn slice(&self, offset: u64, len: u64) -> Option<Self> {
        if offset.checked_add(len)? > self.len() {
            return None;
        }
        let offset = self.window.offset.checked_add(offset)?;
        Some(Self { source: self.source.clone(), window: Window { offset, len, map: self.window.map.clone() } })
    }

    /// Parts of it, each an offset and a length, one behind the other. `None`
    /// where one would reach past the end, and for content that is in parts
    /// already.
    pub fn gather(&self, parts: &[(u64, u64)]) -> Option<Self> {
        let (mut stretches, mut at) = (Vec::with_capacity(parts.len()), 0_u64);
        for &(offset, len) in parts {
            if offset.checked_add(len)? > self.len() {
                return None;
            }
            stretches.push(Stretch { at, offset, len });
            at = at.checked_add(len)?;
        }
        self.with_holes(stretches, at)
    }

    pub fn len(&self) -> u64 {
        self.window.len
    }

    /// Whether both are the same stretch of the same file: stored once, where
    /// equal bytes may stand twice.
    pub fn is_same_place(&self, other: &Self) -> bool {
        let same_source = match (&self.source, &other.source) {
            (Source::Host { path: a, .. }, Source::Host { path: b, .. }) => a == b,
            (Source::Open(Opened::File { file: a, .. }), Source::Open(Opened::File { file: b, .. })) => {
                Arc::ptr_eq(a, b)
            }
            (Source::Open(Opened::Bytes(a)), Source::Open(Opened::Bytes(b))) => Arc::ptr_eq(a, b),
            _ => false,
        };
        let (a, b) = (&self.window, &other.window);
        same_source && a.map.is_none() && b.map.is_none() && (a.offset, a.len) == (b.offset, b.len)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether both hold the same bytes. Reads neither where their lengths or
    /// their place already say so.
    pub fn is_same(&self, other: &Self) -> io::Result<bool> {
        const STEP: u64 = 128 << 10;
        if self.len() != other.len() || self.is_same_place(other) {
            return Ok(self.len() == other.len());
        }
        let (mut readers, mut left) = ([self.reader()?, other.reader()?], self.len());
        let mut buffers = [(); 2].map(|()| vec![0; left.min(STEP) as usize]);
        while left > 0 {
            let step = left.min(STEP) as usize;
            for (reader, buffer) in readers.iter_mut().zip(&mut buffers) {
                reader.read_exact(&mut buffer[..step])?;
            }
            if buffers[0][..step] != buffers[1][..step] {
                return Ok(false);
            }
            left -= step as u64;
        }
        Ok(true)
    }

    /// A reader that gives exactly [`Content::len`] bytes or an error that
    /// names the file: one that shrank or grew since it was looked at would
    /// otherwise shift everything an encoder has already placed.
    pub fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(self.reader()?))
    }

    /// What [`Content::open`] gives, for those who seek.
    pub fn reader(&self) -> io::Result<ContentReader> {
        Ok(ContentReader { content: self.open_at()?, at: 0 })
    }

    /// For who needs a few stretches of a large file and not the rest of it.
    pub fn open_at(&self) -> io::Result<ContentAt> {
        let opened = match &self.source {
            Source::Open(opened) => opened.clone(),
            Source::Host { path, len } => {
                let named = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
                let file = File::open(path).map_err(named)?;
                if file.metadata().map_err(named)?.len() != *len {
                    return Err(changed(&path.display(), *len));
                }
                Opened::File { file: Arc::new(file), name: path.to_string_lossy().into() }
            }
            Source::Joined(parts) => {
                let mut end = 0;
                let open = |part: &Self| {
                    end += part.len();
                    Ok(JoinedPart { end, part: part.open_at()? })
                };
                Opened::Joined(parts.iter().map(open).collect::<io::Result<_>>()?)
            }
        };
        Ok(ContentAt { opened, window: self.window.clone() })
    }

    /// The same bytes with their file held open, so that many slices of them
    /// do not each open it.
    pub(crate) fn held(&self) -> io::Result<Self> {
        let ContentAt { opened, window } = self.open_at()?;
        Ok(Self { source: Source::Open(opened), window })
    }

    /// All of it in memory; refuses more than `limit` bytes.
    pub fn read_all(&self, limit: u64) -> io::Result<Vec<u8>> {
        if self.len() > limit {
            let text = format!("{} bytes, and at most {limit} are read here", self.len());
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
        }
        let mut bytes = Vec::with_capacity(self.len() as usize);
        self.reader()?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        let len = bytes.len() as u64;
        Self::whole(Source::Open(Opened::Bytes(bytes.into())), len)
    }
}

impl From<&'static [u8]> for Content {
    fn from(bytes: &'static [u8]) -> Self {
        let len = bytes.len() as u64;
        Self::whole(Source::Open(Opened::Bytes(bytes.into())), len)
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

fn changed(name: &dyn fmt::Display, len: u64) -> io::Error {
    let text = format!("{name}: changed while it was being packed (it had {len} bytes); build again");
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// A [`Content`] held open for reading at any offset.
#[derive(Debug)]
pub struct ContentAt {
    opened: Opened,
    window: Window,
}

impl ContentAt {
    /// The bytes of `at..at + len`, or an error if they are not all there:
    /// nothing is allocated for a stretch that ends behind the content.
    pub fn read(&self, at: u64, len: u64) -> io::Result<Vec<u8>> {
        let total = self.window.len;
        if at.checked_add(len).is_none_or(|end| end > total) {
            let text = format!("{len} bytes at offset {at} are asked for, and there are {total} bytes in all");
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
        let mut bytes = vec![0; len as usize];
        let mut done = 0;
        while done < bytes.len() {
            done += self.read_some(&mut bytes[done..], at + done as u64)?;
        }
        Ok(bytes)
    }

    /// At least one byte unless `buf` is empty or `at` is the end.
    fn read_some(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let want = self.window.len.saturating_sub(at).min(buf.len() as u64) as usize;
        if want == 0 {
            return Ok(0);
        }
        let run = self.window.run(at, want);
        let buf = &mut buf[..run.len];
        let Some(from) = run.from else {
            buf.fill(0);
            return Ok(run.len);
        };
        match &self.opened {
            Opened::Bytes(bytes) => (&bytes[from as usize..]).read(buf),
            Opened::Joined(parts) => {
                // There is such a part: the window ends with the last one.
                let JoinedPart { end, part } = &parts[parts.partition_point(|part| part.end <= from)];
                part.read_some(buf, from - (end - part.window.len))
            }
            Opened::Made(made) => match made.read_at(buf, from)? {
                0 => Err(io::ErrorKind::UnexpectedEof.into()),
                got => Ok(got),
            },
            Opened::File { file, name } => loop {
                match file.read_at(buf, from) {
                    Ok(0) => return Err(changed(name, self.window.len)),
                    Ok(got) => return Ok(got),
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) => return Err(io::Error::new(e.kind(), format!("{name}: {e}"))),
                }
            },
        }
    }
}

/// What can be read in one go.
struct Run {
    /// Where in the source; `None` in a hole.
    from: Option<u64>,
    len: usize,
}

impl Window {
    fn run(&self, at: u64, want: usize) -> Run {
        let at = self.offset + at;
        let Some(map) = &self.map else { return Run { from: Some(at), len: want } };
        let next = map.partition_point(|stretch| stretch.at + stretch.len <= at);
        let up_to = |end: u64| want.min(usize::try_from(end - at).unwrap_or(usize::MAX));
        match map.get(next) {
            Some(here) if here.at <= at => {
                Run { from: Some(here.offset + (at - here.at)), len: up_to(here.at + here.len) }
            }
            Some(later) => Run { from: None, len: up_to(later.at) },
            None => Run { from: None, len: want },
        }
    }
}

/// Reads and seeks within one [`Content`].
#[derive(Debug)]
pub struct ContentReader {
    content: ContentAt,
    at: u64,
}

impl Read for ContentReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = self.content.read_some(buf, self.at)?;
        self.at += got as u64;
        Ok(got)
    }
}

impl Seek for ContentReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.content.window.len.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
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
    fn slices_are_windows_of_windows() {
        let content = Content::from(b"0123456789".to_vec()).slice(2, 6).unwrap();
        assert_eq!(content.slice(1, 3).unwrap().read_all(9).unwrap(), b"345");
        assert!(content.slice(4, 3).is_none() && content.slice(u64::MAX, 2).is_none());
        let mut reader = content.reader().unwrap();
        reader.seek(SeekFrom::End(-1)).unwrap();
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "7");
    }

    #[test]
    fn holes_read_as_zeros() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"..ABCDE").unwrap();
        let archive = Content::span(Arc::new(file), "x.tar", 1, 6);
        let stretches = vec![Stretch { at: 2, offset: 1, len: 3 }, Stretch { at: 6, offset: 4, len: 2 }];
        let content = archive.with_holes(stretches, 9).unwrap();
        assert_eq!(content.read_all(9).unwrap(), b"\0\0ABC\0DE\0");
        assert_eq!(content.slice(3, 4).unwrap().read_all(9).unwrap(), b"BC\0D");
    }

    #[test]
    fn contents_are_the_same_by_their_bytes_and_not_by_their_place() {
        let long = |end: u8| Content::from([vec![7; 300_000], vec![end]].concat());
        let one = long(1);
        for (other, same) in [
            (one.clone(), true),
            (long(1), true),
            (long(2), false),
            (one.slice(0, 300_000).unwrap(), false),
            (Content::joined(vec![one.slice(0, 9).unwrap(), one.slice(9, 299_992).unwrap()]), true),
        ] {
            assert_eq!(one.is_same(&other).unwrap(), same);
            assert_eq!(other.is_same(&one).unwrap(), same);
        }
        let gone = Content::host(Path::new("/nothing/here"), 300_001);
        assert!(one.is_same(&gone).is_err() && !one.is_same(&Content::host(Path::new("/nothing/here"), 9)).unwrap());
        assert!(Content::from(Vec::new()).is_same(&one.slice(5, 0).unwrap()).unwrap());
    }

    #[derive(Debug)]
    struct Counting;

    impl Made for Counting {
        fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
            buf[0] = at as u8;
            Ok(1)
        }
    }

    #[test]
    fn what_is_made_is_read_like_what_is_stored() {
        let content = Content::made(Arc::new(Counting), 9).slice(2, 5).unwrap();
        assert_eq!(content.read_all(9).unwrap(), [2, 3, 4, 5, 6]);
        assert_eq!(content.open_at().unwrap().read(3, 2).unwrap(), [5, 6]);
    }

    #[test]
    fn gathered_parts_follow_each_other() {
        let content = Content::from(b"..0123456789".to_vec()).slice(2, 10).unwrap();
        let gathered = content.gather(&[(7, 3), (0, 2), (4, 1)]).unwrap();
        assert_eq!(gathered.read_all(9).unwrap(), b"789014");
        assert_eq!(gathered.slice(2, 3).unwrap().read_all(9).unwrap(), b"901");
        assert!(content.gather(&[(8, 3)]).is_none() && content.gather(&[(u64::MAX, 2)]).is_none());
        assert!(gathered.gather(&[(0, 1)]).is_none());
    }

    #[test]
    fn joined_content_is_read_across_its_seams() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"3456").unwrap();
        let parts =
            vec![b"012".to_vec().into(), Vec::new().into(), Content::host(file.path(), 4), b"789".to_vec().into()];
        let content = Content::joined(parts);
        assert_eq!(content.read_all(10).unwrap(), b"0123456789");
        assert_eq!(content.slice(2, 6).unwrap().read_all(9).unwrap(), b"234567");
        let twice = Content::joined(vec![content.slice(8, 2).unwrap(), content.held().unwrap()]);
        assert_eq!(twice.open_at().unwrap().read(1, 4).unwrap(), b"9012");
        assert!(Content::joined(Vec::new()).read_all(0).unwrap().is_empty());
        file.write_all(b"x").unwrap();
        assert!(content.open().is_err(), "a part that changed");
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
