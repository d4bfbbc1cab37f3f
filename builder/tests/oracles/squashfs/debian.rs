//! A Debian root of 300 packages, by every reader there is, and what a small
//! change of it changes in the image.

use std::process::Command;

use builder::squashfs::{self, CacheAt, Options};
use tree::host::Owners;
use tree::{Kind, Meta, Node, Provenance, Tree, TreePath};

use super::readers::{Mount, backhand_agrees, on_disk};
use super::{held, image, options, similar};
use crate::{given, tool};

/// A folder or a tar; who has a larger one names that.
fn debian_root() -> Option<Tree> {
    let (source, from) = (given("LIVEROOT_TEST_DEBIAN_ROOT", "a Debian root")?, Provenance::new("Debian"));
    let root = if source.is_dir() {
        tree::host::load(&source, Owners::AsIs, &from).unwrap()
    } else {
        tree::tar::load(&source, &from).unwrap()
    };
    // Each has its copyright there.
    let packages = root.children(&TreePath::new("usr/share/doc").unwrap()).count();
    assert!(packages >= 300, "a root of {packages} packages");
    Some(root)
}

#[test]
fn a_debian_root_comes_back() {
    let Some(tree) = debian_root() else { return };
    let image = image(&tree, &options("zstd:1", "128K"));
    backhand_agrees(&tree, &image);
    if let Some(mount) = Mount::of(&image) {
        similar(&held(&tree), &mount.listing(), "mounted");
    }
    let Some(unsquashfs) = tool("unsquashfs") else { return };
    let listing = crate::output(Command::new(unsquashfs).args(["-lln", "-no-progress"]).arg(on_disk(&image).path()));
    let mut seen: Vec<String> = listing.lines().filter_map(in_short).collect();
    let mut wanted: Vec<String> = tree.walk().map(|item| lls(&tree, item.path)).collect();
    seen.sort();
    wanted.sort();
    similar(&wanted.join("\n"), &seen.join("\n"), "unsquashfs -lln");
}

/// `MODE OWNER/GROUP PATH` of a line that `unsquashfs -lln` prints, and of a
/// file its size.
fn in_short(line: &str) -> Option<String> {
    let (front, path) = line.split_once(" squashfs-root")?;
    let words: Vec<&str> = front.split_whitespace().collect();
    let size = if words[0].starts_with('-') { words[2] } else { "" };
    Some(format!("{} {} {path} {size}", words[0], words[1]))
}

fn lls(tree: &Tree, path: &TreePath) -> String {
    let item = tree.get(path).unwrap();
    let Meta { mode, uid, gid, .. } = item.meta;
    let (letter, size, target) = match item.node {
        Node::Dir => ('d', String::new(), None),
        Node::Leaf { kind, .. } => match kind {
            Kind::File(content) => ('-', content.len().to_string(), None),
            Kind::Symlink(target) => ('l', String::new(), Some(String::from_utf8_lossy(target))),
            Kind::CharDevice { .. } => ('c', String::new(), None),
            Kind::BlockDevice { .. } => ('b', String::new(), None),
            Kind::Fifo => ('p', String::new(), None),
            Kind::Socket => ('s', String::new(), None),
        },
    };
    let mut text = String::from(letter);
    for (shift, special, marks) in [(6, 0o4000, ['s', 'S']), (3, 0o2000, ['s', 'S']), (0, 0o1000, ['t', 'T'])] {
        let bits = mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (mode & special != 0, bits & 1 != 0) {
            (true, true) => marks[0],
            (true, false) => marks[1],
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    let path = if path.is_root() { String::new() } else { format!("/{}", String::from_utf8_lossy(path.as_bytes())) };
    let target = target.map_or(String::new(), |target| format!(" -> {target}"));
    format!("{text} {uid}/{gid} {path}{target} {size}")
}

/// Files that change in a package's update are a few among many; all else has
/// to stay as it was, block by block, for what only sends blocks that are new.
#[test]
fn a_small_change_of_the_root_changes_few_blocks() {
    let Some(mut tree) = debian_root() else { return };
    let home = tempfile::tempdir().unwrap();
    let cache = Some(CacheAt { dir: home.path().into(), max: u64::MAX });
    let options = Options { cache, ..options("zstd:1", "128K") };
    image(&tree, &options);
    let texts: Vec<TreePath> = tree
        .walk()
        .filter(|item| item.path.as_bytes().starts_with(b"usr/share/doc/"))
        .filter(|item| matches!(item.node, Node::Leaf { kind: Kind::File(_), links: 1, .. }))
        .map(|item| item.path.clone())
        .collect();
    // One near the front, so that everything behind it could move.
    let changed = &texts[texts.len() / 10];
    let content = tree.get(changed).unwrap().content().unwrap().read_all(1 << 20).unwrap();
    tree.remove(changed);
    let more = [&content[..], b"and more"].concat();
    tree.insert_file(changed.clone(), 0o644, more.into(), Provenance::new("an update")).unwrap();
    let missing = squashfs::missing(&tree, &options).unwrap().unwrap();
    eprintln!("{changed} grows: {} of {} blocks are new", missing.blocks, missing.of);
    // A fragment block begins anew at about every thousandth file.
    assert!(missing.blocks > 0 && missing.blocks * 20 <= missing.of, "{} of {}", missing.blocks, missing.of);
}
