//! Tar archives as trees: ustar, GNU and PAX, plain or compressed.
//!
//! The headers are read here and not by the `tar` crate, which splits PAX
//! records at line feeds. A binary xattr value may hold one: a file would lose
//! its capabilities, or a forged value would rename it.
//!
//! ACLs, which PAX holds as text, are not read.

mod header;
mod pax;
mod sparse;

use std::io::{BufReader, Read};
use std::path::Path;
use std::rc::Rc;

use crate::archive::{self, ArchiveError, Blame, Limits, Paths};
use crate::codec::{self, MAGIC_LEN};
use crate::content::ContentReader;
use crate::{Content, Kind, Leaf, Meta, Provenance, Tree, TreePath};
use header::{BLOCK, Header};
use pax::{Pax, Records};

/// A long name, or all PAX records of an entry: xattrs of 64 KiB each fit.
const EXTENSION_LIMIT: u64 = 4 << 20;

/// The archive at `path`, by the default [`Limits`], see [`parse`].
pub fn load(path: &Path, from: &Provenance) -> Result<Tree, ArchiveError> {
    parse(&path.display().to_string(), &archive::hold(path)?, Limits::default(), from)
}

/// The archive that `input` gives, plain or compressed; `name` is for
/// messages. It is kept in an unlinked temporary file.
pub fn read(name: &str, input: impl Read, limits: Limits, from: &Provenance) -> Result<Tree, ArchiveError> {
    parse_plain(Blame(name), &codec::spool(Blame(name), input, limits)?, limits, from)
}

/// The archive in `content`. The files of a plain one stay where they are; a
/// compressed one is decompressed to an unlinked temporary file.
pub fn parse(name: &str, content: &Content, limits: Limits, from: &Provenance) -> Result<Tree, ArchiveError> {
    let blame = Blame(name);
    let content = content.held().map_err(|e| blame.io(e))?;
    let magic = content.slice(0, content.len().min(MAGIC_LEN as u64)).unwrap_or_else(|| content.clone());
    let magic = magic.read_all(MAGIC_LEN as u64).map_err(|e| blame.io(e))?;
    if let Ok(None) = codec::probe(&magic) {
        return parse_plain(blame, &content, limits, from);
    }
    read(name, content.reader().map_err(|e| blame.io(e))?, limits, from)
}

fn parse_plain(blame: Blame<'_>, archive: &Content, limits: Limits, from: &Provenance) -> Result<Tree, ArchiveError> {
    let input = BufReader::new(archive.reader().map_err(|e| blame.io(e))?);
    let mut blocks = Blocks { blame, archive, input, at: 0, promised: 0, limit: limits.bytes };
    let mut tree = Tree::new();
    let mut global = Rc::new(Pax::default());
    let mut said = Said::default();
    let (mut entries, mut paths) = (0, Paths::new(limits));
    while let Some(header) = blocks.header()? {
        entries += 1;
        if entries > limits.entries {
            return Err(blame.limit(format!("it has more than {} entries", limits.entries)));
        }
        match header.kind() {
            b'x' | b'X' => said.pax = Pax::parse(&blocks.extension(&header)?).map_err(|p| blocks.damaged(p))?,
            b'g' => {
                let records = Pax::parse(&blocks.extension(&header)?).map_err(|p| blocks.damaged(p))?;
                Rc::make_mut(&mut global).update(records);
            }
            b'L' => said.name = Some(blocks.text(&header)?),
            b'K' => said.link = Some(blocks.text(&header)?),
            // A volume's name, which is no entry.
            b'V' => {}
            _ => {
                let entry = Entry::new(blame, header, std::mem::take(&mut said), &global)?;
                paths.check(blame, &entry.name)?;
                insert(&mut tree, &mut blocks, &entry, from)?;
                paths.count(blame, &tree, &entry.name)?;
            }
        }
    }
    if said != Said::default() {
        return Err(blocks.damaged("the archive ends where an entry should follow its extended header"));
    }
    Ok(tree)
}

/// What extension headers say of the entry that follows them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    pax: Pax,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

struct Entry {
    header: Header,
    pax: Records,
    name: Vec<u8>,
    link: Vec<u8>,
    meta: Meta,
    /// How many bytes of data follow in the archive.
    size: u64,
}

impl Entry {
    fn new(blame: Blame<'_>, header: Header, said: Said, global: &Rc<Pax>) -> Result<Self, ArchiveError> {
        let pax = said.pax.over(global.clone());
        let pax_name = pax.get(b"GNU.sparse.name").or_else(|| pax.get(b"path")).map(<[u8]>::to_vec);
        let name = pax_name.or(said.name).unwrap_or_else(|| header.name());
        let link = pax.get(b"linkpath").map(<[u8]>::to_vec).or(said.link).unwrap_or_else(|| header.link());
        let wrong = |what: &str| blame.entry(&name, format!("has {what} that cannot be used"));
        let id = |key: &[u8], field: Option<i64>, what| {
            let id = match pax.get(key) {
                Some(text) => pax::decimal(text).and_then(|id| u32::try_from(id).ok()),
                None => field.and_then(|id| id.try_into().ok()),
            };
            id.ok_or_else(|| wrong(what))
        };
        // What tar writes for a hard link is the file's size, and no data.
        let size = match (header.kind(), pax.get(b"size")) {
            (b'1', _) => Some(0),
            (_, None) => header.size(),
            (_, Some(text)) => pax::decimal(text),
        };
        let mtime = pax.get(b"mtime").map_or_else(|| header.mtime(), pax::seconds);
        let meta = Meta {
            uid: id(b"uid", header.uid(), "an owner")?,
            gid: id(b"gid", header.gid(), "a group")?,
            mtime: mtime.ok_or_else(|| wrong("a time"))?,
            xattrs: pax.xattrs().map_err(wrong)?,
            ..Meta::new(header.mode().ok_or_else(|| wrong("a mode"))?)
        };
        let size = size.ok_or_else(|| wrong("a size"))?;
        Ok(Self { header, pax, name, link, meta, size })
    }
}

/// Puts `entry` into the tree and leaves `blocks` behind its data.
fn insert(tree: &mut Tree, blocks: &mut Blocks<'_>, entry: &Entry, from: &Provenance) -> Result<(), ArchiveError> {
    let blame = blocks.blame;
    let unfit = |problem: &str| blame.entry(&entry.name, problem);
    let device = || entry.header.device().ok_or_else(|| unfit("has a device number that cannot be used"));
    let path = TreePath::new(&entry.name).map_err(|e| blame.path(e))?;
    let regular = matches!(entry.header.kind(), 0 | b'0' | b'7');
    // Before ustar a directory was a file whose name ends in a slash.
    let dir = matches!(entry.header.kind(), b'5' | b'D') || regular && entry.name.ends_with(b"/");
    let kind = match entry.header.kind() {
        _ if dir => {
            blocks.data(entry.size)?;
            return tree.put_dir(path, entry.meta.clone(), from).map_err(|e| blame.conflict(e));
        }
        b'1' => {
            let to = TreePath::new(&entry.link).map_err(|e| blame.path(e))?;
            return tree.put_link(path, &to, from).map_err(|e| blame.conflict(e));
        }
        0 | b'0' | b'7' | b'S' => Kind::File(sparse::content(blocks, entry)?),
        b'2' => archive::symlink(entry.link.clone()).map_err(unfit)?,
        b'3' => device().map(|(major, minor)| Kind::CharDevice { major, minor })?,
        b'4' => device().map(|(major, minor)| Kind::BlockDevice { major, minor })?,
        b'6' => Kind::Fifo,
        b'M' => return Err(unfit("continues from another volume; join the volumes first")),
        other => return Err(unfit(&format!("is of type `{}`, which no tree holds", crate::Escaped(&[other])))),
    };
    if !matches!(kind, Kind::File(_)) {
        blocks.data(entry.size)?;
    }
    let leaf = Leaf { meta: entry.meta.clone(), kind };
    tree.put_leaf(path, leaf, from).map_err(|e| blame.conflict(e))
}

/// The archive as a run of blocks, with the place that is read next.
struct Blocks<'a> {
    blame: Blame<'a>,
    archive: &'a Content,
    input: BufReader<ContentReader>,
    at: u64,
    /// The bytes of all files with holes so far.
    promised: u64,
    limit: u64,
}

impl Blocks<'_> {
    fn damaged(&self, problem: impl Into<String>) -> ArchiveError {
        self.blame.structure(self.at, problem)
    }

    fn block(&mut self) -> Result<[u8; BLOCK], ArchiveError> {
        let mut block = [0; BLOCK];
        if self.archive.len() - self.at < BLOCK as u64 {
            return Err(self.damaged("the archive is cut off"));
        }
        self.input.read_exact(&mut block).map_err(|e| self.blame.io(e))?;
        self.at += BLOCK as u64;
        Ok(block)
    }

    /// `None` at the end of archive marker, without which it is cut off. POSIX
    /// wants two blocks of zeros; one is enough to know.
    fn header(&mut self) -> Result<Option<Header>, ArchiveError> {
        let start = self.at;
        let header = Header(self.block()?);
        if header.is_end() {
            return Ok(None);
        }
        if header.sum_is_right() {
            return Ok(Some(header));
        }
        Err(self.blame.structure(
            start,
            match start {
                0 => "this is no tar archive, plain or compressed with gzip, bzip2, xz, lz4 or zstd",
                _ => "a header's checksum is wrong; the archive is damaged",
            },
        ))
    }

    /// Passes over `len` bytes of data with their padding, and gives them.
    fn data(&mut self, len: u64) -> Result<Content, ArchiveError> {
        let content = self.archive.slice(self.at, len);
        // The last member's padding may be missing, its data may not.
        let padded = len.checked_next_multiple_of(BLOCK as u64).map(|padded| padded.min(self.archive.len() - self.at));
        let (Some(content), Some(padded)) = (content, padded) else {
            return Err(self.damaged(format!("the archive is cut off: {len} bytes should follow")));
        };
        self.input.seek_relative(padded.cast_signed()).map_err(|e| self.blame.io(e))?;
        self.at += padded;
        Ok(content)
    }

    /// Holes cost the archive nothing, but whoever reads the file.
    fn promise(&mut self, len: u64) -> Result<(), ArchiveError> {
        self.promised = self.promised.saturating_add(len);
        if self.promised > self.limit {
            return Err(self.blame.limit(format!("its files with holes are longer than {} bytes", self.limit)));
        }
        Ok(())
    }

    fn extension(&mut self, header: &Header) -> Result<Vec<u8>, ArchiveError> {
        let len = header.size().filter(|len| *len <= EXTENSION_LIMIT);
        let len = len.ok_or_else(|| self.damaged("an extended header is too long"))?;
        self.data(len)?.read_all(EXTENSION_LIMIT).map_err(|e| self.blame.io(e))
    }

    /// A GNU long name, which ends with a NUL.
    fn text(&mut self, header: &Header) -> Result<Vec<u8>, ArchiveError> {
        let mut text = self.extension(header)?;
        text.truncate(text.iter().position(|b| *b == 0).unwrap_or(text.len()));
        Ok(text)
    }
}
