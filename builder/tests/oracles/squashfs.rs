//! Squashfs images, as Linux, unsquashfs and backhand see them: each has to
//! see the tree that went in.

mod debian;
mod layers;
mod odd;
mod random;
mod readers;

use std::fs::File;
use std::io::Cursor;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::Command;

use builder::squashfs::{self, Options};
use tree::listing::{With, print};
use tree::{Content, Leaf, Meta, Provenance, Tree, TreePath};

use crate::tool;
use readers::{Mount, backhand_agrees, unpacked};

const CODECS: [&str; 10] =
    ["none", "gzip:1", "gzip", "xz", "xz:1,x86,dict=64K", "lz4", "lz4:hc", "zstd:1", "zstd:15", "zstd:22"];

fn options(compression: &str, block_size: &str) -> Options {
    Options { block_size: block_size.parse().unwrap(), ..Options::new(compression.parse().unwrap()) }
}

fn image(tree: &Tree, options: &Options) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    let written = squashfs::write(tree, options, &mut out).unwrap();
    assert_eq!(written.len, out.get_ref().len() as u64, "nothing stands after the end");
    assert_eq!(written.len % 4096, 0);
    out.into_inner()
}

/// What a reader can see of `tree`: squashfs holds neither ACLs nor dates
/// before 1970 or after 2106.
fn held(tree: &Tree) -> String {
    let mut tree = tree.clone();
    tree.for_each_meta(|meta| {
        meta.mtime = meta.mtime.clamp(0, i64::from(u32::MAX));
        meta.xattrs.retain(|name, _| !name.starts_with(b"system."));
    });
    print(&tree, With::Digests).unwrap()
}

#[test]
fn linux_sees_the_tree_that_went_in_for_every_codec() {
    let tree = odd::tree();
    let wanted = held(&tree);
    for codec in CODECS {
        let Some(mount) = Mount::of(&image(&tree, &options(codec, "128K"))) else { return };
        similar(&wanted, &mount.listing(), codec);
    }
    for block_size in ["4K", "16K", "1M"] {
        for tail_packing in [false, true] {
            let options = Options { tail_packing, pack_tables: tail_packing, ..options("zstd:3", block_size) };
            let Some(mount) = Mount::of(&image(&tree, &options)) else { return };
            similar(&wanted, &mount.listing(), block_size);
        }
    }
}

/// A whole listing would drown the line that differs.
fn similar(wanted: &str, seen: &str, what: &str) {
    for (wanted, seen) in wanted.lines().zip(seen.lines()) {
        assert_eq!(wanted.get(..600).unwrap_or(wanted), seen.get(..600).unwrap_or(seen), "{what}");
    }
    assert!(wanted == seen, "{what}: {} and {} lines", wanted.lines().count(), seen.lines().count());
}

#[test]
fn unsquashfs_unpacks_the_tree_that_went_in() {
    let tree = odd::tree();
    for codec in CODECS {
        let image = image(&tree, &options(codec, "64K"));
        let Some(seen) = unpacked(&image) else { return };
        similar(&held(&tree), &seen, codec);
    }
}

#[test]
fn backhand_reads_the_tree_that_went_in() {
    let tree = odd::tree();
    for codec in CODECS {
        backhand_agrees(&tree, &image(&tree, &options(codec, "128K")));
    }
}

#[test]
fn a_symlink_target_may_have_65535_bytes() {
    let Some(unsquashfs) = tool("unsquashfs") else { return };
    let mut tree = Tree::new();
    let target = "0123456789abcde/".repeat(4096)[..65_535].to_owned();
    tree.insert_symlink(TreePath::new("long").unwrap(), &target, Provenance::new("test")).unwrap();
    let scratch = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(scratch.path(), image(&tree, &options("xz", "128K"))).unwrap();
    let listing = crate::output(Command::new(unsquashfs).args(["-lln", "-no-progress"]).arg(scratch.path()));
    assert!(listing.contains(&format!("squashfs-root/long -> {target}\n")));
}

/// With a longer one Linux does not show the link, or shows no more than a page
/// of it; what stands beside it is there all the same.
#[test]
fn linux_reads_a_symlink_target_of_4095_bytes_and_what_is_beside_a_longer_one() {
    let mut tree = Tree::new();
    let target = "0123456789abcde/".repeat(4096);
    for (name, len) in [("longest", 4095), ("too-long", 65_535)] {
        tree.insert_symlink(TreePath::new(name).unwrap(), &target[..len], Provenance::new("test")).unwrap();
    }
    tree.insert_file(TreePath::new("zz").unwrap(), 0o644, b"beside".to_vec().into(), Provenance::new("test")).unwrap();
    for codec in ["none", "zstd:3"] {
        let Some(mount) = Mount::of(&image(&tree, &options(codec, "128K"))) else { return };
        let read = std::fs::read_link(mount.path().join("longest")).unwrap();
        assert!(read.as_os_str() == &target[..4095], "{codec}");
        if let Ok(read) = std::fs::read_link(mount.path().join("too-long")) {
            assert!(target.starts_with(read.to_str().unwrap()), "{codec}: {}", read.display());
        }
        assert_eq!(std::fs::read(mount.path().join("zz")).unwrap(), b"beside", "{codec}");
        assert_eq!(std::fs::read_dir(mount.path()).unwrap().count(), 3, "{codec}");
    }
}

#[test]
fn files_over_4_gib_are_mostly_holes_where_they_were() {
    const LEN: u64 = (5 << 30) + 12_345;
    let scratch = tempfile::tempdir().unwrap();
    let big = scratch.path().join("big");
    let file = File::create(&big).unwrap();
    file.set_len(LEN).unwrap();
    let places = [(0, "start"), ((4 << 30) + 7, "behind 4 GiB"), (LEN - 3, "end")];
    for (at, text) in places {
        file.write_all_at(text.as_bytes(), at).unwrap();
    }
    let mut tree = Tree::new();
    tree.insert_file(TreePath::new("big").unwrap(), 0o644, Content::host(big, LEN), Provenance::new("test")).unwrap();
    let image = image(&tree, &options("zstd:1", "1M"));
    assert!(image.len() < 1 << 20, "{} bytes", image.len());
    let Some(mount) = Mount::of(&image) else { return };
    let seen = File::open(mount.path().join("big")).unwrap();
    let stat = seen.metadata().unwrap();
    // In blocks of 512: three blocks of the file are there.
    assert_eq!((stat.len(), stat.blocks()), (LEN, ((2 << 20) + (LEN % (1 << 20))).div_ceil(512)));
    for (at, text) in places {
        let mut bytes = vec![1; text.len() + 1000];
        let got = seen.read_at(&mut bytes, at).unwrap();
        assert!(bytes.starts_with(text.as_bytes()) && bytes[text.len()..got].iter().all(|byte| *byte == 0), "{text}");
    }
}

#[test]
fn linux_finds_each_of_100_000_names() {
    let mut tree = Tree::new();
    let from = Provenance::new("test");
    for n in 0..100_000 {
        let leaf = Leaf { meta: Meta::new(0o644), kind: tree::Kind::Fifo };
        tree.insert_leaf(TreePath::new(format!("many/{n}-of-them")).unwrap(), leaf, from.clone()).unwrap();
    }
    let Some(mount) = Mount::of(&image(&tree, &options("zstd:3", "128K"))) else { return };
    let many = mount.path().join("many");
    assert_eq!(std::fs::read_dir(&many).unwrap().count(), 100_000);
    for n in 0..100_000 {
        assert!(many.join(format!("{n}-of-them")).symlink_metadata().is_ok(), "{n}");
    }
    assert!(!Path::new(&many.join("100000-of-them")).exists());
}

#[test]
fn bytes_do_not_depend_on_threads_or_on_the_order_of_insertion() {
    let one = image(&odd::tree(), &Options { jobs: 1, ..options("zstd:3", "4K") });
    for jobs in [2, 4, 16] {
        assert!(one == image(&odd::tree(), &Options { jobs, ..options("zstd:3", "4K") }), "{jobs} threads");
    }
    assert!(one == image(&odd::tree_from_last_to_first(), &options("zstd:3", "4K")), "inserted from the end");
}

#[test]
fn what_is_there_twice_is_written_once() {
    let noise = odd::noise(700_000);
    let sizes = |copies: usize, len: usize, tail_packing: bool| {
        let mut tree = Tree::new();
        for n in 0..copies {
            let path = TreePath::new(format!("{n}")).unwrap();
            tree.insert_file(path, 0o644, noise[..len].to_vec().into(), Provenance::new("test")).unwrap();
        }
        image(&tree, &Options { tail_packing, ..options("zstd:3", "128K") }).len()
    };
    for (len, tail_packing) in [(700_000, false), (700_000, true), (100_000, false), (131_072, false)] {
        let (one, five) = (sizes(1, len, tail_packing), sizes(5, len, tail_packing));
        assert!(five <= one + 4096, "{len} bytes: {one} and {five}");
    }
}
