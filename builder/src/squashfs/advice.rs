//! What squashfs, or Linux reading it, does not keep of a tree.

use std::collections::BTreeSet;
use std::fmt;

use tree::{Escaped, Tree, TreePath};

use super::{seconds, xattrs};

/// The longest target Linux takes from a squashfs (one page, since 6.11); with
/// a longer one the link cannot even be looked at. Its own limit for making
/// one is a byte less.
const LINUX_SYMLINK: usize = 4096;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advice {
    /// Xattrs that squashfs has no name space for are left out.
    Xattrs {
        entries: u64,
        names: BTreeSet<Vec<u8>>,
        first: TreePath,
    },
    /// Dates outside 1970 to 2106 become the nearest date within.
    Dates {
        entries: u64,
        first: TreePath,
    },
    LongSymlink {
        path: TreePath,
        len: usize,
    },
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Xattrs { entries, names, first } => {
                let names: Vec<_> = names.iter().map(|name| Escaped(name).to_string()).collect();
                write!(
                    f,
                    "{first}: squashfs has no place for {}; left out of {entries} entries (it holds user.*, \
                     trusted.* and security.*)",
                    names.join(", ")
                )
            }
            Self::Dates { entries, first } => {
                write!(f, "{first}: squashfs dates end in 1970 and 2106; {entries} entries get the nearest one")
            }
            Self::LongSymlink { path, len } => {
                write!(f, "{path}: a symlink target of {len} bytes; Linux reads none over {LINUX_SYMLINK}")
            }
        }
    }
}

/// Known before the first byte is written.
pub fn advise(tree: &Tree) -> Vec<Advice> {
    let mut advice = Vec::new();
    let mut lost: Option<(u64, BTreeSet<Vec<u8>>, TreePath)> = None;
    let mut moved: Option<(u64, TreePath)> = None;
    for item in tree.walk() {
        let unheld: Vec<_> = item.meta.xattrs.keys().filter(|name| xattrs::split(name).is_none()).collect();
        if !unheld.is_empty() {
            let lost = lost.get_or_insert_with(|| (0, BTreeSet::new(), item.path.clone()));
            lost.0 += 1;
            lost.1.extend(unheld.into_iter().cloned());
        }
        if i64::from(seconds(item.meta.mtime)) != item.meta.mtime {
            moved.get_or_insert_with(|| (0, item.path.clone())).0 += 1;
        }
        if let Some(target) = item.symlink_target().filter(|target| target.len() > LINUX_SYMLINK) {
            advice.push(Advice::LongSymlink { path: item.path.clone(), len: target.len() });
        }
    }
    advice.extend(lost.map(|(entries, names, first)| Advice::Xattrs { entries, names, first }));
    advice.extend(moved.map(|(entries, first)| Advice::Dates { entries, first }));
    advice
}

#[cfg(test)]
mod tests {
    use super::*;
    use tree::Provenance;

    #[test]
    fn what_is_not_kept_is_told_with_its_first_path() {
        let (path, from) = (|p: &str| TreePath::new(p).unwrap(), Provenance::new("test"));
        let mut tree = Tree::new();
        tree.insert_symlink(path("fine"), "x".repeat(4096), from.clone()).unwrap();
        assert_eq!(advise(&tree), []);
        tree.insert_symlink(path("long"), "x".repeat(4097), from).unwrap();
        for name in ["fine", "long"] {
            let meta = tree.meta_mut(&path(name)).unwrap();
            meta.mtime = -1;
            for xattr in ["system.posix_acl_access", "user.held"] {
                meta.xattrs.insert(xattr.into(), vec![0]);
            }
        }
        let names = BTreeSet::from([b"system.posix_acl_access".to_vec()]);
        let wanted = [
            Advice::LongSymlink { path: path("long"), len: 4097 },
            Advice::Xattrs { entries: 2, names, first: path("fine") },
            Advice::Dates { entries: 2, first: path("fine") },
        ];
        assert_eq!(advise(&tree), wanted);
    }
}
