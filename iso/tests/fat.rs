//! FAT images, judged by fsck.fat and mtools.

mod common;

use std::io::Write;

use common::{EPOCH, add, content, file, from, name, noise, path};
use iso::fat::{self, FatImage, FatKind, FatLayout};
use tree::{Content, Kind, Meta, Tree};

fn tree_of(files: &[(&str, usize)]) -> Tree {
    let mut tree = Tree::new();
    for (n, (at, len)) in files.iter().enumerate() {
        file(&mut tree, at, 0o644, noise(n as u64, *len));
    }
    tree
}

fn awkward() -> Tree {
    let mut tree = tree_of(&[
        ("EFI/BOOT/BOOTX64.EFI", 900_000),
        ("EFI/BOOT/grubx64.efi", 2049),
        ("EFI/Linux/a name that is long enough for several entries of its directory.efi", 70_001),
        ("loader/entries/liveroot-0001.conf", 0),
        ("loader/entries/liveroot-0002.conf", 1),
        ("boot/grub/grün-日本語-\u{1F427}.cfg", 512),
        ("d1/d2/d3/d4/d5/d6/d7/d8/deep", 2048),
        ("thirteen-long", 10),
    ]);
    for n in 0..1000 {
        file(&mut tree, &format!("many/some-file-name-{n:04}.conf"), 0o644, noise(n, n as usize % 5000));
    }
    tree.insert_dir(path("empty-directory"), Meta::new(0o755), from()).unwrap();
    tree.insert_link(path("EFI/twice"), &path("EFI/BOOT/grubx64.efi"), from()).unwrap();
    tree
}

fn image(tree: &Tree) -> FatImage<'_> {
    FatImage { label: "LIVE_ESP".into(), ..FatImage::new(tree, EPOCH) }
}

fn bytes(layout: &FatLayout) -> Vec<u8> {
    let mut out = Vec::new();
    layout.write(&mut out, &mut |_| {}).unwrap();
    assert_eq!(out.len() as u64, layout.len());
    out
}

fn written(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".img").tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

#[test]
fn fsck_finds_nothing_in_any_kind() {
    let awkward = awkward();
    let plain = tree_of(&[("A", 10)]);
    let empty = Tree::new();
    for (kind, image) in [
        (FatKind::Fat12, FatImage::new(&empty, EPOCH)),
        (FatKind::Fat12, image(&awkward)),
        (FatKind::Fat16, FatImage { min_len: 9 << 20, ..image(&awkward) }),
        (FatKind::Fat16, image(&tree_of(&[("a", 34 << 20)]))),
        (FatKind::Fat32, FatImage { min_len: 40 << 20, ..image(&awkward) }),
        (FatKind::Fat32, FatImage { min_len: 40 << 20, ..FatImage::new(&plain, EPOCH) }),
        (FatKind::Fat32, FatImage { min_len: 70 << 20, ..image(&awkward) }),
    ] {
        let layout = fat::layout(&image).unwrap();
        assert_eq!(layout.kind(), kind);
        let file = written(&bytes(&layout));
        let Some(text) = content("fsck.fat", &["-n", name(file.path())]) else { return };
        assert_eq!(text.lines().count(), 2, "the version and the summary: {text}");
    }
}

#[test]
fn mtools_reads_every_byte_back() {
    let tree = awkward();
    for min_len in [0, 9 << 20, 40 << 20] {
        let file = written(&bytes(&fat::layout(&FatImage { min_len, ..image(&tree) }).unwrap()));
        let out = tempfile::tempdir().unwrap();
        let args = ["-s", "-m", "-n", "-i", name(file.path()), "::*", name(out.path())];
        if content("mcopy", &args).is_none() {
            return;
        }
        let mut files = 0;
        for item in tree.walk() {
            let Some(content) = item.content() else { continue };
            let host = out.path().join(std::str::from_utf8(item.path.as_bytes()).unwrap());
            let read = std::fs::read(&host);
            // mtools has no characters outside the basic plane.
            if item.path.as_bytes().iter().any(|&byte| byte >= 0xF0) {
                continue;
            }
            assert!(read.unwrap() == content.read_all(1 << 30).unwrap(), "{}", item.path);
            files += 1;
        }
        assert_eq!(files, 1008);
        let Some(text) = content("mdir", &["-i", name(file.path()), "::/"]) else { return };
        assert!(text.contains("Volume in drive : is LIVE_ESP") && text.contains("2023-11-14  22:13"), "{text}");
    }
}

#[test]
fn every_file_is_one_run_that_begins_at_a_sector_of_a_disc() {
    let tree = awkward();
    for min_len in [0, 9 << 20, 40 << 20, 150 << 20] {
        let layout = fat::layout(&FatImage { min_len, ..image(&tree) }).unwrap();
        let disk = bytes(&layout);
        for item in tree.walk() {
            let Some(content) = item.content() else {
                assert_eq!(layout.extent(item.path), None);
                continue;
            };
            let extent = layout.extent(item.path).unwrap();
            assert_eq!(extent.len, content.len());
            let start = extent.lba as usize * iso::SECTOR;
            assert!(disk[start..][..extent.len as usize] == content.read_all(1 << 30).unwrap(), "{}", item.path);
        }
    }
    assert_eq!(fat::layout(&image(&tree)).unwrap().extent(&path("nowhere")), None);
}

#[test]
fn the_same_tree_gives_the_same_bytes() {
    let made = |epoch| bytes(&fat::layout(&FatImage { epoch, ..image(&awkward()) }).unwrap());
    assert!(made(EPOCH) == made(EPOCH));
    assert!(made(EPOCH) != made(EPOCH + 2), "the serial number is the epoch's");
}

#[test]
fn a_root_directory_may_have_many_entries() {
    let names: Vec<String> = (0..3000).map(|n| format!("some-file-name-{n:04}.conf")).collect();
    let files: Vec<(&str, usize)> = names.iter().map(|name| (&**name, 1)).collect();
    let tree = tree_of(&files);
    for min_len in [0, 40 << 20] {
        let file = written(&bytes(&fat::layout(&FatImage { min_len, ..image(&tree) }).unwrap()));
        let Some(text) = content("fsck.fat", &["-n", name(file.path())]) else { return };
        // fsck.fat counts the label as one.
        assert!(text.contains(": 3001 files") && text.lines().count() == 2, "{text}");
    }
}

#[test]
fn what_fat_cannot_hold_is_refused_with_its_path() {
    let mut symlink = Tree::new();
    symlink.insert_symlink(path("a/link"), "target", from()).unwrap();
    let mut large = Tree::new();
    let content = Content::host(std::path::Path::new("x"), 1 << 32);
    add(&mut large, "a/large", Meta::new(0o644), Kind::File(content));
    let many: Vec<String> = (0..33_000).map(|n| format!("dir/lower{n}")).collect();
    let many: Vec<(&str, usize)> = many.iter().map(|name| (&**name, 0)).collect();
    for (tree, part) in [
        (symlink, "/a/link: FAT has directories and regular files only"),
        (large, "/a/large has 4294967296 bytes"),
        (tree_of(&[("a/b:c", 1)]), "/a/b:c: FAT cannot have this name"),
        (tree_of(&[("a/Same", 1), ("a/same", 1)]), "/a/same: to FAT this is the same name as \"Same\""),
        (tree_of(&many), "/dir has 66002 entries"),
    ] {
        let error = fat::layout(&image(&tree)).unwrap_err().to_string();
        assert!(error.starts_with(part), "{error}");
    }
}
