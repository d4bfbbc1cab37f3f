//! An image beside the tree it was made from: every entry and every byte.

use std::io;

use tree::listing::{self, With};
use tree::{Content, LeafId, Node, Tree, TreePath};

use super::{seconds, xattrs};
use crate::opened;

#[derive(Debug, thiserror::Error)]
pub enum ReadbackError {
    #[error("the squashfs cannot be read back")]
    Image(#[from] opened::squashfs::ReadError),
    #[error("{path}: cannot be compared")]
    Read { path: TreePath, source: io::Error },
    #[error("what was packed cannot be listed")]
    List(#[source] io::Error),
    #[error("the squashfs is not what was packed, in {count} entries, first:\n{first}")]
    Entries { count: usize, first: String },
    #[error("{path}: the squashfs holds other bytes than what was packed; did it change meanwhile?")]
    Bytes { path: TreePath },
}

/// Reads the whole image, with a reader that shares nothing with the writer but
/// the format.
pub fn compare(tree: &Tree, image: &Content) -> Result<(), ReadbackError> {
    const SHOWN: usize = 5;
    let there = opened::squashfs::tree(image)?;
    let list = |tree: &Tree| listing::of(tree, With::Metadata).map_err(ReadbackError::List);
    let differences = listing::diff(&list(&held(tree))?, &list(&there)?);
    if !differences.is_empty() {
        let first: Vec<String> = differences.iter().take(SHOWN).map(ToString::to_string).collect();
        return Err(ReadbackError::Entries { count: differences.len(), first: first.join("\n") });
    }
    let mut seen: Option<LeafId> = None;
    for item in there.walk() {
        let (Node::Leaf { id, .. }, Some(packed)) = (item.node, item.content()) else { continue };
        // Names of one leaf may stand far apart; that costs time alone.
        if seen.replace(id) == Some(id) {
            continue;
        }
        let source = tree.get(item.path).and_then(|item| item.content().cloned());
        let same = source.map_or(Ok(false), |source| source.is_same(packed));
        if !same.map_err(|source| ReadbackError::Read { path: item.path.clone(), source })? {
            return Err(ReadbackError::Bytes { path: item.path.clone() });
        }
    }
    Ok(())
}

/// What a squashfs can hold of the tree ([`super::advise`]).
fn held(tree: &Tree) -> Tree {
    let mut held = tree.clone();
    held.for_each_meta(|meta| {
        meta.mtime = seconds(meta.mtime).into();
        meta.xattrs.retain(|name, _| xattrs::split(name).is_some());
    });
    held
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::squashfs::{Options, write};
    use tree::{Kind, Leaf, Meta, Provenance};

    #[test]
    fn an_image_that_is_not_what_was_packed_is_told_apart() {
        let (path, from) = (|written: &str| TreePath::new(written).unwrap(), Provenance::new("test"));
        let mut tree = Tree::new();
        let big: Vec<u8> = (0..300_000_u32).map(|n| (n / 11) as u8).collect();
        tree.insert_file(path("a/big"), 0o644, big.into(), from.clone()).unwrap();
        tree.insert_file(path("a/small"), 0o644, b"text".to_vec().into(), from.clone()).unwrap();
        tree.insert_link(path("b"), &path("a/big"), from.clone()).unwrap();
        let meta = Meta { mtime: -7, ..Meta::new(0o600) };
        tree.insert_leaf(path("fifo"), Leaf { meta, kind: Kind::Fifo }, from.clone()).unwrap();
        let meta = tree.meta_mut(&path("a")).unwrap();
        meta.xattrs.insert(b"security.x".to_vec(), b"1".to_vec());
        meta.xattrs.insert(b"system.posix_acl_access".to_vec(), b"2".to_vec());
        let mut image = io::Cursor::new(Vec::new());
        // Raw, so that a byte of a file is a byte of the image.
        write(&tree, &Options::new("none".parse().unwrap()), &mut image).unwrap();
        let image = image.into_inner();
        compare(&tree, &image.clone().into()).unwrap();

        let at = image.windows(4).position(|window| window == b"text").unwrap();
        let mut changed = image.clone();
        changed[at] = b'T';
        let told = compare(&tree, &changed.into()).unwrap_err().to_string();
        assert!(told.starts_with("/a/small: "), "{told}");

        for change in [
            |tree: &mut Tree| tree.meta_mut(&TreePath::new("b").unwrap()).unwrap().mode = 0o600,
            |tree: &mut Tree| {
                drop(tree.meta_mut(&TreePath::new("a").unwrap()).unwrap().xattrs.remove(&b"security.x"[..]));
            },
            |tree: &mut Tree| assert_eq!(tree.remove(&TreePath::new("fifo").unwrap()), 1),
        ] {
            let mut other = tree.clone();
            change(&mut other);
            assert!(matches!(compare(&other, &image.clone().into()), Err(ReadbackError::Entries { .. })));
        }
    }
}
