use std::io::Cursor;

use tree::{Content, Kind, Leaf, Meta, Provenance, Tree, TreePath};

use super::*;

fn path(written: &str) -> TreePath {
    TreePath::new(written).unwrap()
}

fn listed(tree: &Tree) -> String {
    tree::listing::print(tree, tree::listing::With::Digests).unwrap()
}

fn sample() -> Tree {
    let from = Provenance::new("test");
    let mut tree = Tree::new();
    let big: Vec<u8> = (0..700_000_u32).map(|n| (n / 11) as u8).collect();
    let mut sparse = vec![0; 300_000];
    sparse.extend_from_slice(b"end");
    tree.insert_file(path("usr/big"), 0o4755, Content::from(big), from.clone()).unwrap();
    tree.insert_file(path("usr/sparse"), 0o644, Content::from(sparse), from.clone()).unwrap();
    tree.insert_file(path("empty"), 0o600, Content::from(Vec::new()), from.clone()).unwrap();
    for n in 0..700 {
        let name = path(&format!("many/file-{n:04}"));
        tree.insert_file(name, 0o644, Content::from(format!("{n}")), from.clone()).unwrap();
    }
    tree.insert_symlink(path("link"), "usr/big", from.clone()).unwrap();
    tree.insert_link(path("usr/bin/same"), &path("usr/big"), from.clone()).unwrap();
    let mut meta = Meta::new(0o755);
    meta.xattrs.insert(b"security.capability".to_vec(), vec![1, 0, 0, 2]);
    meta.xattrs.insert(b"user.long".to_vec(), vec![7; 3000]);
    for name in ["usr/ping", "usr/ping6"] {
        let kind = Kind::File(Content::from(name.to_owned()));
        tree.insert_leaf(path(name), Leaf { meta: meta.clone(), kind }, from.clone()).unwrap();
    }
    for (name, kind) in [
        ("dev/null", Kind::CharDevice { major: 1, minor: 3 }),
        ("dev/vda", Kind::BlockDevice { major: 259, minor: 70_000 }),
        ("dev/pipe", Kind::Fifo),
        ("dev/log", Kind::Socket),
    ] {
        let meta = Meta { uid: 7, gid: 70_000, mtime: 9, ..Meta::new(0o660) };
        tree.insert_leaf(path(name), Leaf { meta, kind }, from.clone()).unwrap();
    }
    tree
}

fn packed(codec: &str) -> Vec<u8> {
    let mut image = Cursor::new(Vec::new());
    let options = crate::squashfs::Options::new(codec.parse().unwrap());
    crate::squashfs::write(&sample(), &options, &mut image).unwrap();
    image.into_inner()
}

#[test]
fn what_was_written_is_read_with_every_codec() {
    for codec in ["gzip:6", "xz", "zstd:3", "lz4", "none"] {
        let read = tree(&Content::from(packed(codec))).unwrap();
        assert_eq!(listed(&read), listed(&sample()), "{codec}");
    }
}

#[test]
fn contents_are_read_at_any_offset() {
    let read = tree(&Content::from(packed("zstd:3"))).unwrap();
    let content = read.get(&path("usr/big")).unwrap().content().unwrap().clone();
    let wanted: Vec<u8> = (131_000..132_000_u32).chain(699_990..700_000).map(|n| (n / 11) as u8).collect();
    let at = content.open_at().unwrap();
    assert_eq!([at.read(131_000, 1000).unwrap(), at.read(699_990, 10).unwrap()].concat(), wanted);
}

/// Reads all there is to read of an image that may be damaged.
fn read_through(bytes: Vec<u8>) -> Result<(), String> {
    let tree = tree(&Content::from(bytes)).map_err(|e| e.to_string())?;
    for item in tree.walk() {
        if let Some(content) = item.content() {
            let mut reader = content.slice(0, content.len().min(1 << 20)).unwrap().open().unwrap();
            std::io::copy(&mut reader, &mut std::io::sink()).map_err(|e| e.to_string())?;
        }
    }
    Ok(())
}

#[test]
fn damage_anywhere_is_an_error_or_harmless_and_never_a_panic() {
    let good = packed("gzip:1");
    read_through(good.clone()).unwrap();
    // What pads the image holds nothing.
    let len = superblock(&Content::from(good.clone())).unwrap().len as usize;
    for cut in (0..len).step_by(997) {
        assert!(read_through(good[..cut].to_vec()).is_err(), "cut at {cut}");
    }
    for at in (0..96).chain((96..good.len()).step_by(397)) {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = good.clone();
            bytes[at] ^= flip;
            // Not every bit of an image is checked by anything: it need not be an error.
            let _ = read_through(bytes);
        }
    }
}

#[test]
fn a_superblock_that_lies_is_refused() {
    let good = packed("zstd:1");
    for (at, bytes) in [
        (0, &b"x"[..]),
        (12, &[0, 0, 0, 0x80]),
        (20, &[2, 0]),
        (22, &[30, 0]),
        (26, &[0, 0]),
        (28, &[3, 0]),
        (40, &[0xff; 8]),
        (48, &[0xff; 8]),
        (64, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
        (72, &[0; 8]),
    ] {
        let mut bad = good.clone();
        bad[at..at + bytes.len()].copy_from_slice(bytes);
        assert!(superblock(&Content::from(bad)).is_err(), "byte {at}");
    }
}
