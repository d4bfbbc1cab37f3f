//! Our reader on our images and on other writers'.

mod common;

use common::{SECTION, awkward_tree, bytes, content, file, from, image, metadata_of, name, noise, path};
use common::{tree_with_a_file_of, written};
use iso::read::{BootEntry, Iso, Names, ReadError};
use iso::{BiosImage, Boot, EfiImage, Image};
use tree::listing::{self, With};
use tree::{Content, Tree};

fn opened(image: &Image<'_>) -> Iso {
    Iso::open(Content::from(bytes(image))).unwrap()
}

fn listed(tree: &Tree) -> String {
    listing::print(tree, With::Digests).unwrap()
}

#[test]
fn our_own_image_comes_back_as_the_same_tree() {
    let tree = awkward_tree();
    let iso = opened(&Image { joliet: true, ..image(&tree) });
    assert_eq!(listed(&iso.tree().unwrap()), listed(&tree));
}

#[test]
fn a_file_in_sections_comes_back_as_one() {
    let (tree, _sparse) = tree_with_a_file_of(SECTION + 5000);
    let medium = metadata_of(&image(&tree));
    let len = medium.as_file().metadata().unwrap().len();
    let read = Iso::open(Content::host(medium.path(), len)).unwrap().tree().unwrap();
    assert_eq!(read.get(&path("big")).unwrap().content().unwrap().len(), SECTION + 5000);
}

#[test]
fn joliet_and_plain_names_are_read_when_asked_for() {
    let mut tree = Tree::new();
    file(&mut tree, "Mixed Case.txt", 0o600, b"x".to_vec());
    tree.insert_symlink(path("link"), "x", from()).unwrap();
    let iso = opened(&Image { joliet: true, ..image(&tree) });
    let names = |names| -> Vec<String> {
        iso.tree_with(names)
            .unwrap()
            .walk()
            .skip(1)
            .map(|item| String::from_utf8_lossy(item.path.name()).into())
            .collect()
    };
    assert_eq!(names(Names::RockRidge), ["Mixed Case.txt", "link"]);
    assert_eq!(names(Names::Joliet), ["Mixed Case.txt"]);
    assert_eq!(names(Names::Plain), ["link", "mixed_case.txt"]);
    let without = opened(&image(&tree));
    assert!(matches!(without.tree_with(Names::Joliet), Err(ReadError::Unsupported { .. })));
}

#[test]
fn what_the_descriptors_and_the_catalog_say() {
    let mut tree = Tree::new();
    file(&mut tree, "isolinux.bin", 0o644, noise(1, 4096));
    let boot = Boot {
        bios: Some(BiosImage::isolinux(path("isolinux.bin"))),
        efi: Some(EfiImage::Appended(Content::from(noise(2, 1 << 20)))),
    };
    let image = Image { volume_set: "the set".into(), boot: Some(boot), ..image(&tree) };
    let lba = iso::layout(&image).unwrap().extent(&path("isolinux.bin")).unwrap().lba;
    let iso = opened(&image);
    assert_eq!((iso.volume_id(), iso.volume_set()), ("TEST_IMAGE", "the set"));
    assert_eq!(iso.volume_len(), bytes(&image).len() as u64);
    let entry = |platform, load_sectors, lba| BootEntry { platform, bootable: true, emulation: 0, load_sectors, lba };
    assert_eq!(iso.boot_entries().unwrap(), [entry(0, 4, lba), entry(0xEF, 2048, 512)]);
}

/// A host directory that foreign writers can pack, and as which tree.
fn host_tree() -> (tempfile::TempDir, Tree) {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let mut tree = Tree::new();
    let long = "n".repeat(200);
    let target = ["component"; 20].join("/");
    for at in ["d1/d2/d3/d4/d5/d6/d7/d8/d9/d10/d11/deep", "names/ grün;1", &format!("names/{long}"), "empty"] {
        let bytes = if at == "empty" { Vec::new() } else { noise(at.len() as u64, 3000) };
        let host = dir.path().join(at);
        std::fs::create_dir_all(host.parent().unwrap()).unwrap();
        std::fs::write(&host, &bytes).unwrap();
        std::fs::set_permissions(&host, std::fs::Permissions::from_mode(0o4711)).unwrap();
        file(&mut tree, at, 0o4711, bytes);
    }
    std::os::unix::fs::symlink(&target, dir.path().join("link")).unwrap();
    tree.insert_symlink(path("link"), &target, from()).unwrap();
    (dir, tree)
}

/// Paths, sizes, contents and targets; owners and times are the host's.
fn essence(tree: &Tree) -> Vec<String> {
    let line = |item: tree::Item<'_>| {
        let text = item.content().map(|content| content.read_all(1 << 20).unwrap()).unwrap_or_default();
        let mode = if item.content().is_some() { item.meta.mode } else { 0 };
        format!("{} {mode:o} {:?} {text:?}", item.path, item.symlink_target())
    };
    tree.walk().map(line).filter(|line| !line.starts_with("/rr_moved")).collect()
}

#[test]
fn other_writers_images_are_read() {
    let (dir, tree) = host_tree();
    let out = tempfile::tempdir().unwrap();
    let to = out.path().join("foreign.iso");
    let writers: [(&str, &[&str]); 4] = [
        ("xorriso", &["-as", "mkisofs", "-R", "-J", "-o", name(&to), name(dir.path())]),
        ("xorriso", &["-as", "mkisofs", "-R", "-o", name(&to), name(dir.path())]),
        ("genisoimage", &["-quiet", "-R", "-J", "-joliet-long", "-o", name(&to), name(dir.path())]),
        // Without -D directories below the eighth level are relocated.
        ("genisoimage", &["-quiet", "-R", "-D", "-o", name(&to), name(dir.path())]),
    ];
    for (writer, args) in writers {
        if content(writer, args).is_none() {
            continue;
        }
        let iso = Iso::open(Content::host(to.clone(), std::fs::metadata(&to).unwrap().len())).unwrap();
        assert!(iso.has_rock_ridge());
        let read = iso.tree().unwrap_or_else(|error| panic!("{writer} {args:?}: {error}"));
        assert_eq!(essence(&read), essence(&tree), "{writer} {args:?}");
    }
}

#[test]
fn xorriso_agrees_about_our_hard_links_and_devices() {
    let tree = awkward_tree();
    let iso = written(&image(&tree));
    let out = tempfile::tempdir().unwrap();
    let copy = out.path().join("copy.iso");
    let args = ["-hardlinks", "on", "-indev", name(iso.path()), "-outdev", name(&copy), "-commit"];
    if content("xorriso", &[&args[..2], &["-compliance", "new_rr"], &args[2..]].concat()).is_none() {
        return;
    }
    let Ok(metadata) = std::fs::metadata(&copy) else { return };
    let copied = Iso::open(Content::host(copy, metadata.len())).unwrap().tree().unwrap();
    assert_eq!(listed(&copied), listed(&tree));
}

#[test]
fn what_is_missing_is_told_by_path() {
    let mut tree = Tree::new();
    file(&mut tree, "a", 0o644, noise(1, 10_000));
    file(&mut tree, "b", 0o644, noise(2, 10_000));
    let whole = bytes(&image(&tree));
    let cut = Iso::open(Content::from(whole[..whole.len() - 4096].to_vec())).unwrap();
    assert!(cut.volume_len() > whole.len() as u64 - 4096);
    match cut.tree() {
        Err(ReadError::PastEnd { path: at, len, .. }) => {
            assert_eq!((at, len), (path("b"), whole.len() as u64 - 4096));
        }
        other => panic!("{other:?}"),
    }
    for nothing in [Vec::new(), vec![0; 1 << 20], b"CD001".to_vec()] {
        assert!(matches!(Iso::open(Content::from(nothing)), Err(ReadError::NotAnImage(_))));
    }
}
