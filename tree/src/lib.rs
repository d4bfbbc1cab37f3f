//! The file tree as a value: what the initramfs, the rootfs image and the
//! medium all are before an encoder sees them.
//!
//! A [`Tree`] keeps its entries in the order every encoder writes them in
//! (parents first, names by bytes), hard links as one shared leaf, owners and
//! device nodes as plain numbers, and where each entry came from. Of the
//! host's file system it sees what [`host`] looks at, what a [`Content`] opens,
//! and the archives that [`tar`] and [`cpio`] read; it writes temporary files
//! only, for what was compressed.

mod archive;
mod codec;
mod content;
pub mod cpio;
pub mod host;
pub mod listing;
mod overlay;
mod path;
mod provenance;
pub mod spec;
pub mod tar;
mod walk;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use archive::{ArchiveError, Limits};
pub use content::{Content, ContentAt, ContentReader, Made};
pub use overlay::{Clash, OverlayError, Replaced};
pub use path::{Escaped, PathError, TreePath, unescape};
pub use provenance::Provenance;
pub use walk::{Item, Node};

/// Owner, mode and times: what every kind of entry has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Meta {
    /// Permission bits, set-uid, set-gid and sticky: the low twelve bits of
    /// `st_mode`, never the file type.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Seconds since 1970-01-01 UTC.
    pub mtime: i64,
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Meta {
    /// Owned by root, at the epoch, without xattrs.
    pub fn new(mode: u32) -> Self {
        Self { mode: mode & 0o7777, ..Self::default() }
    }
}

/// What a leaf is. Directories are not leaves: they cannot be hard-linked.
#[derive(Debug, Clone)]
pub enum Kind {
    File(Content),
    /// The target, as the link holds it; at most 65,535 bytes, never empty.
    Symlink(Vec<u8>),
    CharDevice {
        major: u32,
        minor: u32,
    },
    BlockDevice {
        major: u32,
        minor: u32,
    },
    Fifo,
    Socket,
}

/// One inode that is not a directory; several paths may share it.
#[derive(Debug, Clone)]
pub struct Leaf {
    pub meta: Meta,
    pub kind: Kind,
}

/// Names a leaf within its tree. Two paths with one id are hard links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeafId(usize);

/// An insertion that would contradict the tree as it stands. Each variant
/// names both sides, so that the user can decide which one is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    #[error("{path} comes from two sources: {first}; and {second}")]
    Twice { path: TreePath, first: Provenance, second: Provenance },
    #[error("{path} should be below {ancestor}, which is not a directory ({provenance})")]
    NotADirectory { path: TreePath, ancestor: TreePath, provenance: Provenance },
    #[error("{path} should be a hard link to {to}, which {problem}")]
    Link { path: TreePath, to: TreePath, problem: &'static str },
}

#[derive(Debug, Clone)]
enum Inode {
    Dir {
        meta: Meta,
        /// Made because something stands below it; an explicit insertion may
        /// claim it once.
        implied: bool,
    },
    Leaf(LeafId),
}

#[derive(Debug, Clone)]
struct Entry {
    inode: Inode,
    provenance: Provenance,
}

/// See the [crate] documentation. A tree always has its root directory.
#[derive(Debug, Clone)]
pub struct Tree {
    entries: BTreeMap<TreePath, Entry>,
    leaves: Vec<Option<LeafSlot>>,
}

#[derive(Debug, Clone)]
struct LeafSlot {
    leaf: Leaf,
    links: u32,
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

impl Tree {
    /// The root directory alone: 0755, root:root, at the epoch.
    pub fn new() -> Self {
        let root = Entry {
            inode: Inode::Dir { meta: Meta::new(0o755), implied: true },
            provenance: Provenance::new("every tree's root"),
        };
        Self { entries: BTreeMap::from([(TreePath::root(), root)]), leaves: Vec::new() }
    }

    /// Adds a directory, with its parents (0755, root:root, the same mtime)
    /// where they are missing. A directory that was only implied so far is
    /// claimed; one that was inserted before is a conflict.
    pub fn insert_dir(&mut self, path: TreePath, meta: Meta, from: Provenance) -> Result<(), Conflict> {
        if let Some(present) = self.entries.get_mut(&path) {
            return match &mut present.inode {
                Inode::Dir { meta: old, implied } if *implied => {
                    *old = meta;
                    *implied = false;
                    present.provenance = from;
                    Ok(())
                }
                _ => Err(Conflict::Twice { path, first: present.provenance.clone(), second: from }),
            };
        }
        self.imply_parents(&path, &meta, &from)?;
        self.entries.insert(path, Entry { inode: Inode::Dir { meta, implied: false }, provenance: from });
        Ok(())
    }

    /// Adds a leaf, with its parents where they are missing.
    pub fn insert_leaf(&mut self, path: TreePath, leaf: Leaf, from: Provenance) -> Result<LeafId, Conflict> {
        self.check_free(&path, &from)?;
        self.imply_parents(&path, &leaf.meta, &from)?;
        let id = LeafId(self.leaves.len());
        self.leaves.push(Some(LeafSlot { leaf, links: 1 }));
        self.entries.insert(path, Entry { inode: Inode::Leaf(id), provenance: from });
        Ok(id)
    }

    /// [`Tree::insert_leaf`] for the commonest leaf.
    pub fn insert_file(
        &mut self,
        path: TreePath,
        mode: u32,
        content: Content,
        from: Provenance,
    ) -> Result<LeafId, Conflict> {
        self.insert_leaf(path, Leaf { meta: Meta::new(mode), kind: Kind::File(content) }, from)
    }

    /// [`Tree::insert_leaf`] for a symlink, owned by root.
    pub fn insert_symlink(
        &mut self,
        path: TreePath,
        target: impl AsRef<[u8]>,
        from: Provenance,
    ) -> Result<LeafId, Conflict> {
        let kind = Kind::Symlink(target.as_ref().to_vec());
        self.insert_leaf(path, Leaf { meta: Meta::new(0o777), kind }, from)
    }

    /// Adds a hard link to the leaf at `to`.
    pub fn insert_link(&mut self, path: TreePath, to: &TreePath, from: Provenance) -> Result<(), Conflict> {
        let refuse = |problem| Conflict::Link { path: path.clone(), to: to.clone(), problem };
        let id = match self.entries.get(to).map(|entry| &entry.inode) {
            Some(Inode::Leaf(id)) => *id,
            Some(Inode::Dir { .. }) => return Err(refuse("is a directory")),
            None => return Err(refuse("is not in the tree")),
        };
        self.check_free(&path, &from)?;
        let slot = self.leaves[id.0].as_ref().expect("an entry's leaf is there");
        let meta = slot.leaf.meta.clone();
        self.imply_parents(&path, &meta, &from)?;
        self.leaves[id.0].as_mut().expect("it was just looked at").links += 1;
        self.entries.insert(path, Entry { inode: Inode::Leaf(id), provenance: from });
        Ok(())
    }

    /// Takes out the entry and, for a directory, everything below it. Returns
    /// how many entries went; the root itself stays.
    pub fn remove(&mut self, path: &TreePath) -> usize {
        let doomed: Vec<TreePath> = self.below(path).map(|(path, _)| path.clone()).filter(|p| !p.is_root()).collect();
        for path in &doomed {
            let entry = self.entries.remove(path).expect("it was just listed");
            if let Inode::Leaf(id) = entry.inode {
                self.unlink(id);
            }
        }
        doomed.len()
    }

    /// Applies `change` to each entry's metadata, once for a shared leaf.
    pub fn for_each_meta(&mut self, mut change: impl FnMut(&mut Meta)) {
        for entry in self.entries.values_mut() {
            if let Inode::Dir { meta, .. } = &mut entry.inode {
                change(meta);
            }
        }
        for slot in self.leaves.iter_mut().flatten() {
            change(&mut slot.leaf.meta);
        }
    }

    /// The metadata at `path`, to be changed; shared by all hard links.
    pub fn meta_mut(&mut self, path: &TreePath) -> Option<&mut Meta> {
        let entry = self.entries.get_mut(path)?;
        match &mut entry.inode {
            Inode::Dir { meta, .. } => Some(meta),
            Inode::Leaf(id) => self.leaves[id.0].as_mut().map(|slot| &mut slot.leaf.meta),
        }
    }

    /// The file's content at `path`, to be changed; shared by all hard links.
    pub fn content_mut(&mut self, path: &TreePath) -> Option<&mut Content> {
        let Inode::Leaf(id) = self.entries.get(path)?.inode else { return None };
        match &mut self.leaves[id.0].as_mut()?.leaf.kind {
            Kind::File(content) => Some(content),
            _ => None,
        }
    }

    /// Moves every mtime later than `epoch` back to it: what
    /// SOURCE_DATE_EPOCH asks for.
    pub fn clamp_mtimes(&mut self, epoch: i64) {
        self.for_each_meta(|meta| meta.mtime = meta.mtime.min(epoch));
    }

    /// Adds the farther cause to every entry's provenance.
    pub fn because(&mut self, cause: &str) {
        let cause: Arc<str> = cause.into();
        for entry in self.entries.values_mut() {
            entry.provenance = entry.provenance.because(cause.clone());
        }
    }

    fn check_free(&self, path: &TreePath, from: &Provenance) -> Result<(), Conflict> {
        match self.entries.get(path) {
            Some(present) => {
                Err(Conflict::Twice { path: path.clone(), first: present.provenance.clone(), second: from.clone() })
            }
            None => Ok(()),
        }
    }

    fn imply_parents(&mut self, path: &TreePath, child: &Meta, from: &Provenance) -> Result<(), Conflict> {
        let mut missing = Vec::new();
        let mut at = path.parent();
        while let Some(ancestor) = at {
            match self.entries.get(&ancestor) {
                Some(Entry { inode: Inode::Dir { .. }, .. }) => break,
                Some(entry) => {
                    let provenance = entry.provenance.clone();
                    return Err(Conflict::NotADirectory { path: path.clone(), ancestor, provenance });
                }
                None => {
                    at = ancestor.parent();
                    missing.push(ancestor);
                }
            }
        }
        for dir in missing {
            let meta = Meta { mtime: child.mtime, ..Meta::new(0o755) };
            let inode = Inode::Dir { meta, implied: true };
            self.entries.insert(dir, Entry { inode, provenance: from.clone() });
        }
        Ok(())
    }

    fn unlink(&mut self, id: LeafId) {
        let slot = self.leaves[id.0].as_mut().expect("an entry's leaf is there");
        slot.links -= 1;
        if slot.links == 0 {
            self.leaves[id.0] = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(written: &str) -> TreePath {
        TreePath::new(written).unwrap()
    }

    fn from(who: &str) -> Provenance {
        Provenance::new(who)
    }

    fn file(text: &str) -> Leaf {
        Leaf { meta: Meta::new(0o644), kind: Kind::File(Content::from(text.as_bytes().to_vec())) }
    }

    #[test]
    fn parents_are_implied_and_claimed_once() {
        let mut tree = Tree::new();
        tree.insert_leaf(path("a/b/c"), file("c"), from("first")).unwrap();
        tree.insert_dir(path("a"), Meta::new(0o700), from("claim")).unwrap();
        assert_eq!(tree.get(&path("a")).unwrap().meta.mode, 0o700);
        let again = tree.insert_dir(path("a"), Meta::new(0o711), from("again"));
        assert!(matches!(again, Err(Conflict::Twice { .. })), "{again:?}");
    }

    #[test]
    fn two_sources_for_one_path_are_both_named() {
        let mut tree = Tree::new();
        tree.insert_leaf(path("x"), file("1"), from("overlay one")).unwrap();
        let error = tree.insert_leaf(path("x"), file("2"), from("overlay two")).unwrap_err().to_string();
        assert!(error.contains("/x") && error.contains("overlay one") && error.contains("overlay two"), "{error}");
    }

    #[test]
    fn nothing_stands_below_a_leaf() {
        let mut tree = Tree::new();
        tree.insert_symlink(path("lib"), "usr/lib", from("root")).unwrap();
        let error = tree.insert_leaf(path("lib/x"), file(""), from("overlay")).unwrap_err();
        assert!(matches!(error, Conflict::NotADirectory { .. }), "{error}");
    }

    #[test]
    fn hard_links_share_one_leaf_and_are_counted() {
        let mut tree = Tree::new();
        let id = tree.insert_leaf(path("one"), file("x"), from("a")).unwrap();
        tree.insert_link(path("d/two"), &path("one"), from("a")).unwrap();
        tree.meta_mut(&path("d/two")).unwrap().mode = 0o600;
        let one = tree.get(&path("one")).unwrap();
        assert!(matches!(one.node, Node::Leaf { id: i, links: 2, .. } if i == id));
        assert_eq!((one.meta.mode, tree.content_len()), (0o600, 1));
        assert_eq!(tree.remove(&path("d")), 2);
        assert!(matches!(tree.get(&path("one")).unwrap().node, Node::Leaf { links: 1, .. }));
        assert!(tree.insert_link(path("three"), &path("nowhere"), from("a")).is_err());
        assert!(tree.insert_link(path("one/four"), &path("one"), from("a")).is_err());
        let one = tree.get(&path("one")).unwrap();
        assert!(matches!(one.node, Node::Leaf { links: 1, .. }), "a refused link does not count");
    }
}
