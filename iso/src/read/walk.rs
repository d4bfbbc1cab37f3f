//! Directories followed from the root, and the tree they make.

use std::collections::{HashMap, HashSet};

use tree::{Content, ContentAt, Kind, Leaf, Meta, Provenance, Tree, TreePath};

use crate::format::{PARENT, SECTOR, SELF};
use crate::rock_ridge::{S_IFBLK, S_IFCHR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK};

use super::budget::Budget;
use super::record::{Record, records};
use super::susp::{Posix, Reader, Use};
use super::{Names, ReadError};

/// Reads the whole tree below `root`.
pub(crate) fn walk(
    image: &Content,
    at: &ContentAt,
    root: &Record,
    names: Names,
    susp: Option<Use>,
) -> Result<Tree, ReadError> {
    let mut walk = Walk {
        image,
        at,
        names,
        susp,
        budget: Budget::new(image.len()),
        seen: HashSet::new(),
        links: HashMap::new(),
        provenance: Provenance::new("the image"),
        tree: Tree::new(),
    };
    let mut pending = vec![Found { path: TreePath::root(), lba: root.lba, len: root.len }];
    while let Some(directory) = pending.pop() {
        walk.directory(&directory, &mut pending)?;
    }
    Ok(walk.tree)
}

struct Walk<'w> {
    image: &'w Content,
    at: &'w ContentAt,
    names: Names,
    susp: Option<Use>,
    budget: Budget,
    /// First sectors of the directories that were entered: a second visit is
    /// a loop, or as bad as one.
    seen: HashSet<u64>,
    /// Leaves of more than one link, by what tells them apart.
    links: HashMap<Identity, TreePath>,
    provenance: Provenance,
    tree: Tree,
}

#[derive(PartialEq, Eq, Hash)]
struct Identity {
    kind: u32,
    serial: u32,
    lba: u64,
    len: u64,
}

/// A directory that is to be read.
struct Found {
    path: TreePath,
    lba: u64,
    len: u32,
}

/// Mode and owner of what has no Rock Ridge entry of its own.
const PLAIN_DIR: u32 = 0o755;
const PLAIN_FILE: u32 = 0o644;

impl Walk<'_> {
    fn directory(&mut self, directory: &Found, pending: &mut Vec<Found>) -> Result<(), ReadError> {
        let path = &directory.path;
        let start = directory.lba * SECTOR as u64;
        let end = start + u64::from(directory.len);
        if end > self.image.len() {
            return Err(ReadError::PastEnd { path: path.clone(), end, len: self.image.len() });
        }
        if !self.seen.insert(directory.lba) {
            let problem = "the directory stands in the tree twice";
            return Err(ReadError::Damaged { path: path.clone(), offset: start, problem });
        }
        self.budget.metadata(path, u64::from(directory.len))?;
        // The sections of one file that came so far, and their length.
        let mut sections: Option<(Record, u64)> = None;
        for sector_start in (start..end).step_by(SECTOR) {
            let sector = self.at.read(sector_start, (end - sector_start).min(SECTOR as u64))?;
            for found in records(&sector) {
                let damaged = |within: usize, problem| ReadError::Damaged {
                    path: path.clone(),
                    offset: sector_start + within as u64,
                    problem,
                };
                let (within, record) = found.map_err(|within| damaged(within, "a directory record is cut short"))?;
                let offset = sector_start + within as u64;
                if record.identifier == SELF {
                    self.own(path, &record, offset)?;
                    continue;
                }
                if record.identifier == PARENT {
                    continue;
                }
                let (record, len) = joined(sections.take(), record).map_err(|problem| damaged(within, problem))?;
                if record.continues() {
                    sections = Some((record, len));
                } else {
                    self.entry(path, &record, offset, len, pending)?;
                }
            }
        }
        match sections {
            Some(_) => Err(ReadError::Damaged { path: path.clone(), offset: end, problem: LAST_SECTION_MISSING }),
            None => Ok(()),
        }
    }

    fn posix(&mut self, path: &TreePath, record: &Record, offset: u64, is_root: bool) -> Result<Posix, ReadError> {
        let Some(susp) = self.susp else { return Ok(Posix::default()) };
        let image_len = self.image.len();
        let mut reader = Reader { at: self.at, image_len, budget: &mut self.budget, path };
        susp.posix(&mut reader, record, offset, is_root)
    }

    /// A directory's record of itself: the only one the root has, and the
    /// only true one of a directory that was relocated.
    fn own(&mut self, path: &TreePath, record: &Record, offset: u64) -> Result<(), ReadError> {
        let posix = self.posix(path, record, offset, path.is_root())?;
        if let Some(meta) = self.tree.meta_mut(path) {
            *meta = metadata(&posix, record, PLAIN_DIR);
        }
        Ok(())
    }

    fn entry(
        &mut self,
        parent: &TreePath,
        record: &Record,
        offset: u64,
        len: u64,
        pending: &mut Vec<Found>,
    ) -> Result<(), ReadError> {
        let posix = self.posix(parent, record, offset, false)?;
        if posix.relocated {
            return Ok(());
        }
        let damaged = |problem| ReadError::Damaged { path: parent.clone(), offset, problem };
        let name = match (&posix.name, self.names) {
            (Some(name), Names::RockRidge) => name.clone(),
            (_, Names::Joliet) => wide_name(&record.identifier),
            _ => plain_name(&record.identifier),
        };
        // A slash would put the entry somewhere else, and the rest nowhere.
        if name.contains(&b'/') || matches!(&name[..], b"" | b"." | b"..") {
            return Err(damaged("a name that no directory can hold"));
        }
        let path = parent.join(&name).map_err(|source| ReadError::Name { path: parent.clone(), source })?;
        self.budget.entry(&path)?;

        if let Some(lba) = posix.child_link {
            let found = self.relocated(path, u64::from(lba))?;
            self.tree.insert_dir(found.path.clone(), Meta::new(PLAIN_DIR), self.provenance.clone())?;
            pending.push(found);
            return Ok(());
        }
        if record.is_dir() {
            self.tree.insert_dir(path.clone(), metadata(&posix, record, PLAIN_DIR), self.provenance.clone())?;
            pending.push(Found { path, lba: record.lba, len: record.len });
            return Ok(());
        }
        let kind_bits = posix.attributes.map_or(S_IFREG, |attributes| attributes.mode & S_IFMT);
        let identity = posix.attributes.filter(|attributes| attributes.links > 1).and_then(|attributes| {
            // Without a serial number only an extent tells files apart.
            let known = attributes.serial != 0 || (kind_bits == S_IFREG && len > 0);
            known.then_some(Identity { kind: kind_bits, serial: attributes.serial, lba: record.lba, len })
        });
        if let Some(first) = identity.as_ref().and_then(|identity| self.links.get(identity)) {
            let first = first.clone();
            self.tree.insert_link(path, &first, self.provenance.clone())?;
            return Ok(());
        }
        let (major, minor) = posix.device.unwrap_or_default();
        let kind = match kind_bits {
            S_IFREG => Kind::File(self.content(&path, record, len)?),
            S_IFLNK => match &posix.target {
                Some(target) if !target.is_empty() => Kind::Symlink(target.clone()),
                _ => return Err(damaged("a symlink without a target")),
            },
            S_IFCHR => Kind::CharDevice { major, minor },
            S_IFBLK => Kind::BlockDevice { major, minor },
            S_IFIFO => Kind::Fifo,
            S_IFSOCK => Kind::Socket,
            _ => return Err(damaged("a file of an unknown kind")),
        };
        if let Some(identity) = identity {
            self.links.insert(identity, path.clone());
        }
        let leaf = Leaf { meta: metadata(&posix, record, PLAIN_FILE), kind };
        self.tree.insert_leaf(path, leaf, self.provenance.clone())?;
        Ok(())
    }

    fn content(&self, path: &TreePath, record: &Record, len: u64) -> Result<Content, ReadError> {
        if record.interleaved {
            return Err(ReadError::Unsupported { path: path.clone(), what: "an interleaved file" });
        }
        if len == 0 {
            return Ok(Content::from(Vec::new()));
        }
        let past_end = || ReadError::PastEnd { path: path.clone(), end: record.offset() + len, len: self.image.len() };
        self.image.slice(record.offset(), len).ok_or_else(past_end)
    }

    /// RRIP 4.1.5.1: how long a relocated directory is, its first record says.
    fn relocated(&mut self, path: TreePath, lba: u64) -> Result<Found, ReadError> {
        let offset = lba * SECTOR as u64;
        let end = offset + SECTOR as u64;
        if end > self.image.len() {
            return Err(ReadError::PastEnd { path, end, len: self.image.len() });
        }
        self.budget.metadata(&path, SECTOR as u64)?;
        match Record::parse(&self.at.read(offset, SECTOR as u64)?) {
            Some(own) if own.identifier == SELF => Ok(Found { path, lba, len: own.len }),
            _ => Err(ReadError::Damaged { path, offset, problem: "no directory stands where a CL entry leads" }),
        }
    }
}

const LAST_SECTION_MISSING: &str = "a file's last section is missing";

/// A record behind the sections of the same file that came before it: their
/// first sector and the length so far.
fn joined(before: Option<(Record, u64)>, record: Record) -> Result<(Record, u64), &'static str> {
    let len = u64::from(record.len);
    let Some((first, so_far)) = before else { return Ok((record, len)) };
    if first.identifier != record.identifier {
        return Err(LAST_SECTION_MISSING);
    }
    if first.offset() + so_far != record.offset() {
        return Err("a file's sections stand apart, and are not read here");
    }
    Ok((Record { lba: first.lba, ..record }, so_far + len))
}

fn metadata(posix: &Posix, record: &Record, mode: u32) -> Meta {
    let mtime = posix.mtime.unwrap_or(record.mtime);
    match posix.attributes {
        Some(px) => Meta { uid: px.uid, gid: px.gid, mtime, ..Meta::new(px.mode) },
        None => Meta { mtime, ..Meta::new(mode) },
    }
}

/// `README.TXT;1` is `readme.txt`, as Linux shows it (fs/isofs/dir.c,
/// `isofs_name_translate`).
fn plain_name(identifier: &[u8]) -> Vec<u8> {
    let name = identifier.strip_suffix(b";1").unwrap_or(identifier);
    name.strip_suffix(b".").unwrap_or(name).to_ascii_lowercase()
}

fn wide_name(identifier: &[u8]) -> Vec<u8> {
    let units: Vec<u16> = identifier.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
    let name = String::from_utf16_lossy(&units);
    name.strip_suffix(";1").unwrap_or(&name).as_bytes().to_vec()
}
