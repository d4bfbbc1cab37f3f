use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use tree::host::{self, Owners};
use tree::listing::{self, What, With};

use crate::fixture::{Fixture, from};

fn failure<T: std::fmt::Debug>(result: Result<T, host::HostError>) -> String {
    let error = result.unwrap_err();
    match std::error::Error::source(&error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

#[test]
fn owners_are_roots_where_a_checkout_is_loaded() {
    let fixture = Fixture::new();
    let lines =
        |owners| listing::of(&host::load(fixture.root(), owners, &from()).unwrap(), With::Digests).unwrap().lines;
    let (root, as_is) = (lines(Owners::Root), lines(Owners::AsIs));
    assert!(root.iter().all(|line| (line.uid, line.gid) == (0, 0)));
    let taken = |name: &[u8]| name.starts_with(b"user.") || name == b"security.capability";
    assert!(root.iter().flat_map(|line| line.xattrs.keys()).all(|name| taken(name)));
    for (root, as_is) in root.into_iter().zip(as_is) {
        assert_eq!((root.path, root.what, root.mode, root.mtime), (as_is.path, as_is.what, as_is.mode, as_is.mtime));
    }
}

#[test]
fn the_order_of_making_does_not_show() {
    let made = |names: &[&str]| {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            fs::write(dir.path().join(name), name).unwrap();
        }
        fs::hard_link(dir.path().join("b"), dir.path().join("0")).unwrap();
        let mut tree = host::load(dir.path(), Owners::Root, &from()).unwrap();
        tree.clamp_mtimes(0);
        listing::print(&tree, With::Digests).unwrap()
    };
    assert_eq!(made(&["a", "b", "c", "d"]), made(&["d", "c", "b", "a"]));
}

#[test]
fn symlinks_are_taken_and_never_followed() {
    let dir = tempfile::tempdir().unwrap();
    let top = dir.path().join("top");
    fs::create_dir(dir.path().join("real")).unwrap();
    fs::write(dir.path().join("real/file"), "x").unwrap();
    symlink("..", dir.path().join("real/up")).unwrap();
    symlink("real", &top).unwrap();
    let tree = host::load(&top, Owners::Root, &from()).unwrap();
    let whats: Vec<_> = listing::of(&tree, With::Metadata).unwrap().lines.into_iter().map(|line| line.what).collect();
    assert_eq!(whats, [What::Dir, What::File { size: 1, sha256: None }, What::Symlink(b"..".to_vec())]);
}

#[test]
fn one_file_may_be_reached_through_symlinks() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "x").unwrap();
    symlink("file", dir.path().join("link")).unwrap();
    let leaf = host::file(&dir.path().join("link"), Owners::Root).unwrap();
    assert!(matches!(leaf.kind, tree::Kind::File(content) if content.read_all(9).unwrap() == b"x"));
}

#[test]
fn what_cannot_be_read_is_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    symlink("nowhere", dir.path().join("dangling")).unwrap();
    let load = |name| failure(host::load(&dir.path().join(name), Owners::AsIs, &from()));
    let file = |name| failure(host::file(&dir.path().join(name), Owners::AsIs));
    let at = |name: &str, text: &str| format!("{}: {text}", Path::join(dir.path(), name).display());
    assert_eq!(load("file"), at("file", "is not a directory"));
    assert_eq!(load("no"), at("no", "cannot look at it: No such file or directory (os error 2)"));
    assert_eq!(file("."), at(".", "is not a regular file"));
    assert_eq!(file("dangling"), at("dangling", "cannot look at it: No such file or directory (os error 2)"));
}
