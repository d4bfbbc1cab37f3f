//! cpio archives as the kernel unpacks an initramfs (newc, and newc with
//! checksums): several archives behind one another, zeros between them, each
//! plain or compressed. Law: Documentation/driver-api/early-userspace/
//! buffer-format.rst, and init/initramfs.c where that is silent.

mod header;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Seek};
use std::path::Path;

use crate::archive::{self, ArchiveError, Blame, Limits, Paths};
use crate::codec::{self, MAGIC_LEN, Streams};
use crate::content::ContentReader;
use crate::{Content, Kind, Leaf, Meta, Node, Provenance, Tree, TreePath};
use header::{Format, HEADER_LEN, Header, padded};

/// `PATH_MAX`: the kernel passes over entries with longer names and targets.
const NAME_LIMIT: u32 = 4096;
const TRAILER: &[u8] = b"TRAILER!!!";

/// The archive at `path`, which is held open.
pub fn load(path: &Path, from: &Provenance) -> Result<Tree, ArchiveError> {
    parse(&path.display().to_string(), &archive::hold(path)?, Limits::default(), from)
}

/// The archive in `content`; `name` is for messages. Plain parts stay where
/// they are, compressed ones are decompressed to unlinked temporary files.
pub fn parse(name: &str, content: &Content, limits: Limits, from: &Provenance) -> Result<Tree, ArchiveError> {
    let blame = Blame(name);
    let content = content.held().map_err(|e| blame.io(e))?;
    let paths = Paths::new(limits);
    let mut reader = Reader { blame, limits, from, tree: Tree::new(), entries: 0, paths, decompressed: 0 };
    reader.segments(&content)?;
    if reader.entries == 0 {
        return Err(blame.structure(0, "this is no newc archive: it has no entries"));
    }
    Ok(reader.tree)
}

struct Reader<'a> {
    blame: Blame<'a>,
    limits: Limits,
    from: &'a Provenance,
    tree: Tree,
    entries: u64,
    paths: Paths,
    decompressed: u64,
}

impl Reader<'_> {
    fn segments(&mut self, content: &Content) -> Result<(), ArchiveError> {
        let mut input = Input::new(self.blame, content)?;
        while input.skip_zeros()? {
            let at = input.at;
            if input.peek()? == b'0' {
                self.newc(&mut input)?;
                continue;
            }
            let head = input.head()?;
            let codec = match codec::probe(&head) {
                Ok(Some(codec)) => codec,
                Ok(None) => return Err(input.damaged("neither a newc header nor a known compression stands there")),
                Err(name) => return Err(codec::unread(self.blame, at, name)),
            };
            let left = self.limits.bytes - self.decompressed;
            let segment = codec::decompress(self.blame, codec, Streams::One, &mut input.reader, left)?;
            self.decompressed += segment.len();
            input.at = input.reader.stream_position().map_err(|e| self.blame.io(e))?;
            let mut inner = Input::new(self.blame, &segment)?;
            while inner.skip_zeros()? {
                // The kernel does not look for compression within compression.
                if inner.peek()? != b'0' {
                    return Err(input.damaged("the compressed segment that ends here holds no newc archive"));
                }
                self.newc(&mut inner)?;
            }
        }
        Ok(())
    }

    /// One archive up to and with its trailer.
    fn newc(&mut self, input: &mut Input<'_>) -> Result<(), ArchiveError> {
        // Hard links hold within one archive: the kernel forgets at each trailer.
        let mut links = HashMap::new();
        if !input.at.is_multiple_of(4) {
            return Err(input.damaged("an archive begins at no multiple of four bytes, where the kernel sees none"));
        }
        loop {
            let header = input.header()?;
            let name = input.name(&header)?;
            if name == TRAILER {
                return Ok(());
            }
            self.entries += 1;
            if self.entries > self.limits.entries {
                return Err(self.blame.limit(format!("it has more than {} entries", self.limits.entries)));
            }
            let body = input.body(&header)?;
            // Only files have one; cpio leaves it at zero for symlinks.
            let checked = header.format == Format::Checked && header.kind() == header::FILE && !body.is_empty();
            if checked && sum(&body).map_err(|e| self.blame.io(e))? != header.check {
                return Err(self.blame.entry(&name, "has contents that do not match its checksum"));
            }
            self.paths.check(self.blame, &name)?;
            self.insert(&header, &name, body, &mut links)?;
            self.paths.count(self.blame, &self.tree, &name)?;
        }
    }

    fn insert(
        &mut self,
        header: &Header,
        name: &[u8],
        body: Content,
        links: &mut HashMap<(u32, u32, u32, u32), TreePath>,
    ) -> Result<(), ArchiveError> {
        let (blame, from) = (self.blame, self.from);
        let path = TreePath::new(name).map_err(|e| blame.path(e))?;
        let meta = Meta { uid: header.uid, gid: header.gid, mtime: header.mtime.into(), ..Meta::new(header.mode) };
        let (major, minor) = (header.rdev_major, header.rdev_minor);
        let kind = match header.kind() {
            header::DIR => return self.tree.put_dir(path, meta, from).map_err(|e| blame.conflict(e)),
            header::FILE => Kind::File(body),
            header::SYMLINK => {
                let target = body.read_all(NAME_LIMIT.into()).map_err(|e| blame.entry(name, e.to_string()))?;
                archive::symlink(target).map_err(|problem| blame.entry(name, problem))?
            }
            header::CHAR => Kind::CharDevice { major, minor },
            header::BLOCK => Kind::BlockDevice { major, minor },
            header::FIFO => Kind::Fifo,
            header::SOCKET => Kind::Socket,
            _ => return Err(blame.entry(name, format!("has mode {:o}, which is of no type", header.mode))),
        };
        let leaf = Leaf { meta, kind };
        if header.links > 1 && header.kind() != header::SYMLINK {
            let inode = (header.dev_major, header.dev_minor, header.ino, header.kind());
            if let Some(first) = links.get(&inode)
                && self.is_leaf(first)
            {
                let first = first.clone();
                return self.link(path, &first, leaf);
            }
            links.insert(inode, path.clone());
        }
        self.tree.put_leaf(path, leaf, from).map_err(|e| blame.conflict(e))
    }

    /// Each link's header holds for all of them, and the data come with one,
    /// commonly the last.
    fn link(&mut self, path: TreePath, first: &TreePath, leaf: Leaf) -> Result<(), ArchiveError> {
        self.tree.put_link(path, first, self.from).map_err(|e| self.blame.conflict(e))?;
        if let Some(shared) = self.tree.leaf_mut(first) {
            shared.meta = leaf.meta;
            if !matches!(&leaf.kind, Kind::File(body) if body.is_empty()) {
                shared.kind = leaf.kind;
            }
        }
        Ok(())
    }

    /// A later entry may have put a directory there, or another inode; the
    /// kernel links to what it finds.
    fn is_leaf(&self, path: &TreePath) -> bool {
        self.tree.get(path).is_some_and(|item| matches!(item.node, Node::Leaf { .. }))
    }
}

fn sum(content: &Content) -> std::io::Result<u32> {
    let mut reader = BufReader::new(content.reader()?);
    let mut sum = 0u32;
    loop {
        let buf = reader.fill_buf()?;
        if buf.is_empty() {
            return Ok(sum);
        }
        sum = buf.iter().fold(sum, |sum, b| sum.wrapping_add((*b).into()));
        let len = buf.len();
        reader.consume(len);
    }
}

struct Input<'a> {
    blame: Blame<'a>,
    content: Content,
    reader: BufReader<ContentReader>,
    at: u64,
}

impl<'a> Input<'a> {
    fn new(blame: Blame<'a>, content: &Content) -> Result<Self, ArchiveError> {
        let reader = BufReader::new(content.reader().map_err(|e| blame.io(e))?);
        Ok(Self { blame, content: content.clone(), reader, at: 0 })
    }

    fn damaged(&self, problem: impl Into<String>) -> ArchiveError {
        self.blame.structure(self.at, problem)
    }

    /// False at the end.
    fn skip_zeros(&mut self) -> Result<bool, ArchiveError> {
        loop {
            let buf = self.reader.fill_buf().map_err(|e| self.blame.io(e))?;
            if buf.is_empty() {
                return Ok(false);
            }
            let zeros = buf.iter().take_while(|b| **b == 0).count();
            let stop = zeros < buf.len();
            self.reader.consume(zeros);
            self.at += zeros as u64;
            if stop {
                return Ok(true);
            }
        }
    }

    fn peek(&mut self) -> Result<u8, ArchiveError> {
        let buf = self.reader.fill_buf().map_err(|e| self.blame.io(e))?;
        buf.first().copied().ok_or_else(|| self.blame.structure(self.at, "the archive is cut off"))
    }

    fn head(&self) -> Result<Vec<u8>, ArchiveError> {
        let len = (MAGIC_LEN as u64).min(self.content.len() - self.at);
        self.part(self.at, len)?.read_all(len).map_err(|e| self.blame.io(e))
    }

    fn part(&self, at: u64, len: u64) -> Result<Content, ArchiveError> {
        self.content.slice(at, len).ok_or_else(|| self.damaged("the archive is cut off, or its trailer is missing"))
    }

    /// The next `len` bytes, and the padding that brings the place to a
    /// multiple of four.
    fn take(&mut self, len: u64) -> Result<Content, ArchiveError> {
        let part = self.part(self.at, len)?;
        // Padding that is cut off loses nothing.
        let end = padded(self.at + len).min(self.content.len());
        self.reader.seek_relative((end - self.at).cast_signed()).map_err(|e| self.blame.io(e))?;
        self.at = end;
        Ok(part)
    }

    fn bytes(&mut self, len: u64) -> Result<Vec<u8>, ArchiveError> {
        self.part(self.at, len)?;
        let mut bytes = vec![0; len as usize];
        self.reader.read_exact(&mut bytes).map_err(|e| self.blame.io(e))?;
        self.at += len;
        Ok(bytes)
    }

    fn header(&mut self) -> Result<Header, ArchiveError> {
        let start = self.at;
        let bytes = self.bytes(HEADER_LEN as u64)?;
        Header::parse(&bytes).map_err(|problem| self.blame.structure(start, problem))
    }

    fn name(&mut self, header: &Header) -> Result<Vec<u8>, ArchiveError> {
        if header.name_len == 0 || header.name_len > NAME_LIMIT {
            return Err(self.damaged(format!("a name has {} bytes, not 1 to {NAME_LIMIT}", header.name_len)));
        }
        let mut name = self.bytes(header.name_len.into())?;
        self.take(0)?;
        match name.iter().position(|b| *b == 0) {
            Some(end) => name.truncate(end),
            None => return Err(self.damaged("a name does not end with a NUL byte")),
        }
        Ok(name)
    }

    fn body(&mut self, header: &Header) -> Result<Content, ArchiveError> {
        self.take(header.body_len.into())
    }
}
