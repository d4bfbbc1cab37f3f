//! Directories followed from the root, and the tree they make.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};

use tree::{Content, ContentAt, Kind, Leaf, Meta, Provenance, Tree, TreePath};

use super::ReadError;
use super::fields::{u16_le, u32_le, u64_le};
use super::file::{Blocks, File, Fragment};
use super::inode::{self, FileInode, Inode, InodeKind};
use super::metadata::{At, Metadata};
use super::superblock::Superblock;
use super::xattrs::Xattrs;
use crate::opened::budget::Budget;

/// `SQUASHFS_DIR_COUNT`: entries behind one header.
const RUN_MAX: u32 = 256;

pub(super) fn walk(image: &Content, superblock: &Superblock) -> Result<Tree, ReadError> {
    let image_at = image.open_at()?;
    let metadata = Metadata::new(&image_at, superblock.codec, superblock.len);
    let xattrs = superblock.xattr_table.map(|at| Ok::<_, ReadError>(Xattrs::new(&image_at.read(at, 16)?, at)));
    let blocks = Blocks {
        image: image.open_at()?,
        codec: superblock.codec,
        block_size: superblock.block_size,
        last: Mutex::new(None),
    };
    let mut walk = Walk {
        superblock,
        xattrs: xattrs.transpose()?,
        ids: ids(&image_at, metadata, superblock)?,
        metadata: Metadata::new(&image_at, superblock.codec, superblock.len),
        blocks: Arc::new(blocks),
        budget: Budget::default(),
        seen: HashSet::new(),
        links: HashMap::new(),
        from: Provenance::new("the squashfs"),
        tree: Tree::new(),
    };
    let root = place(superblock.inode_table, superblock.root)?;
    let mut pending = vec![(TreePath::root(), root)];
    while let Some((path, at)) = pending.pop() {
        walk.directory(&path, at, &mut pending)?;
    }
    Ok(walk.tree)
}

/// Owners stand in a table of their own, and inodes name them by its numbers.
fn ids(image: &ContentAt, mut metadata: Metadata<'_>, superblock: &Superblock) -> Result<Vec<u32>, ReadError> {
    // A table with one entry less than it says is found out here, once.
    image.read(superblock.id_table, 8)?;
    (0..superblock.ids.into()).map(|n| Ok(u32_le(&metadata.listed(superblock.id_table, n, 4)?, 0))).collect()
}

struct Walk<'a> {
    superblock: &'a Superblock,
    metadata: Metadata<'a>,
    xattrs: Option<Xattrs>,
    ids: Vec<u32>,
    blocks: Arc<Blocks>,
    budget: Budget,
    /// Inodes of directories: a second visit is a loop, or as bad as one.
    seen: HashSet<At>,
    /// Leaves of more than one name.
    links: HashMap<At, TreePath>,
    from: Provenance,
    tree: Tree,
}

impl Walk<'_> {
    fn inode(&mut self, at: At) -> Result<Inode, ReadError> {
        inode::read(&mut self.metadata, self.superblock, at, &mut self.budget)
    }

    fn directory(&mut self, path: &TreePath, at: At, pending: &mut Vec<(TreePath, At)>) -> Result<(), ReadError> {
        let damaged = |problem| ReadError::Entry { path: path.clone(), problem };
        if !self.seen.insert(at) {
            return Err(damaged("the directory stands in the tree twice"));
        }
        let inode = self.inode(at)?;
        let meta = self.meta(path, &inode)?;
        let InodeKind::Dir { block, within, len } = inode.kind else {
            return Err(damaged("a directory's inode is of another type"));
        };
        self.tree.insert_dir(path.clone(), meta, self.from.clone())?;
        // The length counts `.` and `..`, which are not stored, as three bytes.
        let mut left = len.saturating_sub(3) as usize;
        let mut at = place(self.superblock.dir_table, u64::from(block) << 16 | u64::from(within))?;
        while left > 0 {
            let header = self.metadata.take(&mut at, 12)?;
            let (run, table_block) = (u32_le(&header, 0), u32_le(&header, 4));
            left = left.checked_sub(12).ok_or_else(|| damaged("a header is cut off"))?;
            if run >= RUN_MAX {
                return Err(damaged("a header counts too many entries"));
            }
            for _ in 0..=run {
                let entry = self.metadata.take(&mut at, 8)?;
                let (within, kind) = (u16_le(&entry, 0), u16_le(&entry, 4));
                let name_len = usize::from(u16_le(&entry, 6)) + 1;
                left = left.checked_sub(8 + name_len).ok_or_else(|| damaged("an entry is cut off"))?;
                let name = self.metadata.take(&mut at, name_len)?;
                let inode = place(self.superblock.inode_table, u64::from(table_block) << 16 | u64::from(within))?;
                let child = child(path, &name)?;
                self.budget.entry(child.as_bytes().len()).map_err(ReadError::Excessive)?;
                if kind == 1 {
                    pending.push((child, inode));
                } else {
                    self.leaf(child, inode)?;
                }
            }
        }
        Ok(())
    }

    fn leaf(&mut self, path: TreePath, at: At) -> Result<(), ReadError> {
        if let Some(first) = self.links.get(&at) {
            self.tree.insert_link(path, first, self.from.clone())?;
            return Ok(());
        }
        let inode = self.inode(at)?;
        let meta = self.meta(&path, &inode)?;
        let kind = match inode.kind {
            InodeKind::Dir { .. } => {
                return Err(ReadError::Entry { path, problem: "an entry and its inode are of different types" });
            }
            InodeKind::File(file) => Kind::File(self.content(&path, &file)?),
            InodeKind::Symlink(target) if target.contains(&0) => {
                return Err(ReadError::Entry { path, problem: "a symlink has a NUL byte in it" });
            }
            InodeKind::Symlink(target) => Kind::Symlink(target),
            InodeKind::BlockDevice(number) => {
                let (major, minor) = device(number);
                Kind::BlockDevice { major, minor }
            }
            InodeKind::CharDevice(number) => {
                let (major, minor) = device(number);
                Kind::CharDevice { major, minor }
            }
            InodeKind::Fifo => Kind::Fifo,
            InodeKind::Socket => Kind::Socket,
        };
        if inode.links > 1 {
            self.links.insert(at, path.clone());
        }
        self.tree.insert_leaf(path, Leaf { meta, kind }, self.from.clone())?;
        Ok(())
    }

    fn content(&mut self, path: &TreePath, file: &FileInode) -> Result<Content, ReadError> {
        let damaged = |problem| ReadError::Entry { path: path.clone(), problem };
        if file.len == 0 {
            return Ok(Content::from(Vec::new()));
        }
        let fragment = match file.fragment {
            None => None,
            Some((number, within)) => {
                let table = self.superblock.fragment_table.filter(|_| number < self.superblock.fragments);
                let table = table.ok_or_else(|| damaged("its fragment is not there"))?;
                let entry = self.metadata.listed(table, number, 16)?;
                Some(Fragment { start: u64_le(&entry, 0), stored: u32_le(&entry, 8), within })
            }
        };
        let made = File::new(self.blocks.clone(), file, fragment, self.superblock.len)
            .ok_or_else(|| damaged("its blocks stand outside of the image"))?;
        Ok(Content::made(Arc::new(made), file.len))
    }

    fn meta(&mut self, path: &TreePath, inode: &Inode) -> Result<Meta, ReadError> {
        let id = |number: u16| {
            let problem = "an owner is not in the table of owners";
            self.ids.get(usize::from(number)).copied().ok_or_else(|| ReadError::Entry { path: path.clone(), problem })
        };
        let (uid, gid) = (id(inode.uid)?, id(inode.gid)?);
        let xattrs = match (inode.xattrs, &mut self.xattrs) {
            (Some(number), Some(table)) => {
                let set = table.get(&mut self.metadata, number)?;
                let len = set.iter().map(|(name, value)| name.len() + value.len()).sum();
                self.budget.xattrs(len).map_err(ReadError::Excessive)?;
                set.as_ref().clone()
            }
            (Some(_), None) => {
                let problem = "it has extended attributes, and the image no table of them";
                return Err(ReadError::Entry { path: path.clone(), problem });
            }
            (None, _) => BTreeMap::new(),
        };
        Ok(Meta { uid, gid, mtime: inode.mtime.into(), xattrs, ..Meta::new(inode.mode.into()) })
    }
}

fn place(table: u64, reference: u64) -> Result<At, ReadError> {
    At::new(table, reference).ok_or(ReadError::Damaged { offset: table, problem: "a place outside of it" })
}

/// One name, never a path.
fn child(dir: &TreePath, name: &[u8]) -> Result<TreePath, ReadError> {
    if name.contains(&b'/') || name == b"." {
        return Err(ReadError::Entry { path: dir.clone(), problem: "a name in it is none" });
    }
    dir.join(name).map_err(|source| ReadError::Name { dir: dir.clone(), source })
}

/// The kernel's `new_decode_dev`.
fn device(number: u32) -> (u32, u32) {
    ((number & 0x000f_ff00) >> 8, (number & 0xff) | ((number >> 12) & 0x000f_ff00))
}
