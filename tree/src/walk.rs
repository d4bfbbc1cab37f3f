//! Looking at a tree: one entry, or many in the order that encoders write.

use crate::{Content, Entry, Inode, Kind, LeafId, LeafSlot, Meta, Provenance, Tree, TreePath};

/// One entry as a walk or a look-up shows it.
#[derive(Debug, Clone, Copy)]
pub struct Item<'a> {
    pub path: &'a TreePath,
    pub meta: &'a Meta,
    pub node: Node<'a>,
    pub provenance: &'a Provenance,
}

#[derive(Debug, Clone, Copy)]
pub enum Node<'a> {
    Dir,
    Leaf {
        id: LeafId,
        kind: &'a Kind,
        /// How many paths of this tree share the leaf: `st_nlink`.
        links: u32,
    },
}

impl<'a> Item<'a> {
    pub fn is_dir(&self) -> bool {
        matches!(self.node, Node::Dir)
    }

    /// The content, if this is a regular file.
    pub fn content(&self) -> Option<&'a Content> {
        match self.node {
            Node::Leaf { kind: Kind::File(content), .. } => Some(content),
            _ => None,
        }
    }

    pub fn symlink_target(&self) -> Option<&'a [u8]> {
        match self.node {
            Node::Leaf { kind: Kind::Symlink(target), .. } => Some(target),
            _ => None,
        }
    }
}

impl Tree {
    pub fn get(&self, path: &TreePath) -> Option<Item<'_>> {
        self.entries.get_key_value(path).map(|(path, entry)| self.item(path, entry))
    }

    pub fn contains(&self, path: &TreePath) -> bool {
        self.entries.contains_key(path)
    }

    /// Every entry, the root first, each directory right before what stands
    /// in it, names by bytes.
    pub fn walk(&self) -> impl Iterator<Item = Item<'_>> {
        self.entries.iter().map(|(path, entry)| self.item(path, entry))
    }

    /// `dir` and everything below it, in the order of [`Tree::walk`].
    pub fn walk_below(&self, dir: &TreePath) -> impl Iterator<Item = Item<'_>> {
        self.below(dir).map(|(path, entry)| self.item(path, entry))
    }

    /// The entries that stand directly in `dir`.
    pub fn children(&self, dir: &TreePath) -> impl Iterator<Item = Item<'_>> {
        let depth = dir.depth() + 1;
        self.walk_below(dir).filter(move |item| item.path.depth() == depth)
    }

    /// How many entries, the root among them.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True while there is nothing but the root.
    pub fn is_empty(&self) -> bool {
        self.entries.len() == 1
    }

    /// The bytes of all regular files, each leaf counted once.
    pub fn content_len(&self) -> u64 {
        let content = |slot: &LeafSlot| match &slot.leaf.kind {
            Kind::File(content) => content.len(),
            _ => 0,
        };
        self.leaves.iter().flatten().map(content).sum()
    }

    pub(crate) fn below(&self, dir: &TreePath) -> impl Iterator<Item = (&TreePath, &Entry)> {
        let within = dir.clone();
        self.entries.range(dir..).take_while(move |(path, _)| path.is_within(&within))
    }

    pub(crate) fn item<'a>(&'a self, path: &'a TreePath, entry: &'a Entry) -> Item<'a> {
        let (meta, node) = match &entry.inode {
            Inode::Dir { meta, .. } => (meta, Node::Dir),
            Inode::Leaf(id) => {
                let slot = self.leaves[id.0].as_ref().expect("an entry's leaf is there");
                (&slot.leaf.meta, Node::Leaf { id: *id, kind: &slot.leaf.kind, links: slot.links })
            }
        };
        Item { path, meta, node, provenance: &entry.provenance }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn walks_parents_first_and_by_bytes() {
        let mut tree = Tree::new();
        for name in ["b/x", "a-b", "a/z", "a/B"] {
            tree.insert_symlink(TreePath::new(name).unwrap(), "to", Provenance::new("t")).unwrap();
        }
        let walked: Vec<_> = tree.walk().map(|item| item.path.to_string()).collect();
        assert_eq!(walked, ["/", "/a", "/a/B", "/a/z", "/a-b", "/b", "/b/x"]);
        let children: Vec<_> = tree.children(&TreePath::root()).map(|item| item.path.to_string()).collect();
        assert_eq!(children, ["/a", "/a-b", "/b"]);
    }
}
