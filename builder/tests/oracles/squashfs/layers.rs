//! Layers as overlayfs sees them, and an image on a disk that is full.

use std::fs;
use std::path::Path;
use std::process::Command;

use builder::exclusion::exclude;
use builder::layer;
use builder::packed::{self, Request};
use builder::progress::{Progress, Show};
use tree::{Kind, Leaf, Meta, Provenance, Tree, TreePath};

use super::readers::{Mount, as_root};
use super::{held, image, odd, options, similar};

fn path(written: &str) -> TreePath {
    TreePath::new(written).unwrap()
}

fn add(tree: &mut Tree, at: &str, text: &str) {
    let leaf =
        Leaf { meta: Meta { mtime: 1_700_000_000, ..Meta::new(0o640) }, kind: Kind::File(text.to_owned().into()) };
    tree.remove(&path(at));
    tree.insert_leaf(path(at), leaf, Provenance::new("test")).unwrap();
}

/// Three trees, each quite another one than the one before.
fn trees() -> [Tree; 3] {
    let mut lowest = odd::tree();
    // overlayfs's own mark is refused in a layer.
    lowest.meta_mut(&path("empty-dir")).unwrap().xattrs.remove(&b"trusted.overlay.opaque"[..]);
    let mut middle = lowest.clone();
    for glob in ["many/1*", "deep", "noise/*", "dev/fifo", "another/name", "sizes/4096", "holes"] {
        exclude(&mut middle, glob);
    }
    add(&mut middle, "noise/new", "in an opaque directory");
    add(&mut middle, "bin/su", "another program");
    add(&mut middle, "zeros", "a file where a directory was");
    add(&mut middle, "holes/below", "a directory where a file was");
    middle.meta_mut(&path("bin/ping")).unwrap().xattrs.remove(&b"security.capability"[..]);
    middle.meta_mut(&path("sizes")).unwrap().mode = 0o700;
    let mut uppermost = middle.clone();
    exclude(&mut uppermost, "holes");
    exclude(&mut uppermost, "zeros");
    add(&mut uppermost, "zeros/again", "a directory once more");
    add(&mut uppermost, "deep/deep/shallow", "where something was before");
    add(&mut uppermost, "noise/1", "over an opaque directory");
    [lowest, middle, uppermost]
}

#[test]
fn overlayfs_shows_each_tree_that_was_wanted() {
    let trees = trees();
    let mut mounts: Vec<Mount> = Vec::new();
    let pack = |tree: &Tree| Mount::of(&image(tree, &options("zstd:3", "128K")));
    let Some(lowest) = pack(&trees[0]) else { return };
    mounts.push(lowest);
    for pair in trees.windows(2) {
        let layer = layer::over(&pair[0], &pair[1]).unwrap();
        assert!(layer.len() < pair[1].len() / 2 + 200, "{} of {} entries", layer.len(), pair[1].len());
        mounts.push(pack(&layer).unwrap());
        let merged = Mount::overlay(&mounts);
        similar(&held(&pair[1]), &merged.listing(), "merged");
    }
}

#[test]
fn a_full_disk_is_named_and_the_old_image_stays() {
    if !as_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (small, source) = (dir.path().join("small"), dir.path().join("source"));
    fs::create_dir_all(&small).unwrap();
    fs::create_dir_all(&source).unwrap();
    crate::output(Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(&small));
    let outcome = std::panic::catch_unwind(|| full(&small, &source));
    crate::output(Command::new("umount").arg(&small));
    outcome.unwrap();
}

fn full(small: &Path, source: &Path) {
    fs::write(source.join("noise"), odd::noise(3 << 20)).unwrap();
    fs::write(small.join("old.squashfs"), "the old image").unwrap();
    let request = Request {
        source: source.to_owned(),
        exclude: Vec::new(),
        sort: None,
        options: options("zstd:1", "128K"),
        epoch: None,
        verify: false,
    };
    let failed = packed::build(request, &small.join("old.squashfs"), &Progress::new(Show::Nothing)).unwrap_err();
    let told = format!("{failed:#}");
    assert!(told.contains("the disk is full (") && told.contains("what stands there is as it was"), "{told}");
    assert_eq!(fs::read_to_string(small.join("old.squashfs")).unwrap(), "the old image");
    assert_eq!(fs::read_dir(small).unwrap().count(), 1, "no half of an image is left");
}
