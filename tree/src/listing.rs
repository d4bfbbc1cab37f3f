//! The one text form of a tree, which tests compare and people read:
//!
//! ```text
//! d 0755 0:0 0 /
//! f 0644 0:0 1700000000 /bin/sh size=7 links=2
//! f 0644 0:0 1700000000 /bin/toybox size=7 links=2 link=/bin/sh
//! c 0600 0:0 0 /dev/console dev=5:1
//! l 0777 0:0 0 /lib to=usr/lib
//! f 0755 0:0 0 /sbin/ping size=9 sha256=9f64… xattr=security.capability:01000002…
//! ```
//!
//! Paths, targets and xattr names are [`Escaped`](crate::Escaped), so a line splits at blanks.
//! A hard link names the first path of its leaf, which no reader's numbering
//! changes. Modes are octal, xattr values hexadecimal.

mod diff;
mod text;

use std::collections::{BTreeMap, HashMap};
use std::io;

use sha2::{Digest, Sha256};

use crate::{Content, Kind, LeafId, Node, Tree, TreePath};
pub use diff::{Difference, diff};
pub use text::{ListingError, parse};

/// What is said of a file's content besides its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum With {
    Metadata,
    /// Reads every file.
    Digests,
}

/// A tree's lines, in the order of [`Tree::walk`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    pub lines: Vec<Line>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub path: TreePath,
    pub what: What,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: i64,
    /// How many paths share the leaf; 1 for a directory.
    pub links: u32,
    /// The first path of the leaf, on every line but that path's own.
    pub link: Option<TreePath>,
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    Dir,
    File { size: u64, sha256: Option<[u8; 32]> },
    Symlink(Vec<u8>),
    CharDevice { major: u32, minor: u32 },
    BlockDevice { major: u32, minor: u32 },
    Fifo,
    Socket,
}

/// The listing of `tree`; reads contents [`With::Digests`] and nothing else.
pub fn of(tree: &Tree, with: With) -> io::Result<Listing> {
    let mut first: HashMap<LeafId, (TreePath, What)> = HashMap::new();
    let mut lines = Vec::with_capacity(tree.len());
    for item in tree.walk() {
        let (what, links, link) = match item.node {
            Node::Dir => (What::Dir, 1, None),
            Node::Leaf { id, kind, links } => {
                if let Some((path, what)) = first.get(&id) {
                    (what.clone(), links, Some(path.clone()))
                } else {
                    let what = what(kind, with)?;
                    if links > 1 {
                        first.insert(id, (item.path.clone(), what.clone()));
                    }
                    (what, links, None)
                }
            }
        };
        let meta = item.meta;
        lines.push(Line {
            path: item.path.clone(),
            what,
            mode: meta.mode,
            uid: meta.uid,
            gid: meta.gid,
            mtime: meta.mtime,
            links,
            link,
            xattrs: meta.xattrs.clone(),
        });
    }
    Ok(Listing { lines })
}

/// [`of`] as text.
pub fn print(tree: &Tree, with: With) -> io::Result<String> {
    of(tree, with).map(|listing| listing.to_string())
}

fn what(kind: &Kind, with: With) -> io::Result<What> {
    Ok(match kind {
        Kind::File(content) => {
            let sha256 = match with {
                With::Metadata => None,
                With::Digests => Some(digest(content)?),
            };
            What::File { size: content.len(), sha256 }
        }
        Kind::Symlink(target) => What::Symlink(target.clone()),
        Kind::CharDevice { major, minor } => What::CharDevice { major: *major, minor: *minor },
        Kind::BlockDevice { major, minor } => What::BlockDevice { major: *major, minor: *minor },
        Kind::Fifo => What::Fifo,
        Kind::Socket => What::Socket,
    })
}

fn digest(content: &Content) -> io::Result<[u8; 32]> {
    let mut reader = content.open()?;
    let mut hasher = Sha256::new();
    let mut buf = vec![0; 1 << 16];
    loop {
        match io::Read::read(&mut reader, &mut buf) {
            Ok(0) => return Ok(hasher.finalize().into()),
            Ok(n) => hasher.update(&buf[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}
