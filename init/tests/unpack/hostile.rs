//! Packages made to harm. Whatever they try: nothing changes outside of the
//! root, no file is there by half, and no right comes from a package that may
//! not give any.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use init::unpack::{Limits, UnpackError, package};

use crate::PLAIN;
use crate::archive::{Entry, archive, dir, entry, file, hard_link, members, pax, record, symlink as link, xz};
use crate::snapshot::snapshot;

/// `outer/root` is the root, and everything else in `outer` is what a package
/// must not reach.
struct Place {
    outer: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { outer: tempfile::tempdir().unwrap() };
        let (root, outside) = (place.root(), place.outside());
        fs::create_dir_all(root.join("etc")).unwrap();
        fs::create_dir_all(root.join("usr/lib")).unwrap();
        fs::create_dir_all(&outside).unwrap();
        fs::write(root.join("etc/passwd"), "root").unwrap();
        fs::write(outside.join("victim"), "unharmed").unwrap();
        symlink("usr/lib", root.join("lib")).unwrap();
        symlink("../outside", root.join("exit")).unwrap();
        symlink(&outside, root.join("absolute-exit")).unwrap();
        symlink("../outside/victim", root.join("etc/victim")).unwrap();
        place
    }

    fn root(&self) -> PathBuf {
        self.outer.path().join("root")
    }

    fn outside(&self) -> PathBuf {
        self.outer.path().join("outside")
    }
}

enum Outcome {
    /// An error in whose text these words are.
    Error(&'static str),
    /// Harmless in the end: what has to be true of the root.
    Fine(fn(&Path) -> bool),
}

use Outcome::{Error, Fine};

fn reads(root: &Path, name: &str, expected: &str) -> bool {
    fs::read_to_string(root.join(name)).is_ok_and(|contents| contents == expected)
}

fn rows() -> Vec<(&'static str, Vec<u8>, Outcome)> {
    let named = |kind, name: &'static [u8]| Entry { name, ..entry(kind, "") };
    let long = |letter: &[u8], count: usize| letter.repeat(count);
    let two = |first: Entry, second: Entry| archive(&[first, second]);
    let records = |key: &str, value: &[u8]| record(key, value);
    let by_pax = |key: &str, value: &[u8], entry: Entry| archive(&[pax(&records(key, value)), entry]);
    let by_gnu = |kind, name: &[u8], entry: Entry| {
        let long = Entry { data: name, ..self::entry(kind, "././@LongLink") };
        archive(&[long, entry])
    };
    let broken_sum = {
        let mut tar = archive(&[file("a", "x")]);
        tar[0] = b'b';
        tar
    };
    let header = |change: fn(&mut tar::Header)| {
        let mut header = file("a", "").header();
        change(&mut header);
        header.set_cksum();
        [header.as_bytes().to_vec(), vec![0; 1024]].concat()
    };
    vec![
        // Names.
        ("up", archive(&[file("../outside/new", "x")]), Error("`../outside/new` climbs out")),
        ("up from below", archive(&[file("usr/../../outside/new", "x")]), Error("climbs out")),
        ("up and nothing more", archive(&[dir("..")]), Error("climbs out")),
        ("up into oneself", archive(&[file("etc/../etc/new", "x")]), Error("climbs out")),
        ("absolute", archive(&[file("/etc/new", "x")]), Fine(|root| reads(root, "etc/new", "x"))),
        ("doubled slashes", archive(&[file("//etc///./new", "x")]), Fine(|root| reads(root, "etc/new", "x"))),
        ("up by pax", by_pax("path", b"../outside/new", file("a", "x")), Error("climbs out")),
        ("up by GNU name", by_gnu(b'L', b"../outside/new\0", file("a", "x")), Error("climbs out")),
        ("NUL by pax", by_pax("path", b"etc/new\0/../..", file("a", "x")), Error("NUL byte")),
        ("NUL by GNU name", by_gnu(b'L', b"etc/a\0b\0", file("a", "x")), Error("NUL byte")),
        ("no name", archive(&[file("", "x")]), Error("no name of its own")),
        ("the root as a file", archive(&[file("./.", "x")]), Error("no name of its own")),
        ("the root as a link", archive(&[link("/", "../outside")]), Error("no name of its own")),
        ("component too long", by_pax("path", &long(b"n", 256), file("a", "x")), Error("File name too long")),
        ("path too long", by_pax("path", &long(b"d/", 3000), dir("a")), Error("File name too long")),
        ("our temporary name", archive(&[dir("etc/.liveroot-unpack")]), Error("unfinished files")),
        ("terminal codes", archive(&[named(b'0', b"../\x1b[2J\n")]), Error("`../\\x1b[2J\\n`")),
        // Links on the way.
        ("through a link", archive(&[file("exit/new", "x")]), Fine(|root| reads(root, "outside/new", "x"))),
        ("through an absolute link", archive(&[file("absolute-exit/victim", "x")]), Fine(|_| true)),
        (
            "link, then through it",
            two(link("l", "../../outside"), file("l/victim", "x")),
            Fine(|root| reads(root, "outside/victim", "x")),
        ),
        (
            "link to a link to outside",
            archive(&[link("a", "b"), link("b", "exit"), file("a/victim", "x")]),
            Fine(|root| reads(root, "outside/victim", "x")),
        ),
        ("link to oneself", two(link("l", "l"), file("l/x", "x")), Error("symbolic links")),
        ("links in a ring", archive(&[link("a", "b"), link("b", "a"), dir("a/d")]), Error("symbolic links")),
        ("over a link to a file", archive(&[file("etc/victim", "x")]), Fine(|root| reads(root, "etc/victim", "x"))),
        (
            "directory over a link to outside, with a mode",
            archive(&[dir("exit").mode(0o777)]),
            Fine(|root| fs::symlink_metadata(root.join("exit")).unwrap().is_dir()),
        ),
        (
            "directory over a link inside, with a mode",
            archive(&[dir("lib").mode(0o711)]),
            Fine(|root| fs::metadata(root.join("usr/lib")).unwrap().permissions().mode() & 0o777 == 0o711),
        ),
        (
            "fifo over a link to a file",
            archive(&[entry(b'6', "etc/victim").mode(0o666)]),
            Fine(|root| fs::symlink_metadata(root.join("etc/victim")).unwrap().file_type().is_fifo()),
        ),
        ("through /proc", archive(&[link("p", "/proc/self/root/tmp"), file("p/x", "x")]), Fine(|_| true)),
        // CVE-2026-33056: the mode of a directory that a link stands for.
        (
            "link, then a directory in its place",
            two(link("l", "../outside"), dir("l").mode(0o777)),
            Fine(|root| fs::symlink_metadata(root.join("l")).unwrap().is_dir()),
        ),
        (
            "link, then a file in its place with a slash",
            two(link("l", "../outside/victim"), entry(b'0', "l/").mode(0o777)),
            Fine(|root| fs::symlink_metadata(root.join("l")).unwrap().is_dir()),
        ),
        (
            "a directory's link turned elsewhere before its mode is set",
            two(dir("lib").mode(0o777), link("lib", "../outside")),
            Error("No such file"),
        ),
        ("NUL in a target", by_pax("linkpath", b"etc\0/../..", link("l", "a")), Error("NUL byte")),
        // Hard links.
        ("hard link up", archive(&[hard_link("h", "../outside/victim")]), Error("climbs out")),
        ("hard link through a link", archive(&[hard_link("h", "exit/victim")]), Error("No such file")),
        ("hard link to an absolute path", archive(&[hard_link("h", "/outside/victim")]), Error("No such file")),
        ("hard link up by pax", by_pax("linkpath", b"../outside/victim", hard_link("h", "a")), Error("climbs out")),
        ("hard link up by GNU name", by_gnu(b'K', b"../outside/victim", hard_link("h", "a")), Error("climbs out")),
        (
            "hard link to a link to outside, then written",
            two(hard_link("h", "etc/victim"), file("h", "x")),
            Fine(|root| reads(root, "h", "x")),
        ),
        (
            "hard link takes no mode along",
            archive(&[hard_link("h", "etc/passwd").mode(0o4777)]),
            Fine(|root| fs::metadata(root.join("etc/passwd")).unwrap().permissions().mode() & 0o7111 == 0),
        ),
        (
            "hard link to itself",
            archive(&[hard_link("etc/passwd", "etc/passwd")]),
            Fine(|root| reads(root, "etc/passwd", "root")),
        ),
        ("hard link to a directory", archive(&[hard_link("h", "etc")]), Error("cannot make `h`")),
        (
            "hard link, then through it",
            archive(&[link("l", "../outside/victim"), hard_link("h2", "l"), file("h2", "x")]),
            Fine(|root| reads(root, "h2", "x") && fs::symlink_metadata(root.join("l")).unwrap().is_symlink()),
        ),
        ("hard link to nothing", archive(&[hard_link("h", "")]), Error("link to nothing")),
        ("symlink to nothing", archive(&[link("s", "")]), Error("link to nothing")),
        // Rights.
        ("character device", archive(&[entry(b'3', "null")]), Error("`null` is a device node")),
        ("block device", archive(&[entry(b'4', "disk")]), Error("device node")),
        ("set-uid", archive(&[file("su", "x").mode(0o4755)]), Error("`su` is set-uid")),
        ("set-uid on a fifo", archive(&[entry(b'6', "su").mode(0o6644)]), Error("`su` is set-uid")),
        ("set-gid", archive(&[file("su", "x").mode(0o2755)]), Error("set-gid")),
        (
            "set-gid directory",
            archive(&[dir("mail").mode(0o2775)]),
            Fine(|root| fs::metadata(root.join("mail")).unwrap().permissions().mode() & 0o7777 == 0o2775),
        ),
        (
            "capability",
            by_pax("SCHILY.xattr.security.capability", b"\x01\0\0\x02\n\xff", file("ping", "x")),
            Error("`ping` has capabilities"),
        ),
        ("overlay's whiteout", by_pax("SCHILY.xattr.trusted.overlay.opaque", b"y", dir("etc")), Error("attributes")),
        // Sizes.
        (
            "a bomb of zeros",
            xz(&archive(&[Entry { data: &vec![0; 8 << 20], ..entry(b'0', "z") }])),
            Error("larger than"),
        ),
        (
            "many small ones",
            archive(&vec![Entry { data: &[7; 300 << 10], ..entry(b'0', "a") }; 4]),
            Error("larger than"),
        ),
        ("declared exabytes", archive(&[file("a", "x").size(1 << 62)]), Error("larger than")),
        ("declared exabytes twice", two(file("a", "").size(0), file("b", "x").size(u64::MAX)), Error("larger than")),
        ("larger by pax", by_pax("size", b"18446744073709551615", file("a", "x")), Error("larger than")),
        ("smaller by pax", by_pax("size", b"1", file("a", &"x".repeat(600))), Error("damaged")),
        ("cut in its compression", xz(&archive(&[file("etc/passwd", "x")]))[..60].to_vec(), Error("cannot be read")),
        (
            "cut in its contents",
            members(&[file("etc/passwd", "x").size(600)]),
            Error("cut short after entry `etc/passwd`"),
        ),
        (
            "zeros without end",
            xz(&[members(&[file("a", "x")]), vec![0; 8 << 20]].concat()),
            Error("goes on after its end"),
        ),
        ("a huge extended header", xz(&archive(&[pax(&vec![b'9'; 8 << 20])])), Error("larger than any needs")),
        ("a declared huge one", archive(&[pax(b"").size(1 << 60)]), Error("larger than any needs")),
        ("a huge GNU name", by_gnu(b'L', &long(b"n/", 1 << 20), file("a", "x")), Error("larger than any needs")),
        // Places taken.
        ("twice", two(file("a", "first"), file("a", "second")), Fine(|root| reads(root, "a", "second"))),
        ("file over directory", archive(&[file("usr", "x")]), Error("`usr` would replace a directory")),
        ("link over directory", archive(&[link("usr/lib", "/etc")]), Error("would replace a directory")),
        ("hard link over directory", archive(&[hard_link("usr", "etc/passwd")]), Error("would replace a directory")),
        ("below a file", archive(&[file("etc/passwd/x", "x")]), Error("Not a directory")),
        (
            "directory over file",
            two(dir("etc/passwd"), file("etc/passwd/x", "x")),
            Fine(|root| reads(root, "etc/passwd/x", "x")),
        ),
        (
            "file, directory and link in turn",
            archive(&[file("a", "x"), dir("a"), link("b", "a"), file("b/c", "y"), file("b", "z")]),
            Fine(|root| reads(root, "a/c", "y") && reads(root, "b", "z")),
        ),
        // Archives that are none.
        ("empty", Vec::new(), Error("cut short before its first entry")),
        ("text", b"#!/bin/sh\n".repeat(100), Error("no tar archive")),
        ("a wrong check sum", broken_sum, Error("no tar archive")),
        (
            "two archives",
            [archive(&[file("a", "x")]), archive(&[file("b", "x")])].concat(),
            Error("goes on after its end"),
        ),
        ("extended header and no entry", members(&[pax(&records("path", b"a"))]), Error("cut short")),
        ("extended header and the end", archive(&[pax(&records("path", b"a"))]), Error("cut short")),
        (
            "extended header that is none",
            archive(&[pax(b"7 path=etc/passwd\n"), file("a", "x")]),
            Error("broken extended"),
        ),
        (
            "global header with a path",
            archive(&[Entry { data: &records("path", b"etc/passwd"), ..entry(b'g', "g") }, file("a", "x")]),
            Error("global header"),
        ),
        (
            "global header with a comment",
            archive(&[Entry { data: &records("comment", b"0123"), ..entry(b'g', "g") }, file("a", "x")]),
            Fine(|root| reads(root, "a", "x")),
        ),
        ("unknown type", archive(&[entry(b'Z', "a")]), Error("unknown type 0x5a")),
        ("sparse by GNU", archive(&[entry(b'S', "a")]), Error("sparse")),
        ("sparse by an older pax", by_pax("GNU.sparse.map", b"0,1", file("a", "x")), Error("sparse")),
        ("another name by sparse", by_pax("GNU.sparse.name", b"../outside/new", file("a", "x")), Error("sparse")),
        ("a part of another volume", archive(&[entry(b'M', "etc/passwd")]), Error("unknown type 0x4d")),
        ("a dump of a directory", archive(&[Entry { data: b"Rx\0Ty\0", ..entry(b'D', "etc") }]), Error("unknown type")),
        ("sparse by pax", by_pax("GNU.sparse.major", b"1", file("a", "x")), Error("sparse")),
        ("contents of a directory", archive(&[Entry { data: b"x", ..dir("d") }]), Error("has contents")),
        ("contents of a link", archive(&[Entry { data: b"x", ..link("l", "etc") }]), Error("has contents")),
        ("no owner", header(|header| header.set_uid(u64::from(u32::MAX))), Error("has a number")),
        ("a negative owner", header(|header| header.as_old_mut().uid = [0xff; 8]), Error("has a number")),
        ("a mode that is none", header(|header| header.as_old_mut().mode = *b"-0000001"), Error("has a number")),
        ("a negative size", header(|header| header.as_old_mut().size = [0xff; 12]), Error("larger than")),
        ("a size that is none", header(|header| header.as_old_mut().size = *b"12345678901x"), Error("without a size")),
        (
            "a negative time",
            header(|header| header.as_old_mut().mtime = [0xff; 12]),
            Fine(|root| fs::metadata(root.join("a")).unwrap().mtime() == -1),
        ),
        (
            "a mode with a type, and rights",
            header(|header| header.as_old_mut().mode = *b"0104755\0"),
            Error("`a` is set-uid"),
        ),
        ("an owner past all", by_pax("uid", b"4294967296", file("a", "x")), Error("has a number")),
        ("a time before time", by_pax("mtime", b"-1.5", file("a", "x")), Fine(|root| reads(root, "a", "x"))),
        ("a time that is none", by_pax("mtime", b"soon", file("a", "x")), Error("broken extended")),
    ]
}

#[test]
fn no_hostile_package_does_harm() {
    let rows = rows();
    assert!(rows.len() >= 95, "{}", rows.len());
    for (what, bytes, outcome) in rows {
        let place = Place::new();
        let (root, outside) = (place.root(), place.outside());
        let before = snapshot(&outside);
        let passwd = fs::metadata(root.join("etc/passwd")).unwrap().len();
        let result = package(&*bytes, &root, &PLAIN);

        assert_eq!(snapshot(&outside), before, "{what}: something changed outside");
        assert_eq!(fs::read_dir(place.outer.path()).unwrap().count(), 2, "{what}: something new outside");
        check_harmless(&root, what);
        match (result, outcome) {
            (Ok(_), Fine(holds)) => assert!(holds(&root), "{what}: {:#?}", snapshot(&root)),
            (Err(error), Error(words)) => {
                let text = error.to_string();
                assert!(text.contains(words), "{what}: {text}");
                assert!(!text.contains(char::is_control), "{what}: {text:?}");
                assert!(!root.join("h").exists() && !root.join("su").exists(), "{what} left something");
                assert_eq!(fs::metadata(root.join("etc/passwd")).unwrap().len(), passwd, "{what}");
            }
            (Ok(_), Error(words)) => panic!("{what} was taken, and not refused with `{words}`"),
            (Err(error), Fine(_)) => panic!("{what}: {error}"),
        }
    }
}

fn check_harmless(root: &Path, what: &str) {
    for name in snapshot(root).keys() {
        let about = fs::symlink_metadata(root.join(name)).unwrap();
        let kind = about.file_type();
        assert!(!kind.is_block_device() && !kind.is_char_device(), "{what}: {name} is a device");
        assert!(kind.is_dir() || about.permissions().mode() & 0o6000 == 0, "{what}: {name} is set-uid or set-gid");
        assert!(!name.contains(".liveroot-unpack"), "{what}: {name} was left behind");
    }
}

#[test]
fn a_privileged_package_may_give_rights() {
    let limits = Limits { privileged: true, ..PLAIN };
    let root = tempfile::tempdir().unwrap();
    package(&*archive(&[file("su", "x").mode(0o6755)]), root.path(), &limits).unwrap();
    assert_eq!(fs::metadata(root.path().join("su")).unwrap().permissions().mode() & 0o7777, 0o6755);

    let result = package(&*archive(&[entry(b'3', "null").mode(0o666)]), root.path(), &limits);
    if nix::unistd::geteuid().is_root() {
        result.unwrap();
        assert!(fs::metadata(root.path().join("null")).unwrap().file_type().is_char_device());
    } else {
        let error = result.unwrap_err();
        assert!(error.to_string().contains("cannot make `null`"), "{error}");
    }
}

#[test]
fn what_gives_rights_gets_no_second_name_from_a_package_that_may_give_none() {
    let root = tempfile::tempdir().unwrap();
    let all = Limits { privileged: true, ..PLAIN };
    package(&*archive(&[file("su", "x").mode(0o4755), file("mail", "x").mode(0o2755)]), root.path(), &all).unwrap();
    let mut rows = vec![("su", "set-uid"), ("mail", "set-gid")];
    if nix::unistd::geteuid().is_root() {
        package(&*archive(&[entry(b'3', "null")]), root.path(), &all).unwrap();
        rows.push(("null", "device node"));
    }
    for (target, words) in rows {
        let link = archive(&[hard_link("h", target)]);
        let error = package(&*link, root.path(), &PLAIN).unwrap_err().to_string();
        assert!(error.contains("`h`") && error.contains(words), "{error}");
        assert!(!root.path().join("h").exists(), "{target}");
        package(&*link, root.path(), &all).unwrap();
        fs::remove_file(root.path().join("h")).unwrap();
    }
}

#[test]
fn a_file_left_by_a_run_that_was_killed_is_in_the_way_of_none() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join(".liveroot-unpack"), "half").unwrap();
    package(&*archive(&[link("l", "x"), file("a", "x")]), root.path(), &PLAIN).unwrap();
    assert_eq!(snapshot(root.path()).keys().collect::<Vec<_>>(), ["", "a", "l"]);
}

#[test]
fn a_full_root_is_told_from_other_errors() {
    let full = |errno| UnpackError::Failed { entry: b"a".to_vec(), doing: "write", errno };
    assert!(full(nix::errno::Errno::ENOSPC).is_no_space());
    assert!(!full(nix::errno::Errno::EACCES).is_no_space());
}
