//! What the readers of archives share: their error, their limits, and that a
//! later entry takes the place of an earlier one.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{Conflict, Content, Inode, Kind, Leaf, Meta, PathError, Provenance, Tree, TreePath};

/// What is wrong with an archive. Each variant begins with the archive's name.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("{archive}: cannot be read")]
    Io { archive: String, source: io::Error },
    #[error("{archive}: cannot be kept in a temporary file in {}; TMPDIR may name a directory with more room", dir.display())]
    Temporary { archive: String, dir: PathBuf, source: io::Error },
    /// Its structure is damaged, or it is no such archive at all.
    #[error("{archive}: {problem}, at byte {offset}")]
    Structure { archive: String, offset: u64, problem: String },
    #[error("{archive}: entry `{entry}` {problem}")]
    Entry { archive: String, entry: String, problem: String },
    #[error("{archive}: an entry has a path that cannot be used")]
    Path { archive: String, source: PathError },
    #[error("{archive}: its entries contradict each other")]
    Conflict { archive: String, source: Conflict },
    #[error(
        "{archive}: {problem}; the limit keeps a small archive from filling the disk, raise it if you trust this one"
    )]
    Limit { archive: String, problem: String },
}

/// How much an archive may hold: what decompresses to more is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes after decompression.
    pub bytes: u64,
    pub entries: u64,
    /// Bytes of all paths together, also of directories that are only implied:
    /// one short name may stand for thousands of them.
    pub paths: u64,
}

impl Default for Limits {
    /// More than any medium of today holds.
    fn default() -> Self {
        Self { bytes: 64 << 30, entries: 8_000_000, paths: 4 << 30 }
    }
}

/// Holds the paths of a tree against [`Limits::paths`] as it grows.
#[derive(Debug)]
pub(crate) struct Paths {
    left: u64,
    entries: usize,
}

impl Paths {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { left: limits.paths, entries: 1 }
    }

    /// Before an insertion: its path may imply as many directories as it has slashes.
    pub(crate) fn check(&self, blame: Blame<'_>, written: &[u8]) -> Result<(), ArchiveError> {
        let parts = written.split(|&b| b == b'/').count() as u64;
        if (parts - 1) * written.len() as u64 > self.left {
            return Err(Self::too_long(blame));
        }
        Ok(())
    }

    /// After an insertion: no path that is new is longer than what was written.
    pub(crate) fn count(&mut self, blame: Blame<'_>, tree: &Tree, written: &[u8]) -> Result<(), ArchiveError> {
        let new = tree.len().saturating_sub(self.entries) as u64;
        self.entries = tree.len();
        self.left = self.left.checked_sub(new * written.len() as u64).ok_or_else(|| Self::too_long(blame))?;
        Ok(())
    }

    fn too_long(blame: Blame<'_>) -> ArchiveError {
        blame.limit("its paths are longer than a sound archive's".into())
    }
}

/// Makes errors that carry the archive's name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blame<'a>(pub(crate) &'a str);

impl Blame<'_> {
    pub(crate) fn io(self, source: io::Error) -> ArchiveError {
        ArchiveError::Io { archive: self.0.into(), source }
    }

    pub(crate) fn temporary(self, source: io::Error) -> ArchiveError {
        ArchiveError::Temporary { archive: self.0.into(), dir: std::env::temp_dir(), source }
    }

    pub(crate) fn structure(self, offset: u64, problem: impl Into<String>) -> ArchiveError {
        ArchiveError::Structure { archive: self.0.into(), offset, problem: problem.into() }
    }

    pub(crate) fn entry(self, entry: &[u8], problem: impl Into<String>) -> ArchiveError {
        let entry = crate::Escaped(&entry[..entry.len().min(4096)]).to_string();
        ArchiveError::Entry { archive: self.0.into(), entry, problem: problem.into() }
    }

    pub(crate) fn path(self, source: PathError) -> ArchiveError {
        ArchiveError::Path { archive: self.0.into(), source }
    }

    pub(crate) fn conflict(self, source: Conflict) -> ArchiveError {
        ArchiveError::Conflict { archive: self.0.into(), source }
    }

    pub(crate) fn limit(self, problem: String) -> ArchiveError {
        ArchiveError::Limit { archive: self.0.into(), problem }
    }
}

/// A file of the host, held open, so that it may be renamed or replaced while
/// the tree made from it is in use.
pub(crate) fn hold(path: &Path) -> Result<Content, ArchiveError> {
    let name = path.display().to_string();
    let open = || {
        let file = File::open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok((file, meta.len()))
    };
    let (file, len) = open().map_err(|e| Blame(&name).io(e))?;
    Ok(Content::span(Arc::new(file), name.as_str(), 0, len))
}

/// A symlink with this target, if one can have it.
pub(crate) fn symlink(target: Vec<u8>) -> Result<Kind, &'static str> {
    match target.len() {
        0 => Err("is a symlink without a target"),
        // The squashfs and Rock Ridge encodings, and PATH_MAX well below them.
        n if n > 65_535 => Err("is a symlink with a target of more than 65,535 bytes"),
        _ if target.contains(&0) => Err("is a symlink with a NUL byte in its target"),
        _ => Ok(Kind::Symlink(target)),
    }
}

/// Insertions in which a later entry wins, as it does when tar or the kernel
/// unpacks one archive.
impl Tree {
    pub(crate) fn put_dir(&mut self, path: TreePath, meta: Meta, from: &Provenance) -> Result<(), Conflict> {
        match self.entries.get_mut(&path).map(|present| &mut present.inode) {
            // What is implied can be claimed.
            Some(Inode::Dir { implied, .. }) => *implied = true,
            Some(Inode::Leaf(_)) => drop(self.remove(&path)),
            None => {}
        }
        self.insert_dir(path, meta, from.clone())
    }

    pub(crate) fn put_leaf(&mut self, path: TreePath, leaf: Leaf, from: &Provenance) -> Result<(), Conflict> {
        self.make_way_for_leaf(&path);
        self.insert_leaf(path, leaf, from.clone()).map(drop)
    }

    pub(crate) fn put_link(&mut self, path: TreePath, to: &TreePath, from: &Provenance) -> Result<(), Conflict> {
        if path == *to {
            return Ok(());
        }
        self.make_way_for_leaf(&path);
        self.insert_link(path, to, from.clone())
    }

    /// A directory goes only if it is empty, as with `rmdir`; what is left
    /// makes the insertion a conflict.
    fn make_way_for_leaf(&mut self, path: &TreePath) {
        if self.children(path).next().is_none() {
            self.remove(path);
        }
    }

    /// The leaf at `path`, to be changed for all its links.
    pub(crate) fn leaf_mut(&mut self, path: &TreePath) -> Option<&mut Leaf> {
        match self.entries.get(path)?.inode {
            Inode::Leaf(id) => self.leaves[id.0].as_mut().map(|slot| &mut slot.leaf),
            Inode::Dir { .. } => None,
        }
    }
}
