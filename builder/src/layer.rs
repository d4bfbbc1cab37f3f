//! A layer: what one tree has over another, in the form that overlayfs lays
//! over it (Documentation/filesystems/overlayfs.rst, "whiteouts and opaque
//! directories").

use std::collections::{BTreeSet, HashMap};
use std::io;

use tree::{Conflict, Item, Kind, Leaf, LeafId, Meta, Node, Provenance, Tree, TreePath};

/// In this place there is nothing, whatever stands below.
const WHITEOUT: Kind = Kind::CharDevice { major: 0, minor: 0 };
/// Nothing of the directory below shows through this one.
const OPAQUE: (&[u8], &[u8]) = (b"trusted.overlay.opaque", b"y");
/// What overlayfs keeps for itself.
const MARKS: &[u8] = b"trusted.overlay.";

#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    #[error("{path}: {what} is a mark of overlayfs, which would take it for its own; leave it out")]
    Mark { path: TreePath, what: &'static str },
    #[error("{path}: it cannot be compared with what is below the layer")]
    Read { path: TreePath, source: io::Error },
    #[error(transparent)]
    Conflict(#[from] Conflict),
}

/// Laid over `below`, the result is `wanted`. A directory that comes along for
/// what stands in it has the metadata that `wanted` gives it: of directories
/// that are merged, the uppermost one's shows.
pub fn over(below: &Tree, wanted: &Tree) -> Result<Tree, LayerError> {
    check(wanted)?;
    let opaque = opaque(below, wanted);
    // The uppermost layer's root shows, whatever else is in it.
    let mut taken: BTreeSet<TreePath> = opaque.iter().cloned().chain([TreePath::root()]).collect();
    let kept = kept_leaves(below, wanted)?;
    for item in wanted.walk() {
        let stays = match item.node {
            Node::Dir => below.get(item.path).is_some_and(|lower| lower.is_dir() && lower.meta == item.meta),
            Node::Leaf { id, .. } => kept.contains(&id),
        };
        if !stays {
            taken.insert(item.path.clone());
        }
    }
    let gone: Vec<TreePath> = gone(below, wanted, &opaque).collect();
    for path in taken.iter().chain(&gone).cloned().collect::<Vec<_>>() {
        let mut above = path.parent();
        while let Some(dir) = above.filter(|dir| taken.insert(dir.clone())) {
            above = dir.parent();
        }
    }
    take(wanted, &taken, &opaque, gone)
}

fn take(
    wanted: &Tree,
    taken: &BTreeSet<TreePath>,
    opaque: &BTreeSet<TreePath>,
    gone: Vec<TreePath>,
) -> Result<Tree, LayerError> {
    let mut layer = Tree::new();
    let mut first_names: HashMap<LeafId, &TreePath> = HashMap::new();
    for item in wanted.walk().filter(|item| taken.contains(item.path)) {
        let (path, from) = (item.path.clone(), item.provenance.clone());
        match item.node {
            Node::Dir => {
                let mut meta = item.meta.clone();
                if opaque.contains(&path) {
                    meta.xattrs.insert(OPAQUE.0.into(), OPAQUE.1.into());
                }
                layer.insert_dir(path, meta, from)?;
            }
            Node::Leaf { id, kind, .. } => {
                if let Some(first) = first_names.get(&id) {
                    layer.insert_link(path, first, from)?;
                    continue;
                }
                let leaf = Leaf { meta: item.meta.clone(), kind: kind.clone() };
                layer.insert_leaf(path, leaf, from)?;
                first_names.insert(id, item.path);
            }
        }
    }
    for path in gone {
        let leaf = Leaf { meta: Meta::new(0), kind: WHITEOUT };
        layer.insert_leaf(path, leaf, Provenance::new("the layer takes it away"))?;
    }
    Ok(layer)
}

/// That no entry would be taken for a mark: also of what layers are laid over.
pub fn check(tree: &Tree) -> Result<(), LayerError> {
    let mark = |item: &Item<'_>| match item.node {
        Node::Leaf { kind: Kind::CharDevice { major: 0, minor: 0 }, .. } => Some("a character device 0:0"),
        _ if item.meta.xattrs.keys().any(|name| name.starts_with(MARKS)) => Some("an xattr trusted.overlay.*"),
        _ => None,
    };
    let found = tree.walk().find_map(|item| Some((item.path.clone(), mark(&item)?)));
    found.map_or(Ok(()), |(path, what)| Err(LayerError::Mark { path, what }))
}

/// Directories on both sides of which nothing stays: one mark, where each name
/// below would need one of its own. Roots are merged in any case.
fn opaque(below: &Tree, wanted: &Tree) -> BTreeSet<TreePath> {
    let replaced = |dir: &Item<'_>| {
        let mut names = below.children(dir.path).peekable();
        let nothing_stays = names.peek().is_some() && !names.any(|child| wanted.contains(child.path));
        nothing_stays && below.get(dir.path).is_some_and(|lower| lower.is_dir())
    };
    wanted
        .walk()
        .filter(|item| item.is_dir() && !item.path.is_root())
        .filter(replaced)
        .map(|dir| dir.path.clone())
        .collect()
}

/// The uppermost paths below that are not wanted and would show.
fn gone<'a>(
    below: &'a Tree,
    wanted: &'a Tree,
    opaque: &'a BTreeSet<TreePath>,
) -> impl Iterator<Item = TreePath> + use<'a> {
    below.walk().map(|item| item.path).filter(|path| !wanted.contains(path)).filter_map(move |path| {
        let parent = path.parent()?;
        let shows = wanted.get(&parent).is_some_and(|parent| parent.is_dir()) && !opaque.contains(&parent);
        shows.then(|| path.clone())
    })
}

/// Leaves that stand below as they are wanted, under all of their names and no
/// other: half of a hard link's names in another layer would be another file.
fn kept_leaves(below: &Tree, wanted: &Tree) -> Result<BTreeSet<LeafId>, LayerError> {
    let mut names: HashMap<LeafId, Vec<Item<'_>>> = HashMap::new();
    for item in wanted.walk() {
        if let Node::Leaf { id, .. } = item.node {
            names.entry(id).or_default().push(item);
        }
    }
    let mut kept = BTreeSet::new();
    for (id, items) in names {
        let mut below_ids = items.iter().map(|item| match below.get(item.path)?.node {
            Node::Leaf { id, links, .. } => Some((id, links)),
            Node::Dir => None,
        });
        let first = below_ids.next().flatten().filter(|(_, links)| *links as usize == items.len());
        let one_leaf = first.is_some() && below_ids.all(|other| other == first);
        if one_leaf && below.get(items[0].path).is_some_and(|lower| lower.meta == items[0].meta) {
            let same = same_kind(below, &items[0]);
            if same.map_err(|source| LayerError::Read { path: items[0].path.clone(), source })? {
                kept.insert(id);
            }
        }
    }
    Ok(kept)
}

fn same_kind(below: &Tree, item: &Item<'_>) -> io::Result<bool> {
    let lower = below.get(item.path);
    let (Some(Node::Leaf { kind: lower, .. }), Node::Leaf { kind, .. }) = (lower.map(|lower| lower.node), item.node)
    else {
        return Ok(false);
    };
    Ok(match (lower, kind) {
        (Kind::File(old), Kind::File(new)) => old.is_same(new)?,
        (Kind::Symlink(old), Kind::Symlink(new)) => old == new,
        (Kind::CharDevice { major, minor }, Kind::CharDevice { major: other, minor: another })
        | (Kind::BlockDevice { major, minor }, Kind::BlockDevice { major: other, minor: another }) => {
            (major, minor) == (other, another)
        }
        (Kind::Fifo, Kind::Fifo) | (Kind::Socket, Kind::Socket) => true,
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tree::Content;
    use tree::listing::{With, print};

    /// `dir/`, `file=text`, `link->target`, `new==old`.
    fn tree(words: &str) -> Tree {
        let (mut tree, from) = (Tree::new(), Provenance::new("test"));
        let path = |written: &str| TreePath::new(written).unwrap();
        for word in words.split_whitespace() {
            if let Some((new, old)) = word.split_once("==") {
                tree.insert_link(path(new), &path(old), from.clone()).unwrap();
            } else if let Some((name, text)) = word.split_once('=') {
                tree.insert_file(path(name), 0o644, Content::from(text.to_owned()), from.clone()).unwrap();
            } else if let Some((name, target)) = word.split_once("->") {
                tree.insert_symlink(path(name), target, from.clone()).unwrap();
            } else {
                tree.insert_dir(path(word), Meta::new(0o700), from.clone()).unwrap();
            }
        }
        tree
    }

    #[test]
    fn a_layer_holds_what_differs_and_marks_for_what_is_gone() {
        for (below, wanted, layer) in [
            ("a=1 d/b=2", "a=1 d/b=2", "d 0755 /"),
            ("a=1 b=2", "a=1", "d 0755 /\nc 0000 /b dev=0:0"),
            ("a=1", "a=2", "d 0755 /\nf 0644 /a size=1"),
            ("d/x=1 d/y=2", "d/x=1 d/y=3", "d 0755 /\nd 0755 /d\nf 0644 /d/y size=1"),
            // The directory's own mode shows, and nothing in it is packed again.
            ("d/x=1", "d/ d/x=1", "d 0755 /\nd 0700 /d"),
            // All of it is gone: no mark for each name.
            ("d/x=1 d/y/z=1", "d/new=1", "d 0755 /\nd 0755 /d xattr=trusted.overlay.opaque:79\nf 0644 /d/new size=1"),
            ("d/x/y=1 d/k=1", "d/k=1", "d 0755 /\nd 0755 /d\nc 0000 /d/x dev=0:0"),
            // From file to directory and back.
            ("a=1", "a/b=1", "d 0755 /\nd 0755 /a\nf 0644 /a/b size=1"),
            ("a/b=1", "a=1", "d 0755 /\nf 0644 /a size=1"),
            // A name more or less: the file comes whole.
            ("a=1 k=1", "a=1 b==a k=1", "d 0755 /\nf 0644 /a size=1 links=2\nf 0644 /b size=1 links=2 link=/a"),
            ("a=1 b==a", "a=1", "d 0755 /\nf 0644 /a size=1\nc 0000 /b dev=0:0"),
            ("a=1 b=1", "a=1 b==a", "d 0755 /\nf 0644 /a size=1 links=2\nf 0644 /b size=1 links=2 link=/a"),
        ] {
            let made = over(&tree(below), &tree(wanted)).unwrap();
            let listed = print(&made, With::Metadata).unwrap().replace(" 0:0 0 ", " ");
            assert_eq!(listed.trim_end(), layer.trim_start(), "{wanted} over {below}");
        }
    }

    #[test]
    fn what_overlayfs_would_take_for_its_own_is_refused() {
        let path = TreePath::new("dev/none").unwrap();
        let mut device = tree("a=1");
        let leaf = Leaf { meta: Meta::new(0o600), kind: WHITEOUT };
        device.insert_leaf(path, leaf, Provenance::new("test")).unwrap();
        let mut marked = tree("d/a=1");
        let meta = marked.meta_mut(&TreePath::new("d").unwrap()).unwrap();
        meta.xattrs.insert(b"trusted.overlay.metacopy".to_vec(), Vec::new());
        for (tree, named) in [(device, "/dev/none"), (marked, "/d")] {
            let refused = over(&Tree::new(), &tree).unwrap_err().to_string();
            assert!(refused.starts_with(&format!("{named}: ")), "{refused}");
        }
    }
}
