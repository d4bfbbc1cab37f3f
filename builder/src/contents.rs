//! The list that ends an initramfs ([`init::contents`]).

use std::io;

use init::contents::{Entry, Holds, Inode, print};
use init::contract::initramfs as at;
use tree::{Conflict, Item, Kind, Leaf, Meta, Node, Provenance, Tree, TreePath};

use crate::newc;
use crate::provenance::role::words;

#[derive(Debug, thiserror::Error)]
pub enum ContentsError {
    #[error("{path}")]
    Read { path: TreePath, source: io::Error },
    #[error("the list of what is in the initramfs")]
    Conflict(#[from] Conflict),
}

/// Lists all that is in the tree, in the tree: nothing may be changed or added
/// any more.
pub fn add(tree: &mut Tree, epoch: i64) -> Result<(), ContentsError> {
    let path = TreePath::new(at::CONTENTS).expect("a plain path");
    let from = Provenance::new(words::CONTENTS);
    let leaf = |text: String| Leaf { meta: Meta { mtime: epoch, ..Meta::new(0o644) }, kind: Kind::File(text.into()) };
    // Its directories are listed too, and are there once it is.
    tree.insert_leaf(path.clone(), leaf(String::new()), from.clone())?;
    let listed = newc::order(tree).into_iter().filter(|item| *item.path != path);
    let entries = listed.map(|item| Ok(Entry { path: item.path.as_bytes().into(), inode: inode(&item)? }));
    let entries = entries.collect::<Result<Vec<_>, ContentsError>>()?;
    tree.remove(&path);
    tree.insert_leaf(path, leaf(print(&entries)), from)?;
    Ok(())
}

/// An entry as the kernel makes it, and `/init` finds it.
fn inode(item: &Item<'_>) -> Result<Inode, ContentsError> {
    let read = |source| ContentsError::Read { path: item.path.clone(), source };
    let holds = match item.node {
        Node::Dir => Holds::Nothing,
        Node::Leaf { kind, .. } => match kind {
            Kind::File(content) => content.open().and_then(Holds::content).map_err(read)?,
            Kind::Symlink(target) => Holds::content(&**target).map_err(read)?,
            Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => {
                Holds::Device { major: *major, minor: *minor }
            }
            Kind::Fifo | Kind::Socket => Holds::Nothing,
        },
    };
    let meta = item.meta;
    Ok(Inode { mode: newc::mode(item), uid: meta.uid, gid: meta.gid, holds })
}

#[cfg(test)]
mod tests;
