use tree::listing::{self, With};
use tree::{Content, Limits, Tree, TreePath};

use crate::fixture::{compressed, from};

const FILE: u32 = 0o100_644;
const DIR: u32 = 0o040_755;

struct Entry<'a> {
    magic: &'a str,
    ino: u32,
    mode: u32,
    links: u32,
    device: (u32, u32),
    name: &'a [u8],
    body: &'a [u8],
    check: u32,
}

fn entry<'a>(mode: u32, name: &'a str, body: &'a [u8]) -> Entry<'a> {
    let (name, device) = (name.as_bytes(), (0, 0));
    Entry { magic: "070701", ino: 0, mode, links: 1, device, name, body, check: 0 }
}

impl Entry<'_> {
    fn linked(self, ino: u32) -> Self {
        Self { ino, links: 2, ..self }
    }

    /// Appends it, aligned as from the start of `out`.
    fn pack(&self, out: &mut Vec<u8>) {
        let (len, name_len) = (self.body.len() as u32, self.name.len() as u32 + 1);
        let fields =
            [self.ino, self.mode, 0, 0, self.links, 9, len, 8, 1, self.device.0, self.device.1, name_len, self.check];
        out.extend(self.magic.as_bytes());
        for field in fields {
            out.extend(format!("{field:08x}").as_bytes());
        }
        out.extend(self.name);
        out.resize((out.len() + 1).next_multiple_of(4), 0);
        out.extend(self.body);
        out.resize(out.len().next_multiple_of(4), 0);
    }
}

fn segment(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    entries.iter().chain([&entry(0, "TRAILER!!!", b"")]).for_each(|entry| entry.pack(&mut out));
    out
}

pub(crate) fn read(archive: &[u8]) -> Result<Tree, tree::ArchiveError> {
    tree::cpio::parse("initramfs", &Content::from(archive.to_vec()), Limits::default(), &from())
}

/// The listing without its root, or the error.
fn listed(archive: &[u8]) -> String {
    match read(archive) {
        Ok(tree) => listing::print(&tree, With::Metadata).unwrap().split_once('\n').unwrap().1.into(),
        Err(error) => match std::error::Error::source(&error) {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        },
    }
}

fn text(tree: &Tree, path: &str) -> Vec<u8> {
    tree.get(&TreePath::new(path).unwrap()).unwrap().content().unwrap().read_all(99).unwrap()
}

#[test]
fn every_type_of_entry_arrives() {
    let node = |mode, name| Entry { device: (5, 1), ..entry(mode, name, b"") };
    let archive = segment(&[
        entry(DIR, ".", b""),
        entry(0o100_755, "/init", b"#!/bin/sh"),
        entry(0o120_777, "lib", b"usr/lib"),
        node(0o020_600, "dev/console"),
        node(0o060_660, "dev/disk"),
        entry(0o010_600, "pipe", b""),
        entry(0o140_600, "socket", b""),
    ]);
    assert_eq!(
        listed(&archive),
        "d 0755 0:0 9 /dev\nc 0600 0:0 9 /dev/console dev=5:1\nb 0660 0:0 9 /dev/disk dev=5:1\n\
         f 0755 0:0 9 /init size=9\nl 0777 0:0 9 /lib to=usr/lib\np 0600 0:0 9 /pipe\ns 0600 0:0 9 /socket\n"
    );
}

#[test]
fn segments_follow_one_another_and_later_entries_win() {
    let early = segment(&[entry(FILE, "kernel/x86/microcode", b"early"), entry(FILE, "a", b"1")]);
    for codec in ["gzip", "bzip2", "xz", "zstd"] {
        let first = compressed(codec, &segment(&[entry(FILE, "a", b"22"), entry(FILE, "b", b"1")]));
        // The padding brings the last, plain segment to a multiple of four.
        let mut archive =
            [&early[..], &[0; 1024], &first, &compressed("gzip", &segment(&[entry(FILE, "b", b"333")]))].concat();
        archive.resize(archive.len().next_multiple_of(4) + 8, 0);
        archive.extend(segment(&[entry(0o120_777, "c", b"b")]));
        assert_eq!(
            listed(&archive),
            "f 0644 0:0 9 /a size=2\nf 0644 0:0 9 /b size=3\nl 0777 0:0 9 /c to=b\nd 0755 0:0 9 /kernel\n\
             d 0755 0:0 9 /kernel/x86\nf 0644 0:0 9 /kernel/x86/microcode size=5\n",
            "{codec}"
        );
        assert_eq!(text(&read(&archive).unwrap(), "b"), b"333");
    }
}

#[test]
fn hard_links_hold_within_a_segment_and_the_data_come_with_any_of_them() {
    for bodies in [[&b""[..], b"", b"data"], [b"data", b"", b""]] {
        let link = |name, n: usize| entry(FILE, name, bodies[n]).linked(7);
        let archive = segment(&[link("a", 0), link("b", 1), link("c", 2)]);
        let tree = read(&archive).unwrap();
        assert_eq!((text(&tree, "a"), text(&tree, "b")), (b"data".to_vec(), b"data".to_vec()));
        assert!(listed(&archive).ends_with("/c size=4 links=3 link=/a\n"));
    }
    // The kernel forgets inodes at each trailer, and never mixes their types.
    let apart = [segment(&[entry(FILE, "a", b"").linked(7)]), segment(&[entry(FILE, "b", b"1").linked(7)])].concat();
    assert_eq!(listed(&apart), "f 0644 0:0 9 /a size=0\nf 0644 0:0 9 /b size=1\n");
    let types = segment(&[entry(FILE, "a", b"1").linked(7), entry(0o010_644, "b", b"").linked(7)]);
    assert_eq!(listed(&types), "f 0644 0:0 9 /a size=1\np 0644 0:0 9 /b\n");
    let gone = segment(&[entry(FILE, "a", b"1").linked(7), entry(DIR, "a", b""), entry(FILE, "b", b"2").linked(7)]);
    assert_eq!(listed(&gone), "d 0755 0:0 9 /a\nf 0644 0:0 9 /b size=1\n");
}

#[test]
fn checksums_are_checked() {
    let checked = |check| segment(&[Entry { magic: "070702", check, ..entry(FILE, "a", b"abc") }]);
    assert_eq!(listed(&checked(97 + 98 + 99)), "f 0644 0:0 9 /a size=3\n");
    assert_eq!(listed(&checked(1)), "initramfs: entry `a` has contents that do not match its checksum");
}

#[test]
fn lz4_has_no_end_but_zeros_and_the_archives() {
    let packed = compressed("lz4", &segment(&[entry(FILE, "a", b"1")]));
    let told = "f 0644 0:0 9 /a size=1\n";
    assert_eq!(listed(&packed), told);
    assert_eq!(listed(&[&packed[..], &[0; 512]].concat()), told);
    // As the kernel has it: what stands behind is the next block's length.
    let behind = listed(&[packed, segment(&[entry(FILE, "b", b"2")])].concat());
    assert!(behind.contains("lz4 frame is damaged"), "{behind}");
}

#[test]
fn damage_is_named_with_its_place() {
    let good = segment(&[entry(FILE, "a", b"1")]);
    let trailer = 128;
    let with_magic = |magic| segment(&[Entry { magic, ..entry(FILE, "a", b"") }]);
    let with_name = |name| segment(&[Entry { name, ..entry(FILE, "", b"") }]);
    for (archive, error) in [
        (vec![], "this is no newc archive: it has no entries, at byte 0"),
        (vec![0; 4096], "this is no newc archive: it has no entries, at byte 0"),
        (good[..good.len() - trailer].to_vec(), "the archive is cut off, or its trailer is missing, at byte 112"),
        (
            [&[0; 1], &good[..]].concat(),
            "an archive begins at no multiple of four bytes, where the kernel sees none, at byte 1",
        ),
        ([&good[..], b"junk"].concat(), "neither a newc header nor a known compression stands there, at byte 240"),
        (with_magic("070707"), "this is an old cpio archive; make it with --format=newc, at byte 0"),
        (with_magic("07070x"), "no newc header stands there; the archive is damaged, at byte 0"),
        (with_name(&[b'n'; 4096]), "a name has 4097 bytes, not 1 to 4096, at byte 110"),
        (
            [&good[..], b"\x04\x22\x4d\x18 lz4 data"].concat(),
            "compressed with lz4 in a frame that is not the legacy one, which is not read here \
             (recompress it with gzip, bzip2, xz, lz4 -l or zstd), at byte 240",
        ),
    ] {
        assert_eq!(listed(&archive), format!("initramfs: {error}"));
    }
    let nested = listed(&compressed("gzip", &compressed("xz", &good)));
    assert!(
        nested.starts_with("initramfs: the compressed segment that ends here holds no newc archive, at byte "),
        "{nested}"
    );
    for (bad, error) in [
        (entry(0o644, "a", b""), "entry `a` has mode 644, which is of no type"),
        (entry(0o120_777, "a", b""), "entry `a` is a symlink without a target"),
        (entry(0o120_777, "a", &[b't'; 4097]), "entry `a` 4097 bytes, and at most 4096 are read here"),
        (
            entry(FILE, "../a", b""),
            "an entry has a path that cannot be used: path `../a` climbs out of the tree with `..`",
        ),
    ] {
        assert_eq!(listed(&segment(&[bad])), format!("initramfs: {error}"));
    }
}

#[test]
fn an_archive_cannot_hold_more_than_the_limits_say() {
    let limits = Limits { bytes: 4096, entries: 2, ..Limits::default() };
    let read = |archive: Vec<u8>| {
        tree::cpio::parse("initramfs", &archive.into(), limits, &from()).map_err(|error| error.to_string())
    };
    let big = compressed("xz", &segment(&[entry(FILE, "a", &[0; 3000])]));
    assert!(read(big.clone()).is_ok());
    assert!(read([&big[..], &big].concat()).unwrap_err().contains("longer than"));
    let three = segment(&[entry(FILE, "a", b""), entry(FILE, "b", b""), entry(FILE, "c", b"")]);
    assert!(read(three).unwrap_err().contains("more than 2 entries"));
    let limits = Limits { paths: 20_000, ..Limits::default() };
    let read = |name: &str| tree::cpio::parse("initramfs", &segment(&[entry(FILE, name, b"")]).into(), limits, &from());
    assert!(read(&"d/".repeat(90)).is_ok());
    assert!(read(&"d/".repeat(200)).unwrap_err().to_string().contains("its paths are longer"));
}

pub(crate) fn everything() -> Vec<u8> {
    let plain = segment(&[
        entry(DIR, "d", b""),
        entry(FILE, "d/a", b"").linked(1),
        entry(FILE, "d/b", &[9; 130]).linked(1),
        Entry { magic: "070702", check: 97, ..entry(FILE, "sum", b"a") },
        entry(0o120_777, "l", b"d/a"),
    ]);
    let gzip = compressed("gzip", &segment(&[entry(FILE, "z", b"z")]));
    [&plain[..], &[0; 4], &gzip].concat()
}

#[test]
fn a_cut_archive_is_an_error_wherever_it_is_cut() {
    let whole = everything();
    assert_eq!(read(&whole).unwrap().len(), 7);
    let plain = whole.windows(10).position(|name| name == b"TRAILER!!!").unwrap() + 11;
    for cut in 0..whole.len() {
        // Between the segments nothing is missing that could be seen.
        let between = (plain..=plain.next_multiple_of(4) + 4).contains(&cut);
        assert_eq!(read(&whole[..cut]).is_ok(), between, "cut at {cut} of {}, trailer ends at {plain}", whole.len());
    }
}

#[test]
fn a_flipped_byte_ends_in_a_tree_or_an_error() {
    let whole = everything();
    for at in 0..whole.len() {
        for flip in [0x01, 0x02, 0x08, 0x40, 0x80, 0xff, whole[at] ^ b'f', whole[at] ^ b'0'] {
            let mut damaged = whole.clone();
            damaged[at] ^= flip;
            if let Ok(tree) = read(&damaged) {
                for content in tree.walk().filter_map(|item| item.content()) {
                    content.read_all(1 << 20).unwrap();
                }
            }
        }
    }
}
