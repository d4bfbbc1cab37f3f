//! Our images by Linux's isofs, the reader that counts: the whole disk and its
//! first partition, every entry and every byte. It drops Rock Ridge from an
//! image for one wrong length, and says nothing.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result};
use harness::builder::{Image, root};
use harness::vm::{self, Attach, Machine};
use iso::{Boot, EfiImage, SystemArea, VolumeId};
use sha2::{Digest, Sha256};
use tree::{Content, Item, Kind, Leaf, Meta, Node, Provenance, Tree, TreePath};

use crate::{BOOT, SOON};

const EPOCH: i64 = 1_700_000_000;

/// The longest section of a file, and two blocks and a bit behind it.
const BIG: u64 = 0xFFFF_F800 + 10 * 2048 + 100;

/// Blocks of the large file that the guest is asked for, three from each.
const BLOCKS: [u64; 2] = [2_097_150, 2_097_160];

#[test]
fn linux_finds_every_entry_on_the_disk_and_on_its_first_partition() -> Result<()> {
    let Some(image) = Image::of("ram")? else { return Ok(()) };
    let dir = tempfile::tempdir_in(root().join("target/test-images"))?;
    let tree = tree(&dir.path().join("big"))?;
    let disk = dir.path().join("disk");
    write(&tree, &disk)?;

    let accel = vm::accel(&image.file("boot/vmlinuz")?);
    let machine = Machine::new(&image.iso, Attach::Virtio).with_order("report-isofs").with_second(&disk);
    let mut guest = machine.start(accel)?;
    guest.report("partition.block", BOOT)?;
    guest.passed(SOON)?;

    let entries: BTreeSet<String> = tree.walk().map(|item| entry(&item)).collect();
    let digests: BTreeSet<String> = tree.walk().filter_map(|item| digest(&item).transpose()).collect::<Result<_>>()?;
    let mut blocks = Vec::new();
    for block in BLOCKS {
        let mut bytes = Vec::new();
        let big =
            tree.get(&TreePath::new("big")?).and_then(|item| item.content().cloned()).context("it was put there")?;
        let (at, len) = (block * 2048, (3 * 2048).min(BIG - block * 2048));
        io::copy(&mut big.slice(at, len).context("it is that long")?.open()?, &mut bytes)?;
        blocks.push(format!("{block} {}  -", hex(&bytes)));
    }
    for key in ["disk", "partition"] {
        let told = |what: &str| -> BTreeSet<String> { guest.reports(&format!("{key}.{what}")).into_iter().collect() };
        for (what, expected) in [("entry", &entries), ("digest", &digests)] {
            let found = told(what);
            let missing: Vec<_> = expected.difference(&found).collect();
            let surplus: Vec<_> = found.difference(expected).collect();
            assert!(missing.is_empty() && surplus.is_empty(), "{key}: not {surplus:#?}, but {missing:#?}");
        }
        assert_eq!(guest.reports(&format!("{key}.block")), blocks, "{key}");
    }
    Ok(())
}

/// One of everything that a POSIX file system has.
fn tree(big: &Path) -> Result<Tree> {
    let mut tree = Tree::new();
    let from = || Provenance::new("the test");
    let mut add = |at: &str, meta: Meta, kind: Kind| -> Result<()> {
        let leaf = Leaf { meta: Meta { mtime: EPOCH, ..meta }, kind };
        tree.insert_leaf(TreePath::new(at)?, leaf, from())?;
        Ok(())
    };
    let file = |text: &str| Kind::File(Content::from(text.to_owned()));
    let symlink = |target: &str| Kind::Symlink(target.as_bytes().to_vec());
    for (at, mode) in [("bin/su", 0o4755), ("secret", 0o600), ("d1/d2/d3/d4/d5/d6/d7/d8/d9/d10/deep", 0o644)] {
        add(at, Meta::new(mode), file(at))?;
    }
    for name in ["n".repeat(200), "m".repeat(253), "grün-日本語".into(), "semi;colon".into(), ".hidden".into()] {
        add(&format!("names/{name}"), Meta::new(0o644), file(&name))?;
    }
    for n in 0..200 {
        add(&format!("many/file-{n:03}"), Meta::new(0o644), file(&"x".repeat(n * 37)))?;
    }
    add("owned", Meta { uid: 1000, gid: 70_000, ..Meta::new(0o640) }, file("mine"))?;
    add("empty", Meta::new(0o644), file(""))?;
    add("dev/null", Meta::new(0o666), Kind::CharDevice { major: 1, minor: 3 })?;
    add("dev/nvme0n1", Meta::new(0o660), Kind::BlockDevice { major: 259, minor: 1 })?;
    add("dev/fifo", Meta::new(0o600), Kind::Fifo)?;
    add("dev/socket", Meta::new(0o600), Kind::Socket)?;
    for (name, target) in [
        ("short", "../etc/passwd"),
        ("absolute", "/usr/lib/x"),
        ("components", &*["component"; 60].join("/")),
        ("long", &"c".repeat(200)),
        ("dots", &("../".repeat(100) + "x")),
    ] {
        add(&format!("links/{name}"), Meta::new(0o777), symlink(target))?;
    }
    let sparse = File::create(big)?;
    sparse.set_len(BIG)?;
    for at in [0, 0xFFFF_F800 - 7, BIG - 10] {
        sparse.write_all_at(b"0123456789", at)?;
    }
    add("big", Meta::new(0o644), Kind::File(Content::host(big, BIG)))?;
    tree.insert_link(TreePath::new("bin/sudo")?, &TreePath::new("bin/su")?, from())?;
    tree.insert_dir(TreePath::new("tmp")?, Meta { mtime: EPOCH, ..Meta::new(0o1777) }, from())?;
    Ok(tree)
}

fn write(tree: &Tree, to: &Path) -> Result<()> {
    let boot = Some(Boot { bios: None, efi: Some(EfiImage::Appended(Content::from(vec![0xE5; 1 << 20]))) });
    let image = iso::Image {
        joliet: true,
        boot,
        system_area: SystemArea::Gpt { start: None },
        ..iso::Image::new(tree, VolumeId::new("TEST_ISOFS")?, EPOCH)
    };
    let mut out = Sparse { file: File::create(to)?, len: 0 };
    iso::layout(&image)?.write(&mut out, &mut |_| {})?;
    Ok(out.file.set_len(out.len)?)
}

/// Leaves out what is zeros.
struct Sparse {
    file: File,
    len: u64,
}

impl Write for Sparse {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.iter().any(|&byte| byte != 0) {
            self.file.seek(SeekFrom::Start(self.len))?;
            self.file.write_all(bytes)?;
        }
        self.len += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn below_dot(item: &Item<'_>) -> String {
    let path = String::from_utf8_lossy(item.path.as_bytes());
    if item.path.is_root() { ".".into() } else { format!("./{path}") }
}

/// `stat -c '%f|%u:%g|%s|%Y|%t:%T|%h|%N'`, and less of a directory.
fn entry(item: &Item<'_>) -> String {
    let Meta { mode, uid, gid, mtime, .. } = item.meta;
    let path = below_dot(item);
    let Node::Leaf { kind, links, .. } = item.node else {
        return format!("{:x}|{uid}:{gid}|{mtime}|{path}", 0o040_000 | mode);
    };
    let (kind_bits, size, device, name) = match kind {
        Kind::File(content) => (0o100_000, content.len(), (0, 0), path),
        Kind::Symlink(target) => {
            let shown = format!("{path} -> '{}'", String::from_utf8_lossy(target));
            (0o120_000, target.len() as u64, (0, 0), shown)
        }
        Kind::CharDevice { major, minor } => (0o020_000, 0, (*major, *minor), path),
        Kind::BlockDevice { major, minor } => (0o060_000, 0, (*major, *minor), path),
        Kind::Fifo => (0o010_000, 0, (0, 0), path),
        Kind::Socket => (0o140_000, 0, (0, 0), path),
    };
    let (major, minor) = device;
    let mode = kind_bits | mode;
    format!("{mode:x}|{uid}:{gid}|{size}|{mtime}|{major:x}:{minor:x}|{links}|{name}")
}

/// `sha256sum` of what is not the large file.
fn digest(item: &Item<'_>) -> Result<Option<String>> {
    match item.content() {
        Some(content) if content.len() < BIG => {
            Ok(Some(format!("{}  {}", hex(&content.read_all(1 << 20)?), below_dot(item))))
        }
        _ => Ok(None),
    }
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}
