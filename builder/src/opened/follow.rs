//! Symlinks of a tree followed within it, as a process would whose root it is.

use tree::{Escaped, Tree, TreePath};

/// As Linux (include/linux/namei.h).
const MAX_LINKS: usize = 40;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FollowError {
    #[error("{} is not there", Shown(.0))]
    NotThere(Vec<u8>),
    #[error("{} leads through more than {MAX_LINKS} symlinks", Shown(.0))]
    Loop(Vec<u8>),
}

struct Shown<'a>(&'a [u8]);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let slash = if self.0.starts_with(b"/") { "" } else { "/" };
        write!(f, "{slash}{}", Escaped(self.0))
    }
}

/// The entry that `written` leads to. A symlink at its very end is followed
/// with `last`, or if a slash stands behind it.
pub fn follow(tree: &Tree, written: &[u8], last: bool) -> Result<TreePath, FollowError> {
    let not_there = || FollowError::NotThere(written.to_vec());
    let last = last || written.ends_with(b"/");
    let mut open: Vec<Vec<u8>> = parts(written);
    let mut real = TreePath::root();
    let mut links = 0;
    while let Some(part) = open.pop() {
        if part == b".." {
            real = real.parent().unwrap_or_default();
            continue;
        }
        let next = real.join(&part).map_err(|_| not_there())?;
        let item = tree.get(&next).ok_or_else(not_there)?;
        match item.symlink_target() {
            Some(target) if last || !open.is_empty() => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(FollowError::Loop(written.to_vec()));
                }
                if target.starts_with(b"/") {
                    real = TreePath::root();
                }
                open.extend(parts(target));
            }
            _ if !item.is_dir() && !open.is_empty() => return Err(not_there()),
            _ => real = next,
        }
    }
    Ok(real)
}

/// Last one first.
fn parts(path: &[u8]) -> Vec<Vec<u8>> {
    let names = path.split(|&b| b == b'/').filter(|part| !matches!(*part, b"" | b"."));
    names.rev().map(<[u8]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tree::{Content, Provenance};

    #[test]
    fn symlinks_are_followed_within_the_tree() {
        let from = Provenance::new("test");
        let path = |written: &str| TreePath::new(written).unwrap();
        let mut tree = Tree::new();
        tree.insert_file(path("usr/lib/os-release"), 0o644, Content::from(vec![1]), from.clone()).unwrap();
        for (at, to) in [
            ("etc/os-release", "../usr/lib/os-release"),
            ("lib", "/usr/lib"),
            ("up", "../../.."),
            ("a", "b"),
            ("b", "a"),
        ] {
            tree.insert_symlink(path(at), to, from.clone()).unwrap();
        }
        for (written, last, leads_to) in [
            ("/etc/os-release", true, Some("usr/lib/os-release")),
            ("/etc/os-release", false, Some("etc/os-release")),
            ("lib/./os-release", false, Some("usr/lib/os-release")),
            ("lib", false, Some("lib")),
            ("lib/", false, Some("usr/lib")),
            ("/lib/../../etc/os-release", false, Some("etc/os-release")),
            ("up/usr", true, Some("usr")),
            ("/", true, Some("")),
            ("usr/lib/os-release/x", true, None),
            ("a", true, None),
            ("nowhere", true, None),
        ] {
            assert_eq!(follow(&tree, written.as_bytes(), last).ok(), leads_to.map(path), "{written}");
        }
    }
}
