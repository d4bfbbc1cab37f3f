//! Which entry stands where, with which numbers: what the format leaves open
//! and each program does in its own way.

use std::collections::BTreeMap;

use tree::{Item, Kind, LeafId, Node, Tree};

/// Whose archive it should be, byte for byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Like {
    /// Entries stand where their names do, and inodes are numbered in that order.
    #[default]
    Liveroot,
    /// The kernel's usr/gen_init_cpio.c, given the list of [`tree::spec`].
    GenInitCpio,
    /// GNU `cpio -o -H newc --reproducible`, given the names of a walk.
    GnuCpio,
}

/// An entry in its place.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub item: Item<'a>,
    pub inode: u32,
    pub links: u32,
    /// The data of a hard-linked file stands at its last link, where every
    /// reader expects it.
    pub with_data: bool,
}

impl Like {
    pub(super) fn entries(self, tree: &Tree) -> Vec<Entry<'_>> {
        let items: Vec<Item<'_>> = match self {
            Self::GnuCpio => tree.walk().filter(|item| !item.path.is_root()).collect(),
            _ => super::order(tree),
        };
        let last = last_names(&items);
        let place = |(n, item): &(usize, Item<'_>)| -> (usize, usize) {
            match self {
                Self::Liveroot => (*n, 0),
                // A file with all its names, where the last of them stands.
                Self::GenInitCpio => (end(&last, item, *n), *n),
                // The others are put off until the last is seen, and then come latest first.
                Self::GnuCpio if end(&last, item, *n) == *n => (*n, usize::MAX),
                Self::GnuCpio => (end(&last, item, *n), usize::MAX - 1 - n),
            }
        };
        let mut numbers = Numbers::starting_with(self.first_inode());
        let inodes_by_walk: Vec<u32> = items.iter().map(|item| numbers.of(item)).collect();
        let mut order: Vec<(usize, Item<'_>)> = items.into_iter().enumerate().collect();
        order.sort_by_key(place);
        let mut numbers = Numbers::starting_with(self.first_inode());
        let mut entries = Vec::with_capacity(order.len());
        for (n, item) in order {
            let inode = if self == Self::GenInitCpio { numbers.of(&item) } else { inodes_by_walk[n] };
            let (links, with_data) = (self.links(tree, &item), end(&last, &item, n) == n);
            entries.push(Entry { item, inode, links, with_data });
        }
        entries
    }

    fn first_inode(self) -> u32 {
        match self {
            Self::Liveroot => 1,
            Self::GenInitCpio => 721,
            Self::GnuCpio => 0,
        }
    }

    fn links(self, tree: &Tree, item: &Item<'_>) -> u32 {
        match (self, &item.node) {
            // As file systems count: its own name, `.`, and `..` of each below.
            (Self::GnuCpio, Node::Dir) => 2 + tree.children(item.path).filter(Item::is_dir).count() as u32,
            (_, Node::Dir) | (Self::GenInitCpio, Node::Leaf { kind: Kind::Fifo | Kind::Socket, .. }) => 2,
            (_, Node::Leaf { links, .. }) => *links,
        }
    }

    /// The device that entries stood on.
    pub(super) fn device(self) -> (u32, u32) {
        if self == Self::GenInitCpio { (3, 1) } else { (0, 0) }
    }

    pub(super) fn ends_targets_with_nul(self) -> bool {
        self == Self::GenInitCpio
    }
}

/// Where the last name of a regular file stands, or the entry itself.
fn end(last: &BTreeMap<LeafId, usize>, item: &Item<'_>, n: usize) -> usize {
    match item.node {
        Node::Leaf { id, .. } => last.get(&id).copied().unwrap_or(n),
        Node::Dir => n,
    }
}

fn last_names(items: &[Item<'_>]) -> BTreeMap<LeafId, usize> {
    let file = |(n, item): (usize, &Item<'_>)| match item.node {
        Node::Leaf { id, kind: Kind::File(_), .. } => Some((id, n)),
        _ => None,
    };
    items.iter().enumerate().filter_map(file).collect()
}

/// Inode numbers in the order of asking.
struct Numbers {
    leaves: BTreeMap<LeafId, u32>,
    next: u32,
}

impl Numbers {
    fn starting_with(next: u32) -> Self {
        Self { leaves: BTreeMap::new(), next }
    }

    fn of(&mut self, item: &Item<'_>) -> u32 {
        let number = match item.node {
            Node::Dir => self.next,
            Node::Leaf { id, .. } => *self.leaves.entry(id).or_insert(self.next),
        };
        if number == self.next {
            self.next += 1;
        }
        number
    }
}
