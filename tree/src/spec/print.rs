//! A tree as a list, for the kernel's own build (CONFIG_INITRAMFS_SOURCE).

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::{Item, Kind, LeafId, Node, Tree, TreePath};

/// Why a list cannot say what the tree has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unlistable {
    #[error("{path}: a list has no way to write the blank in `{text}`")]
    Blank { path: TreePath, text: String },
    #[error("{path}: only regular files can have several names in a list")]
    Linked { path: TreePath },
    #[error("{path}: a list has no extended attributes")]
    Xattrs { path: TreePath },
}

/// Directories come before what stands in them, and a hard-linked file where
/// the last of its names does: by then all their directories are there.
/// `location` says where the content of the file at a path is to be found.
pub fn print(tree: &Tree, location: impl Fn(&TreePath) -> PathBuf) -> Result<Vec<u8>, Unlistable> {
    let mut names: BTreeMap<LeafId, Vec<TreePath>> = BTreeMap::new();
    let mut text = Vec::new();
    let init = TreePath::new("init").expect("a plain name");
    let first = tree.get(&init).into_iter();
    let rest = tree.walk().filter(|item| !item.path.is_root() && *item.path != init);
    for item in first.chain(rest) {
        if !item.meta.xattrs.is_empty() {
            return Err(Unlistable::Xattrs { path: item.path.clone() });
        }
        let mut others = Vec::new();
        if let Node::Leaf { id, links, kind } = item.node
            && links > 1
        {
            if !matches!(kind, Kind::File(_)) {
                return Err(Unlistable::Linked { path: item.path.clone() });
            }
            let seen = names.entry(id).or_default();
            seen.push(item.path.clone());
            if seen.len() < links as usize {
                continue;
            }
            others = std::mem::take(seen);
        }
        let words = words(&item, &others, &location);
        if let Some(blank) = words.iter().find(|word| word.iter().any(u8::is_ascii_whitespace)) {
            let text = String::from_utf8_lossy(blank).into_owned();
            return Err(Unlistable::Blank { path: item.path.clone(), text });
        }
        text.extend(words.join(&b' '));
        text.push(b'\n');
    }
    Ok(text)
}

fn words(item: &Item<'_>, names: &[TreePath], location: impl Fn(&TreePath) -> PathBuf) -> Vec<Vec<u8>> {
    let absolute = |path: &TreePath| [b"/", path.as_bytes()].concat();
    let first = names.first().unwrap_or(item.path);
    let mut tail = vec![format!("{:o}", item.meta.mode), item.meta.uid.to_string(), item.meta.gid.to_string()];
    let mut source = None;
    let kind = match item.node {
        Node::Dir => "dir",
        Node::Leaf { kind, .. } => match kind {
            Kind::File(_) => {
                source = Some(location(first).as_os_str().as_bytes().to_vec());
                "file"
            }
            Kind::Symlink(target) => {
                source = Some(target.clone());
                "slink"
            }
            Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => {
                let letter = if matches!(kind, Kind::CharDevice { .. }) { "c" } else { "b" };
                tail.extend([letter.to_string(), major.to_string(), minor.to_string()]);
                "nod"
            }
            Kind::Fifo => "pipe",
            Kind::Socket => "sock",
        },
    };
    let mut words = vec![kind.as_bytes().to_vec(), absolute(first)];
    words.extend(source);
    words.extend(tail.into_iter().map(String::into_bytes));
    words.extend(names.iter().skip(1).map(absolute));
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Leaf, Meta, Provenance};

    fn path(written: &str) -> TreePath {
        TreePath::new(written).unwrap()
    }

    fn print_text(tree: &Tree) -> Result<String, Unlistable> {
        print(tree, |path| format!("/files/{}", path.to_string().trim_start_matches('/')).into())
            .map(|text| String::from_utf8(text).unwrap())
    }

    #[test]
    fn every_kind_of_entry_has_its_line() {
        let from = Provenance::new("test");
        let mut tree = Tree::new();
        for name in ["a/one", "init"] {
            tree.insert_file(path(name), 0o755, b"x"[..].into(), from.clone()).unwrap();
        }
        tree.insert_link(path("z/two"), &path("a/one"), from.clone()).unwrap();
        tree.insert_symlink(path("b"), "a/one", from.clone()).unwrap();
        for (name, kind) in [
            ("console", Kind::CharDevice { major: 5, minor: 1 }),
            ("disk", Kind::BlockDevice { major: 8, minor: 0 }),
            ("pipe", Kind::Fifo),
            ("socket", Kind::Socket),
        ] {
            let meta = Meta { uid: 3, gid: 4, ..Meta::new(0o600) };
            tree.insert_leaf(path(name), Leaf { meta, kind }, from.clone()).unwrap();
        }
        assert_eq!(
            print_text(&tree).unwrap(),
            "file /init /files/init 755 0 0\ndir /a 755 0 0\nslink /b a/one 777 0 0\nnod /console 600 3 4 c 5 1\n\
             nod /disk 600 3 4 b 8 0\npipe /pipe 600 3 4\nsock /socket 600 3 4\ndir /z 755 0 0\n\
             file /a/one /files/a/one 755 0 0 /z/two\n"
        );
    }

    #[test]
    fn what_a_list_cannot_say_is_an_error() {
        let from = Provenance::new("test");
        let mut tree = Tree::new();
        tree.insert_file(path("a b"), 0o644, b"x"[..].into(), from.clone()).unwrap();
        assert!(matches!(print_text(&tree), Err(Unlistable::Blank { .. })));

        let mut tree = Tree::new();
        tree.insert_leaf(path("p"), Leaf { meta: Meta::new(0o600), kind: Kind::Fifo }, from.clone()).unwrap();
        tree.insert_link(path("q"), &path("p"), from).unwrap();
        assert!(matches!(print_text(&tree), Err(Unlistable::Linked { .. })));
    }
}
