use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};

use tree::listing::{self, With};
use tree::{Content, Limits, Tree, TreePath};

use crate::fixture::{compressed, from};

/// One header and its data.
struct Member {
    header: [u8; 512],
    data: Vec<u8>,
}

fn member(kind: u8, name: &str, data: &[u8]) -> Member {
    let mut header = [0; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[156] = kind;
    header[257..265].copy_from_slice(b"ustar\x0000");
    let member = Member { header, data: data.to_vec() };
    member.field(100, "0000644").field(124, &format!("{:011o}", data.len()))
}

impl Member {
    fn field(self, at: usize, text: &str) -> Self {
        self.bytes(at, text.as_bytes())
    }

    fn bytes(mut self, at: usize, bytes: &[u8]) -> Self {
        self.header[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    fn link(self, to: &str) -> Self {
        self.field(157, to)
    }

    fn packed(&self) -> Vec<u8> {
        let mut header = self.header;
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|b| u32::from(*b)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        let mut packed = [&header[..], &self.data].concat();
        packed.resize(packed.len().next_multiple_of(512), 0);
        packed
    }
}

fn pax(kind: u8, records: &[(&str, &[u8])]) -> Member {
    let record = |(key, value): &(&str, &[u8])| {
        let len = key.len() + value.len() + 3;
        let digits = (1..5).find(|digits| (len + digits).to_string().len() == *digits).unwrap();
        [format!("{} {key}=", len + digits).as_bytes(), value, b"\n"].concat()
    };
    member(kind, "pax", &records.iter().flat_map(record).collect::<Vec<_>>())
}

fn archive(members: &[Member]) -> Vec<u8> {
    let mut archive: Vec<u8> = members.iter().flat_map(Member::packed).collect();
    archive.resize(archive.len() + 1024, 0);
    archive
}

pub(crate) fn read(archive: &[u8]) -> Result<Tree, tree::ArchiveError> {
    tree::tar::parse("a.tar", &Content::from(archive.to_vec()), Limits::default(), &from())
}

/// The listing without its root, or the error.
fn listed(members: &[Member]) -> String {
    match read(&archive(members)) {
        Ok(tree) => listing::print(&tree, With::Metadata).unwrap().split_once('\n').unwrap().1.into(),
        Err(error) => message(&error),
    }
}

fn message(error: &tree::ArchiveError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn text(tree: &Tree, path: &str) -> Vec<u8> {
    tree.get(&TreePath::new(path).unwrap()).unwrap().content().unwrap().read_all(99).unwrap()
}

#[test]
fn a_later_entry_takes_the_place_of_an_earlier_one() {
    let dir = |name, mode| member(b'5', name, b"").field(100, mode);
    for (members, listed_as) in [
        (vec![member(b'0', "a", b"1"), member(b'0', "a", b"22")], "f 0644 0:0 0 /a size=2\n"),
        (vec![member(b'2', "a", b"").link("b"), member(b'0', "./a", b"1")], "f 0644 0:0 0 /a size=1\n"),
        (vec![dir("a", "0000700"), dir("a/", "0000755")], "d 0755 0:0 0 /a\n"),
        (vec![member(b'0', "a", b"1"), dir("a", "0000711")], "d 0711 0:0 0 /a\n"),
        (vec![dir("a", "0000711"), member(b'0', "a", b"1")], "f 0644 0:0 0 /a size=1\n"),
        (vec![dir("", "0000700"), member(b'6', "p", b"")], "p 0644 0:0 0 /p\n"),
        (
            vec![member(b'0', "d/a", b"1"), member(b'0', "d", b"1")],
            "a.tar: its entries contradict each other: /d comes from two sources: test; and test",
        ),
        (
            vec![member(b'2', "lib", b"").link("usr/lib"), member(b'0', "lib/x", b"")],
            "a.tar: its entries contradict each other: /lib/x should be below /lib, which is not a directory (test)",
        ),
    ] {
        assert_eq!(listed(&members), listed_as);
    }
}

#[test]
fn hard_links_share_a_leaf_that_came_before() {
    let link = |name, to| member(b'1', name, b"").field(124, "00000000007").link(to);
    let tree = listed(&[member(b'0', "a", b"1"), link("b", "./a"), link("a", "a"), link("c", "b")]);
    assert_eq!(
        tree,
        "f 0644 0:0 0 /a size=1 links=3\nf 0644 0:0 0 /b size=1 links=3 link=/a\nf 0644 0:0 0 /c size=1 links=3 link=/a\n"
    );
    let missing = listed(&[link("b", "a"), member(b'0', "a", b"1")]);
    assert!(missing.ends_with("/b should be a hard link to /a, which is not in the tree"), "{missing}");
}

#[test]
fn every_form_of_header_says_the_same() {
    let long = "n".repeat(150);
    let gnu = |kind, text: &str| member(kind, "././@LongLink", format!("{text}\0").as_bytes()).bytes(257, b"ustar  \0");
    for (members, listed_as) in [
        // A directory of the seventh edition, and a file without any magic.
        (vec![member(0, "d/", b"").bytes(257, &[0; 8])], "d 0644 0:0 0 /d\n".to_owned()),
        (vec![member(0, "f", b"1").bytes(257, &[0; 8]).field(345, "garbage")], "f 0644 0:0 0 /f size=1\n".into()),
        (
            vec![member(b'7', "f", b"1").field(345, "usr/lib")],
            "d 0755 0:0 0 /usr\nd 0755 0:0 0 /usr/lib\nf 0644 0:0 0 /usr/lib/f size=1\n".into(),
        ),
        (vec![gnu(b'L', &long), member(b'0', "nnn", b"1")], format!("f 0644 0:0 0 /{long} size=1\n")),
        (vec![gnu(b'K', &long), member(b'2', "l", b"").link("nnn")], format!("l 0644 0:0 0 /l to={long}\n")),
        (
            vec![pax(b'x', &[("path", long.as_bytes())]), member(b'0', "nnn", b"")],
            format!("f 0644 0:0 0 /{long} size=0\n"),
        ),
        (
            vec![
                pax(b'g', &[("uid", b"7"), ("mtime", b"-3.5")]),
                pax(b'x', &[("uid", b"3000000000"), ("gid", b"8"), ("LIBARCHIVE.xattr.user.a", b"AAo")]),
                member(b'3', "c", b"").field(329, "0000005").field(337, "0000001"),
                member(b'4', "b", b"").field(329, "0000010").field(337, "0000000"),
            ],
            "b 0644 7:0 -4 /b dev=8:0\nc 0644 3000000000:8 -4 /c dev=5:1 xattr=user.a:000a\n".into(),
        ),
        (
            vec![member(b'0', "f", b"").bytes(108, &[0x80, 0, 0, 0, 0xb2, 0xd0, 0x5e, 0]).bytes(136, &[0xff; 12])],
            "f 0644 3000000000:0 -1 /f size=0\n".into(),
        ),
        // The size of PAX holds, whatever the header says.
        (
            vec![pax(b'x', &[("size", b"2")]), Member { data: b"xy".to_vec(), ..member(b'0', "f", b"") }],
            "f 0644 0:0 0 /f size=2\n".into(),
        ),
        (vec![member(b'V', "volume", b""), member(b'6', "p", b"")], "p 0644 0:0 0 /p\n".into()),
    ] {
        assert_eq!(listed(&members), listed_as);
    }
}

#[test]
fn what_no_tree_can_hold_is_refused_with_the_entry_named() {
    for (members, error) in [
        (
            vec![member(b'0', "a/../b", b"")],
            "a.tar: an entry has a path that cannot be used: path `a/../b` climbs out of the tree with `..`",
        ),
        (
            vec![member(b'1', "b", b"").link("../b")],
            "a.tar: an entry has a path that cannot be used: path `../b` climbs out of the tree with `..`",
        ),
        (vec![member(b'2', "l", b"")], "a.tar: entry `l` is a symlink without a target"),
        (vec![member(b'M', "m", b"")], "a.tar: entry `m` continues from another volume; join the volumes first"),
        (vec![member(b'?', "q", b"")], "a.tar: entry `q` is of type `?`, which no tree holds"),
        (vec![member(b'0', "s", b"").field(124, "0000000000z")], "a.tar: entry `s` has a size that cannot be used"),
        (vec![member(b'0', "s", b"").bytes(108, &[0xff; 8])], "a.tar: entry `s` has an owner that cannot be used"),
        (
            vec![pax(b'x', &[("mtime", b"soon")]), member(b'0', "s", b"")],
            "a.tar: entry `s` has a time that cannot be used",
        ),
        (
            vec![pax(b'x', &[("path", b"p")])],
            "a.tar: the archive ends where an entry should follow its extended header, at byte 1536",
        ),
        (
            vec![member(b'x', "x", b"9 path=x"), member(b'0', "s", b"")],
            "a.tar: a PAX record is malformed, at byte 1024",
        ),
        (vec![member(b'L', "L", b"").field(124, "77777777777")], "a.tar: an extended header is too long, at byte 512"),
    ] {
        assert_eq!(listed(&members), error);
    }
    let nothing = message(&read(&[b'x'; 2048]).unwrap_err());
    assert_eq!(
        nothing,
        "a.tar: this is no tar archive, plain or compressed with gzip, bzip2, xz, lz4 or zstd, at byte 0"
    );
    assert_eq!(message(&read(b"").unwrap_err()), "a.tar: the archive is cut off, at byte 0");
    let lzop = message(&read(b"\x89LZO\0\r\n\x1a\n....").unwrap_err());
    assert!(lzop.contains("compressed with lzop, which is not read here"), "{lzop}");
}

#[test]
fn compression_is_told_by_its_magic_and_streams_are_read_on() {
    let plain = archive(&[member(b'0', "BZh9", b"text"), member(b'0', "]", b"")]);
    let (head, tail) = plain.split_at(700);
    for codec in ["gzip", "bzip2", "xz", "lz4", "zstd"] {
        let streams = [compressed(codec, head), compressed(codec, tail)].concat();
        assert_eq!(text(&read(&streams).unwrap(), "BZh9"), b"text", "{codec}");
        for cut in (0..streams.len()).step_by(7) {
            assert!(read(&streams[..cut]).is_err(), "{codec} cut at {cut}");
        }
    }
    assert_eq!(text(&read(&plain).unwrap(), "BZh9"), b"text");
}

#[test]
fn an_archive_cannot_hold_more_than_the_limits_say() {
    let limits = Limits { bytes: 1 << 20, entries: 2, ..Limits::default() };
    let read = |archive: &[u8]| tree::tar::read("a.tar", archive, limits, &from()).map_err(|e| e.to_string());
    let bomb = compressed("zstd", &vec![0; (1 << 20) + 1]);
    assert!(bomb.len() < 200);
    assert!(read(&bomb).unwrap_err().contains("longer than 1048576 bytes, decompressed"));
    let three = archive(&[member(b'6', "a", b""), member(b'6', "b", b""), member(b'6', "c", b"")]);
    assert!(read(&three).unwrap_err().contains("more than 2 entries"));
    let holes = |size: &[u8]| {
        archive(&[pax(b'x', &[("GNU.sparse.map", b"0,0"), ("GNU.sparse.size", size)]), member(b'0', "a", b"")])
    };
    assert!(read(&holes(b"1048577")).unwrap_err().contains("files with holes are longer than 1048576 bytes"));
    assert_eq!(read(&holes(b"1048576")).unwrap().content_len(), 1 << 20);
}

#[test]
fn a_map_of_holes_that_lies_is_refused() {
    let sparse = |map: &[u8], data: &[u8]| {
        listed(&[pax(b'x', &[("GNU.sparse.map", map), ("GNU.sparse.size", b"100")]), member(b'0', "a", data)])
    };
    assert_eq!(sparse(b"10,2,50,3,100,0", b"12345"), "f 0644 0:0 0 /a size=100\n");
    for map in [&b"10,2,5,3"[..], b"10,2,50", b"10,2,50,4", b"98,3", b"1", b"1,x", b"18446744073709551615,2"] {
        assert_eq!(sparse(map, b"12345"), "a.tar: entry `a` has a damaged map of its holes", "{map:?}");
    }
    let one_zero = |data: &[u8]| {
        let records: [(&str, &[u8]); 3] =
            [("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"100")];
        listed(&[pax(b'x', &records), member(b'0', "a", data)])
    };
    for data in [&b""[..], b"1\n", b"1\n0\n5", b"99999999999999999999999\n", b"18446744073709551615\n0\n", b"1\n0\n9\n"]
    {
        assert_eq!(one_zero(data), "a.tar: entry `a` has a damaged map of its holes", "{data:?}");
    }
}

#[test]
fn a_plain_archive_is_read_where_it_stands_beyond_4_gib() {
    const LEN: u64 = (5 << 30) + 3;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let size = format!("{LEN:011o}\0");
    file.write_all(&member(b'0', "huge", b"").field(124, &size).packed()).unwrap();
    file.seek(SeekFrom::Start(512 + LEN - 3)).unwrap();
    file.write_all(b"end").unwrap();
    file.seek(SeekFrom::Start((512 + LEN).next_multiple_of(512))).unwrap();
    file.write_all(&archive(&[member(b'0', "after", b"x")])).unwrap();
    let tree = tree::tar::load(file.path(), &from()).unwrap();
    assert_eq!(text(&tree, "after"), b"x");
    let huge = tree.get(&TreePath::new("huge").unwrap()).unwrap().content().unwrap();
    assert_eq!(huge.len(), LEN);
    let mut reader = huge.reader().unwrap();
    reader.seek(SeekFrom::End(-4)).unwrap();
    let mut end = Vec::new();
    reader.read_to_end(&mut end).unwrap();
    assert_eq!(end, b"\0end");
}

/// An archive with one of everything.
pub(crate) fn everything() -> Vec<u8> {
    let sparse: [(&str, &[u8]); 3] =
        [("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"100")];
    let mut map = b"1\n90\n4\n".to_vec();
    map.resize(512, 0);
    archive(&[
        member(b'5', "./", b""),
        member(b'0', "a", b"content"),
        member(b'1', "b", b"").link("a"),
        member(b'2', "l", b"").link("a"),
        member(b'3', "c", b"").field(329, "0000005").field(337, "0000001"),
        member(b'L', "././@LongLink", &[b'n'; 120]),
        member(b'0', "nnn", &[0; 600]),
        pax(b'x', &[("path", b"other"), ("SCHILY.xattr.user.a", b"\n\0"), ("mtime", b"1.5")]),
        member(b'0', "x", b""),
        pax(b'x', &sparse),
        member(b'0', "sparse", &[&map[..], b"data"].concat()),
        member(b'S', "gnu", b"data")
            .bytes(257, b"ustar  \0")
            .field(386, "00000000012\x0000000000004\0")
            .field(483, "00000000144\0"),
    ])
}

#[test]
fn a_cut_archive_is_an_error_wherever_it_is_cut() {
    let whole = everything();
    let tree = read(&whole).unwrap();
    let listed = listing::print(&tree, With::Digests).unwrap();
    assert_eq!((tree.len(), tree.content_len()), (9, 7 + 600 + 100 + 100), "{listed}");
    // One block of zeros suffices, so the second one may be missing.
    for cut in (0..whole.len() - 512).step_by(64) {
        assert!(read(&whole[..cut]).is_err(), "cut at {cut}");
    }
    assert!(read(&whole[..whole.len() - 512]).is_ok());
}

/// Makes the checksum of the header that `at` lies in fit, as who changes it
/// with intent would.
pub(crate) fn forge(archive: &mut [u8], at: usize) {
    let block = &mut archive[at / 512 * 512..][..512];
    let header = Member { header: (&*block).try_into().unwrap(), data: Vec::new() };
    block.copy_from_slice(&header.packed());
}

#[test]
fn a_flipped_byte_ends_in_a_tree_or_an_error() {
    let whole = everything();
    for at in 0..whole.len() {
        // Of the padding, a few bytes stand for all.
        let flips: &[u8] =
            if whole[at] != 0 { &[0x01, 0x80] } else { &[[0xff, 0x01, b'7'][at % 3]][..usize::from(at % 7 == 0)] };
        for flip in flips {
            let mut plain = whole.clone();
            plain[at] ^= flip;
            let mut forged = plain.clone();
            forge(&mut forged, at);
            for archive in [plain, forged] {
                let Ok(tree) = read(&archive) else { continue };
                for content in tree.walk().filter_map(|item| item.content()) {
                    assert!(content.len() > 1 << 20 || content.read_all(1 << 20).is_ok());
                }
            }
        }
    }
}

#[test]
fn a_file_that_cannot_be_opened_is_named() {
    let dir = tempfile::tempdir().unwrap();
    for path in [dir.path().join("missing.tar"), dir.path().to_path_buf()] {
        let error = message(&tree::tar::load(&path, &from()).unwrap_err());
        assert!(error.starts_with(&format!("{}: cannot be read: ", path.display())), "{error}");
    }
    let short = dir.path().join("short.tar");
    File::create(&short).unwrap().write_all(b"abc").unwrap();
    assert!(message(&tree::tar::load(&short, &from()).unwrap_err()).contains("cut off"));
}
