//! What the kernel makes of an archive, and what our reader says it would:
//! the cases of the kernel's own init/initramfs_test.c, unpacked by a kernel
//! and read back from its ramfs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::num::NonZero;
use std::path::PathBuf;

use ::builder::compress::{Codec, Decoder};
use ::builder::{digest, microcode, newc as writer};
use anyhow::{Context, Result, ensure};
use harness::builder::{Image, root};
use harness::newc::{Entry, archive};
use harness::oracle::or_skip;
use harness::vm::{self, Attach, Kernel, Machine};
use harness::vmlinux;
use tree::{Kind, Limits, Node, Provenance, Tree, TreePath};

use crate::BOOT;

const DIR: u32 = 0o040_755;
const FILE: u32 = 0o100_644;
const NODE: u32 = 0o020_600;

/// Linux's limits.h, with the NUL.
const PATH_MAX: usize = 4096;
const NAME_MAX: usize = 255;

/// Segments that kernel and reader must unpack alike.
fn good() -> Vec<Vec<Entry>> {
    vec![
        vec![
            Entry::new("cases/owned", 0o100_600).owned_by(12, 34).dated(56).with("twelve"),
            Entry::new("cases/large-numbers", FILE).owned_by(0xffff_fffe, 70_000).dated(0xffff_ffff),
            Entry::new("cases/set-uid", 0o106_751).owned_by(1000, 1001).with("s"),
            Entry::new("cases/link", 0o120_777).owned_by(5, 6).dated(7).with("owned"),
            Entry::new("cases/pipe", 0o010_620).owned_by(8, 9).dated(10),
            Entry::new("cases/socket", 0o140_777).dated(11),
            Entry::new("cases/node", 0o060_640).owned_by(0, 6).numbered(8, 17),
        ],
        vec![
            // Its own date, whatever is put into it later.
            Entry::new("cases/dir", 0o041_770).owned_by(78, 90).dated(1234),
            Entry::new("cases/dir/file", FILE).dated(99_999).with("in it"),
            Entry::new("cases/dir/below", 0o040_500).dated(4321),
            Entry::new("cases/dir/below/file", FILE),
        ],
        vec![Entry::new("cases/summed", FILE).with("summed up\u{ff}").summed(0)],
        vec![
            Entry::new("cases/data-last", FILE).linked(7, 3),
            Entry::new("cases/data-last.2", FILE).linked(7, 3),
            Entry::new("cases/data-last.3", FILE).linked(7, 3).with("with the last"),
            Entry::new("cases/data-first", FILE).linked(8, 2).with("with the first"),
            Entry::new("cases/data-first.2", FILE).linked(8, 2),
        ],
        // The same inode in another archive is another file.
        vec![Entry::new("cases/unlinked", FILE).linked(7, 3).with("alone")],
        (0..1000)
            .map(|n| Entry::new(format!("cases/many-{n}"), FILE).with(format!("{n:0>width$}", width = n % 7)))
            .collect(),
        vec![padded("cases/padded", PATH_MAX).with("behind 4 KiB of name")],
        longest(),
        // A later archive's entry replaces an earlier one's.
        vec![
            Entry::new("cases/replaced", FILE).with("long, and then short"),
            Entry::new("cases/replaced", 0o100_600).with("short"),
        ],
    ]
}

/// A name with NULs up to `len`.
fn padded(name: &str, len: usize) -> Entry {
    let mut entry = Entry::new(name, FILE);
    entry.name.resize(len, 0);
    entry
}

/// The longest path there is, and its folders.
fn longest() -> Vec<Entry> {
    let mut path = String::from("cases");
    let mut entries = Vec::new();
    while path.len() + 1 + NAME_MAX + 1 < PATH_MAX {
        path = format!("{path}/{}", "d".repeat(NAME_MAX));
        entries.push(Entry::new(&path, DIR).dated(3));
    }
    let rest = PATH_MAX - 1 - path.len() - 1;
    entries.push(Entry::new(format!("{path}/{}", "f".repeat(rest)), FILE).with("at the end"));
    entries
}

#[test]
fn the_reader_sees_what_the_kernel_unpacks() -> Result<()> {
    let Some(guest) = Guest::find()? else { return Ok(()) };
    let good: Vec<u8> = good().iter().flat_map(|entries| archive(entries)).collect();
    let bad_sum = archive(&[
        Entry::new("cases/before", FILE).with("whole"),
        Entry::new("cases/summed-wrong", FILE).with("summed up").summed(1),
        Entry::new("cases/behind", FILE),
    ]);
    let seen = guest.boot(&[good.clone(), bad_sum.clone()])?;

    let read = read(good)?;
    let unlike = |a: &BTreeMap<String, String>, b: &BTreeMap<String, String>| {
        let lines = |map: &BTreeMap<String, String>| {
            map.iter().map(|(path, of)| format!("{of} {path}")).collect::<BTreeSet<_>>()
        };
        lines(a).difference(&lines(b)).cloned().collect::<Vec<_>>()
    };
    let mut unpacked = seen.entries.clone();
    // What stands in the bad archive is another matter.
    for name in ["cases/before", "cases/summed-wrong"] {
        ensure!(unpacked.remove(name).is_some(), "{name} is not there");
    }
    assert_eq!(unlike(&read, &unpacked), Vec::<String>::new(), "read by us, and not unpacked so");
    assert_eq!(unlike(&unpacked, &read), Vec::<String>::new(), "unpacked, and not read so by us");
    assert_eq!(unpacked.len(), 1 + 7 + 4 + 1 + 5 + 1 + 1000 + 1 + longest().len() + 1);
    for (path, wanted) in [
        ("cases/owned", "8180 12 34 56 1 6 0:0"),
        ("cases/dir", "43f8 78 90 1234 - - 0:0"),
        ("cases/data-last", "81a4 0 0 0 3 13 0:0"),
        ("cases/node", "61a0 0 6 0 1 0 8:11"),
    ] {
        let told = unpacked.get(path).with_context(|| format!("no {path}"))?;
        ensure!(told.starts_with(wanted), "{path}: {told}, and not {wanted}");
    }

    // The kernel stops there, and our reader does not read it at all.
    ensure!(seen.log.contains("bad data checksum"), "no word of the wrong sum: {:?}", seen.log);
    ensure!(!seen.entries.contains_key("cases/behind"), "unpacked behind a wrong sum");
    let error = tree::cpio::parse("archive", &bad_sum.into(), Limits::default(), &Provenance::default());
    let error = error.err().context("a wrong sum is read")?.to_string();
    ensure!(error.contains("summed-wrong") && error.contains("checksum"), "{error}");
    Ok(())
}

#[test]
fn names_that_run_over_are_refused_and_never_unpacked_as_meant() -> Result<()> {
    let Some(guest) = Guest::find()? else { return Ok(()) };
    let unended = {
        let mut entry = Entry::new("cases/run-over", FILE).with("data, read as name");
        entry.name.pop();
        // No padding whose NULs would end it: 110 bytes of header.
        entry.name.resize(entry.name.len().next_multiple_of(4) + 2, b'x');
        entry
    };
    let meant = String::from_utf8(unended.name.clone())?;
    let too_long = vec![padded("cases/too-long", PATH_MAX + 1), Entry::new("cases/behind", FILE)];
    // Each in its own archive, and last what ends the unpacking.
    let seen = guest.boot(&[archive(&too_long), archive(std::slice::from_ref(&unended))])?;
    ensure!(seen.entries.contains_key("cases/behind"), "a name that is too long ends the archive");
    ensure!(seen.log.contains("malformed archive"), "no word of the name without an end: {:?}", seen.log);
    for name in ["cases/too-long", &meant] {
        ensure!(!seen.entries.contains_key(name), "{name} is there");
    }
    for (entries, words) in [(&too_long[..], "4097 bytes"), (&[unended][..], "NUL")] {
        let error = tree::cpio::parse("archive", &archive(entries).into(), Limits::default(), &Provenance::default());
        let error = error.err().context("a bad name is read")?.to_string();
        ensure!(error.contains(words), "{error}");
    }
    Ok(())
}

/// Each codec in a segment of its own, longer than what its encoder's threads
/// take at a time: what they put together must be one stream to the kernel.
#[test]
fn every_codec_is_unpacked_as_our_threads_wrote_it() -> Result<()> {
    const LEN: usize = 9 << 20;
    let Some(guest) = Guest::find()? else { return Ok(()) };
    let mut segments = Vec::new();
    // lz4 has no end: it comes last.
    for codec in ["gzip:1", "bzip2:1", "xz:0", "zstd:1", "lz4:1"] {
        let data: Vec<u8> = (0..LEN).map(|n| (n / 3 % 251) as u8 ^ (n >> 12) as u8).collect();
        let plain = archive(&[Entry::new(format!("cases/{codec}"), FILE).with(data)]);
        let threads = NonZero::new(3).context("a number")?;
        let mut encoder = codec.parse::<Codec>()?.encoder(Decoder::Kernel, threads, plain.len() as u64, Vec::new())?;
        encoder.write_all(&plain)?;
        segments.push(encoder.finish()?);
    }
    let seen = guest.boot(&segments)?;
    ensure!(seen.log.is_empty(), "{}", seen.log);
    let read = read(segments.concat())?;
    assert_eq!(read.len(), 1 + segments.len());
    assert_eq!(seen.entries, read);
    Ok(())
}

/// The kernel reads the early part before it can unpack anything, and unpacks it
/// with all the rest, which is compressed behind it.
#[test]
fn microcode_stands_uncompressed_before_a_compressed_archive() -> Result<()> {
    let Some(guest) = Guest::find()? else { return Ok(()) };
    let from = Provenance::new("test");
    let mut firmware = Tree::new();
    for (path, len) in [("intel-ucode/06-0f-02", 2048), ("amd-ucode/microcode_amd.bin", 999)] {
        firmware.insert_file(TreePath::new(path)?, 0o644, vec![b'u'; len].into(), from.clone())?;
    }
    let mut image = Vec::new();
    writer::write_early(&microcode::early(&[(firmware, from)])?, &mut image)?;
    let threads = NonZero::new(2).context("a number")?;
    let mut main = "zstd:1".parse::<Codec>()?.encoder(Decoder::Kernel, threads, guest.base.len() as u64, Vec::new())?;
    main.write_all(&guest.base)?;
    image.extend(main.finish()?);
    let seen = Guest { base: image, ..guest }.boot(&[])?;
    ensure!(seen.log.is_empty(), "{}", seen.log);
    for (name, len) in [("GenuineIntel.bin", 2048), ("AuthenticAMD.bin", 999)] {
        let path = format!("kernel/x86/microcode/{name}");
        let told = seen.entries.get(&path).with_context(|| format!("no {path}"))?;
        ensure!(told.starts_with(&format!("81a4 0 0 0 1 {len} 0:0")), "{path}: {told}");
    }
    Ok(())
}

/// A kernel, and an archive whose /init reads back.
struct Guest {
    image: std::sync::Arc<Image>,
    base: Vec<u8>,
}

struct Seen {
    /// `mode uid gid mtime links size device sha256` of each path.
    entries: BTreeMap<String, String>,
    log: String,
}

impl Guest {
    fn find() -> Result<Option<Self>> {
        let toybox = std::env::var_os("LIVEROOT_TOYBOX").map(PathBuf::from);
        let toybox = or_skip(toybox, "toybox (LIVEROOT_TOYBOX)", "`cargo xtask test` sets that")?;
        let (Some(toybox), Some(image)) = (toybox, Image::of("ram")?) else { return Ok(None) };
        let mut base = vec![
            Entry::new("init", 0o100_755).with(fs::read(root().join("tests/roots/readback/init"))?),
            Entry::new("dev", DIR),
            Entry::new("dev/console", NODE).numbered(5, 1),
            Entry::new("dev/null", NODE).numbered(1, 3),
            Entry::new("dev/port", NODE).numbered(1, 4),
            Entry::new("cases", DIR),
            Entry::new("bin", DIR),
            Entry::new("bin/toybox", 0o100_755).with(fs::read(&toybox)?),
        ];
        for command in ["sh", "dmesg", "find", "stat", "sha256sum", "sed", "grep", "printf", "dd"] {
            base.push(Entry::new(format!("bin/{command}"), 0o120_777).with("toybox"));
        }
        Ok(Some(Self { image, base: archive(&base) }))
    }

    fn boot(&self, archives: &[Vec<u8>]) -> Result<Seen> {
        let dir = tempfile::tempdir()?;
        let initramfs = dir.path().join("initramfs");
        fs::write(&initramfs, [&self.base[..], &archives.concat()].concat())?;
        let kernel = self.image.kernel("console=ttyS0 panic=-1")?;
        let accel = vm::accel(&kernel.vmlinuz);
        let vmlinuz = vmlinux::extract(&kernel.vmlinuz, dir.path())?;
        let kernel = Kernel { vmlinuz, initramfs: Some(initramfs), ..kernel };
        let mut guest = Machine::new(&self.image.iso, Attach::Virtio).with_kernel(kernel).start(accel)?;
        guest.passed(BOOT)?;
        Seen::parse(&guest.console.text())
    }
}

impl Seen {
    fn parse(console: &str) -> Result<Self> {
        let (mut stats, mut sums, mut log) = (BTreeMap::new(), BTreeMap::new(), String::new());
        for line in console.lines() {
            match line.trim_end().split_once(' ') {
                Some(("stat", rest)) => {
                    let words: Vec<&str> = rest.splitn(8, ' ').collect();
                    let [mode, uid, gid, mtime, links, size, device, path] = words[..] else { continue };
                    let is_dir = mode.starts_with('4');
                    let (links, size) = if is_dir { ("-", "-") } else { (links, size) };
                    stats.insert(path.to_owned(), format!("{mode} {uid} {gid} {mtime} {links} {size} {device}"));
                }
                Some(("sha256", rest)) => {
                    let (sum, path) = rest.split_once("  ").context("no sum")?;
                    sums.insert(path.to_owned(), sum.to_owned());
                }
                Some(("log", rest)) => log.push_str(rest),
                _ => {}
            }
        }
        ensure!(console.contains("readback ends"), "it does not end:\n{console}");
        let entries = stats.into_iter().map(|(path, stat)| {
            let sum = sums.get(&path).map_or("-", |sum| sum);
            let of = format!("{stat} {sum}");
            (path, of)
        });
        Ok(Self { entries: entries.collect(), log })
    }
}

/// The same of our reader.
fn read(bytes: Vec<u8>) -> Result<BTreeMap<String, String>> {
    let mut with_dir = archive(&[Entry::new("cases", DIR)]);
    with_dir.extend(bytes);
    let tree = tree::cpio::parse("archive", &with_dir.into(), Limits::default(), &Provenance::default())?;
    tree.walk().filter(|item| !item.path.is_root()).map(|item| told(&item)).collect()
}

fn told(item: &tree::Item<'_>) -> Result<(String, String)> {
    let sum = item.content().map(digest::content).transpose()?;
    let sum = sum.map_or("-".into(), |sum| hex(&sum));
    let (links, size, device) = match item.node {
        Node::Dir => ("-".into(), "-".into(), (0, 0)),
        Node::Leaf { kind, links, .. } => {
            let (size, device) = match kind {
                Kind::File(content) => (content.len(), (0, 0)),
                Kind::Symlink(target) => (target.len() as u64, (0, 0)),
                Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => (0, (*major, *minor)),
                Kind::Fifo | Kind::Socket => (0, (0, 0)),
            };
            (links.to_string(), size.to_string(), device)
        }
    };
    let (mode, meta) = (writer::mode(item), item.meta);
    let text =
        format!("{mode:x} {} {} {} {links} {size} {:x}:{:x} {sum}", meta.uid, meta.gid, meta.mtime, device.0, device.1);
    Ok((String::from_utf8(item.path.as_bytes().to_vec())?, text))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
