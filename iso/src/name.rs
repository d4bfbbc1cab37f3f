//! ISO 9660's own names. Whoever reads Rock Ridge or Joliet never sees them;
//! firmware and simple boot loaders do, so they stay recognisable.

use std::collections::{HashMap, HashSet};

/// ECMA-119 10.2 (level 2 and up): a name and its extension together have at
/// most 30 characters (7.5.1), a directory's name at most 31 (7.6.3).
const FILE_MAX: usize = 30;
const DIRECTORY_MAX: usize = 31;

/// Gives out the identifiers of one directory, each once.
#[derive(Default)]
pub(crate) struct Names {
    taken: HashSet<Vec<u8>>,
    /// The last number tried for a name, so that 50,000 names that fall
    /// together do not each count from 1.
    counters: HashMap<Vec<u8>, u32>,
}

impl Names {
    /// `initramfs.img` becomes `INITRAMFS.IMG;1`.
    pub(crate) fn file(&mut self, name: &[u8]) -> Vec<u8> {
        let (stem, extension) = match name.iter().rposition(|&b| b == b'.') {
            // A leading dot begins no extension: `.disk` is `_DISK`.
            None | Some(0) => (name, &b""[..]),
            Some(dot) => (&name[..dot], &name[dot + 1..]),
        };
        let extension: Vec<u8> = extension.iter().take(FILE_MAX - 8).copied().map(d_character).collect();
        let stem: Vec<u8> = stem.iter().take(FILE_MAX - extension.len()).copied().map(d_character).collect();
        let room = FILE_MAX - extension.len();
        self.unique(&stem, room, &[b".", &extension[..], b";1"].concat())
    }

    pub(crate) fn directory(&mut self, name: &[u8]) -> Vec<u8> {
        let stem: Vec<u8> = name.iter().take(DIRECTORY_MAX).copied().map(d_character).collect();
        self.unique(&stem, DIRECTORY_MAX, b"")
    }

    /// `stem` and `tail`, the end of the stem replaced by the first number
    /// that makes it new.
    fn unique(&mut self, stem: &[u8], room: usize, tail: &[u8]) -> Vec<u8> {
        let plain = [stem, tail].concat();
        let counter = self.counters.entry(plain.clone()).or_default();
        let mut candidate = plain;
        while !self.taken.insert(spoken(&candidate).to_vec()) {
            *counter += 1;
            let number = format!("_{counter}");
            let kept = stem.len().min(room - number.len());
            candidate = [&stem[..kept], number.as_bytes(), tail].concat();
        }
        candidate
    }
}

/// ECMA-119 7.4.1.
fn d_character(byte: u8) -> u8 {
    match byte.to_ascii_uppercase() {
        upper @ (b'A'..=b'Z' | b'0'..=b'9') => upper,
        _ => b'_',
    }
}

/// What is compared when names are sorted (ECMA-119 9.3): not the version,
/// whose `;` would come before letters and after digits.
pub(crate) fn sort_key(identifier: &[u8]) -> &[u8] {
    identifier.strip_suffix(b";1").unwrap_or(identifier)
}

/// What boot loaders compare: `FOO.;1` and the directory `FOO` are one name.
fn spoken(identifier: &[u8]) -> &[u8] {
    let key = sort_key(identifier);
    key.strip_suffix(b".").unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> String {
        String::from_utf8(Names::default().file(name.as_bytes())).unwrap()
    }

    #[test]
    fn names_stay_recognisable() {
        for (name, expected) in [
            ("initramfs.img", "INITRAMFS.IMG;1"),
            ("vmlinuz", "VMLINUZ.;1"),
            ("base.tar.xz", "BASE_TAR.XZ;1"),
            (".disk", "_DISK.;1"),
            ("semi;colon", "SEMI_COLON.;1"),
            ("trailing.", "TRAILING.;1"),
            ("grün", "GR__N.;1"),
            ("linux-image-6.1.0-18-amd64_6.1.76-1_amd64.deb", "LINUX_IMAGE_6_1_0_18_AMD64_.DEB;1"),
        ] {
            assert_eq!(file(name), expected);
        }
    }

    #[test]
    fn no_identifier_is_longer_than_the_standard_allows() {
        let mut names = Names::default();
        for name in ["x".repeat(255), format!("x.{}", "y".repeat(253)), format!("{}.y", "x".repeat(253))] {
            for _ in 0..20 {
                let identifier = names.file(name.as_bytes());
                assert!(identifier.len() <= 33, "{}", String::from_utf8_lossy(&identifier));
            }
        }
        assert_eq!(names.directory(&[b'd'; 255]).len(), 31);
    }

    #[test]
    fn names_that_fall_together_are_told_apart() {
        let mut names = Names::default();
        let given = ["read-me", "read_me", "READ.ME", "Read.me"].map(|name| names.file(name.as_bytes()));
        assert_eq!(
            given.map(|g| String::from_utf8(g).unwrap()),
            ["READ_ME.;1", "READ_ME_1.;1", "READ.ME;1", "READ_1.ME;1"]
        );
        assert_eq!(names.directory(b"read me"), b"READ_ME_2", "a directory is told apart from a file too");
    }

    #[test]
    fn an_empty_extension_sorts_before_a_digit() {
        assert!(sort_key(b"X.;1") < sort_key(b"X.1;1"));
        assert!(sort_key(b"A.B;1") < sort_key(b"AB.;1"));
    }
}
