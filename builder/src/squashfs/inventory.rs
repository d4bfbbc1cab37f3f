//! The tree as squashfs sees it: inodes with their numbers and link counts,
//! and directories as lists of names.

use std::collections::HashMap;

use tree::{Content, Kind, LeafId, Meta, Node, Tree, TreePath};

use super::SquashfsError;
use super::format::Type;

pub(super) struct Inventory<'a> {
    pub(super) inodes: Vec<Inode<'a>>,
    /// Parents before their children; the first is the root.
    pub(super) dirs: Vec<Dir<'a>>,
    /// Every regular file once, in the tree's order.
    pub(super) files: Vec<File<'a>>,
}

pub(super) struct Inode<'a> {
    /// From 1: Linux refuses 0.
    pub(super) number: u32,
    pub(super) links: u32,
    pub(super) meta: &'a Meta,
    pub(super) what: What<'a>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum What<'a> {
    /// Its place in [`Inventory::dirs`].
    Dir(usize),
    /// Its place in [`Inventory::files`].
    File(usize),
    Symlink(&'a [u8]),
    Device {
        kind: Type,
        number: u32,
    },
    Fifo,
    Socket,
}

impl What<'_> {
    pub(super) fn kind(self) -> Type {
        match self {
            Self::Dir(_) => Type::Dir,
            Self::File(_) => Type::File,
            Self::Symlink(_) => Type::Symlink,
            Self::Device { kind, .. } => kind,
            Self::Fifo => Type::Fifo,
            Self::Socket => Type::Socket,
        }
    }
}

pub(super) struct Dir<'a> {
    pub(super) inode: usize,
    /// The inode its `..` is; the root's is one that nothing else has.
    pub(super) parent: Option<usize>,
    /// Names by bytes, each with the place of its inode.
    pub(super) children: Vec<(&'a [u8], usize)>,
}

pub(super) struct File<'a> {
    pub(super) path: &'a TreePath,
    pub(super) content: &'a Content,
}

impl<'a> Inventory<'a> {
    pub(super) fn take(tree: &'a Tree) -> Result<Self, SquashfsError> {
        let mut inventory = Self { inodes: Vec::new(), dirs: Vec::new(), files: Vec::new() };
        let mut linked: HashMap<LeafId, usize> = HashMap::new();
        // The directories from the root to where the walk is.
        let mut open: Vec<usize> = Vec::new();
        for item in tree.walk() {
            open.truncate(item.path.depth());
            let parent = open.last().copied();
            let inode = match item.node {
                Node::Dir => {
                    open.push(inventory.dirs.len());
                    let inode = inventory.add(item.meta, 2, What::Dir(inventory.dirs.len()));
                    let parent = parent.map(|dir| inventory.dirs[dir].inode);
                    inventory.dirs.push(Dir { inode, parent, children: Vec::new() });
                    if let Some(parent) = parent {
                        inventory.inodes[parent].links += 1;
                    }
                    inode
                }
                Node::Leaf { id, links, .. } if links > 1 && linked.contains_key(&id) => linked[&id],
                Node::Leaf { id, links, kind } => {
                    let what = inventory.leaf(kind, item.path)?;
                    let inode = inventory.add(item.meta, links, what);
                    if links > 1 {
                        linked.insert(id, inode);
                    }
                    inode
                }
            };
            if let Some(parent) = parent {
                inventory.dirs[parent].children.push((item.path.name(), inode));
            }
        }
        if u32::try_from(inventory.inodes.len() + 1).is_err() {
            return Err(SquashfsError::TooMany { what: "entries", limit: u64::from(u32::MAX) - 1 });
        }
        inventory.number();
        Ok(inventory)
    }

    fn add(&mut self, meta: &'a Meta, links: u32, what: What<'a>) -> usize {
        self.inodes.push(Inode { number: 0, links, meta, what });
        self.inodes.len() - 1
    }

    fn leaf(&mut self, kind: &'a Kind, path: &'a TreePath) -> Result<What<'a>, SquashfsError> {
        Ok(match kind {
            Kind::File(content) => {
                self.files.push(File { path, content });
                What::File(self.files.len() - 1)
            }
            Kind::Symlink(target) => What::Symlink(target),
            Kind::CharDevice { major, minor } => {
                What::Device { kind: Type::CharDevice, number: device(path, *major, *minor)? }
            }
            Kind::BlockDevice { major, minor } => {
                What::Device { kind: Type::BlockDevice, number: device(path, *major, *minor)? }
            }
            Kind::Fifo => What::Fifo,
            Kind::Socket => What::Socket,
        })
    }

    /// Numbers what stands in one directory in a row: its listing stores
    /// differences of 16 bits.
    fn number(&mut self) {
        self.inodes[self.dirs[0].inode].number = 1;
        let mut next = 2;
        for dir in &self.dirs {
            for (_, inode) in &dir.children {
                let inode = &mut self.inodes[*inode];
                // A hard link has the number of its first name.
                if inode.number == 0 {
                    inode.number = next;
                    next += 1;
                }
            }
        }
    }
}

/// The kernel's new_encode_dev: 12 bits of major, 20 of minor.
fn device(path: &TreePath, major: u32, minor: u32) -> Result<u32, SquashfsError> {
    let fits = major < 1 << 12 && minor < 1 << 20;
    let number = (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12);
    fits.then_some(number).ok_or_else(|| SquashfsError::Device { path: path.clone(), major, minor })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tree::Provenance;

    #[test]
    fn links_are_counted_and_siblings_numbered_in_a_row() {
        let (path, from) = (|p: &str| TreePath::new(p).unwrap(), Provenance::new("test"));
        let mut tree = Tree::new();
        for name in ["a/deep/er/x", "b/y", "c"] {
            tree.insert_file(path(name), 0o644, Content::from(Vec::new()), from.clone()).unwrap();
        }
        tree.insert_link(path("a/z"), &path("c"), from).unwrap();
        let inventory = Inventory::take(&tree).unwrap();
        let of = |dir: usize| -> Vec<_> {
            let seen = |(name, inode): &(&[u8], usize)| {
                let inode = &inventory.inodes[*inode];
                (String::from_utf8_lossy(name).into_owned(), inode.number, inode.links)
            };
            inventory.dirs[dir].children.iter().map(seen).collect()
        };
        assert_eq!(inventory.inodes[inventory.dirs[0].inode].links, 4);
        assert_eq!(of(0), [("a".into(), 2, 3), ("b".into(), 3, 2), ("c".into(), 4, 2)]);
        assert_eq!(of(1), [("deep".into(), 5, 3), ("z".into(), 4, 2)]);
    }

    #[test]
    fn device_numbers_are_the_kernels_or_an_error() {
        let path = TreePath::new("dev/x").unwrap();
        assert_eq!(device(&path, 8, 0x12345).unwrap(), 0x1230_0845);
        assert!(device(&path, 1 << 12, 0).is_err() && device(&path, 0, 1 << 20).is_err());
    }
}
