//! Packages that were cut short or damaged on the way.

use std::fs;
use std::io::{self, Read};

use init::unpack::{UnpackError, package};

use crate::PLAIN;
use crate::archive::{archive, dir, file, members, symlink, xz};
use crate::snapshot::snapshot;

const CONTENTS: &str = "contents that are longer than nothing, over and over. ";

fn sample() -> (Vec<u8>, String) {
    let text = CONTENTS.repeat(40);
    let tar = archive(&[
        dir("d"),
        file("d/one", &text),
        symlink("d/link", "one"),
        file("d/two", &text),
        file("three", &text),
        file("empty", ""),
    ]);
    (tar, text)
}

/// Every file that is there is there whole; nothing unfinished is left.
fn check_whole(root: &std::path::Path, text: &str, what: &str) {
    for name in snapshot(root).keys() {
        let path = root.join(name);
        assert!(!name.contains("liveroot"), "{what} left {name}");
        if path.is_file() {
            let expected = if name == "empty" { "" } else { text };
            assert_eq!(fs::read_to_string(&path).unwrap(), expected, "{what}: {name}");
        }
    }
}

#[test]
fn every_cut_of_a_compressed_package_is_an_error_and_leaves_whole_files_only() {
    let (tar, text) = sample();
    let gzip = {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        io::Write::write_all(&mut out, &tar).unwrap();
        out.finish().unwrap()
    };
    for packed in [xz(&tar), gzip, zstd::encode_all(&*tar, 1).unwrap()] {
        for cut in 0..packed.len() {
            let root = tempfile::tempdir().unwrap();
            let what = format!("cut at {cut} of {}", packed.len());
            let error = package(&packed[..cut], root.path(), &PLAIN).expect_err(&what);
            assert!(matches!(error, UnpackError::Read { .. } | UnpackError::Archive { .. }), "{what}: {error}");
            check_whole(root.path(), &text, &what);
        }
        let root = tempfile::tempdir().unwrap();
        assert_eq!(package(&*packed, root.path(), &PLAIN).unwrap().entries, 6);
    }
}

#[test]
fn every_cut_of_a_plain_tar_but_between_entries_is_an_error() {
    let (tar, text) = sample();
    let members = tar.len() - 1024;
    for cut in (0..tar.len()).step_by(64) {
        let root = tempfile::tempdir().unwrap();
        let what = format!("cut at {cut}");
        let result = package(&tar[..cut], root.path(), &PLAIN);
        check_whole(root.path(), &text, &what);
        match result {
            // Where a header would begin, or where only zeros are missing.
            Ok(_) => assert!(cut > 0 && (cut % 512 == 0 || cut > members + 512), "{what}"),
            Err(_) => assert!(cut < members + 512, "{what}"),
        }
    }
}

#[test]
fn streams_that_follow_each_other_are_one_package() {
    let (tar, text) = sample();
    let (first, second) = tar.split_at(1700);
    let zstd = |part| zstd::encode_all(part, 1).unwrap();
    for packed in [[xz(first), xz(second)].concat(), [zstd(first), zstd(second)].concat()] {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(package(&*packed, root.path(), &PLAIN).unwrap().entries, 6);
        check_whole(root.path(), &text, "two streams");
    }
}

#[test]
fn an_archive_without_its_final_zeros_is_whole() {
    let root = tempfile::tempdir().unwrap();
    let tar = members(&[file("a", "one"), file("b", "two")]);
    assert_eq!(package(&*xz(&tar), root.path(), &PLAIN).unwrap().bytes, 6);
}

#[test]
fn damage_anywhere_never_panics_and_never_leaves_half_a_file() {
    let (tar, _) = sample();
    let packed = xz(&tar);
    for at in (0..packed.len()).step_by(3) {
        let mut damaged = packed.clone();
        damaged[at] ^= 0x41;
        let root = tempfile::tempdir().unwrap();
        assert!(package(&*damaged, root.path(), &PLAIN).is_err(), "flip at {at}");
    }
    for at in (0..tar.len()).step_by(13) {
        let mut damaged = tar.clone();
        damaged[at] ^= 0x41;
        let root = tempfile::tempdir().unwrap();
        // Contents have no check sum in a tar: some flips are not seen.
        let _ = package(&*damaged, root.path(), &PLAIN);
        assert!(!snapshot(root.path()).keys().any(|name| name.contains("liveroot")), "flip at {at}");
    }
}

#[test]
fn a_medium_that_fails_is_told_from_a_package_that_is_cut() {
    struct Failing<'a>(&'a [u8]);
    impl Read for Failing<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.by_ref().take(7).read(buffer)? {
                0 => Err(io::Error::from_raw_os_error(5)),
                n => Ok(n),
            }
        }
    }
    let (tar, _) = sample();
    let root = tempfile::tempdir().unwrap();
    let error = package(Failing(&tar[..1500]), root.path(), &PLAIN).unwrap_err();
    let UnpackError::Read { after, error } = &error else { panic!("{error}") };
    assert_eq!((&after[..], error.raw_os_error()), (&b"d/one"[..], Some(5)));
    assert!(!root.path().join("d/one").exists());
}
