//! ISO 9660's own names. Whoever reads Rock Ridge or Joliet never sees them;
//! firmware and simple boot loaders do, so they stay recognisable.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

/// How the entries of one directory get their identifiers, each once.
pub(crate) trait Naming: Default {
    fn file(&mut self, name: &[u8]) -> Vec<u8>;
    fn directory(&mut self, name: &[u8]) -> Vec<u8>;
    /// What is compared when records are sorted (ECMA-119 9.3): not the
    /// version, whose `;` would come before letters and after digits.
    fn sort_key(identifier: &[u8]) -> &[u8];
}

/// The names that a directory has given out.
pub(crate) struct Taken<K> {
    keys: HashSet<K>,
    /// The last number tried for a name, so that 50,000 names that fall
    /// together do not each count from 1.
    counters: HashMap<K, u32>,
}

impl<K> Default for Taken<K> {
    fn default() -> Self {
        Self { keys: HashSet::new(), counters: HashMap::new() }
    }
}

impl<K: Clone + Eq + Hash> Taken<K> {
    /// `plain`, or the first `numbered` one that is new under its `key`.
    pub(crate) fn claim(&mut self, plain: K, key: impl Fn(&K) -> K, numbered: impl Fn(&str) -> K) -> K {
        let counter = self.counters.entry(key(&plain)).or_default();
        let mut candidate = plain;
        while !self.keys.insert(key(&candidate)) {
            *counter += 1;
            candidate = numbered(&format!("_{counter}"));
        }
        candidate
    }
}

/// ECMA-119 10.2 (level 2 and up): a name and its extension together have at
/// most 30 characters (7.5.1), a directory's name at most 31 (7.6.3).
const FILE_MAX: usize = 30;
const DIRECTORY_MAX: usize = 31;

/// Upper case, one dot, `;1`.
#[derive(Default)]
pub(crate) struct PlainNames(Taken<Vec<u8>>);

impl Naming for PlainNames {
    /// `initramfs.img` becomes `INITRAMFS.IMG;1`.
    fn file(&mut self, name: &[u8]) -> Vec<u8> {
        let (stem, extension) = match name.iter().rposition(|&b| b == b'.') {
            // A leading dot begins no extension: `.disk` is `_DISK`.
            None | Some(0) => (name, &b""[..]),
            Some(dot) => (&name[..dot], &name[dot + 1..]),
        };
        let extension = d_characters(extension, FILE_MAX - 8);
        let room = FILE_MAX - extension.len();
        self.unique(&d_characters(stem, room), room, &[b".", &extension[..], b";1"].concat())
    }

    fn directory(&mut self, name: &[u8]) -> Vec<u8> {
        self.unique(&d_characters(name, DIRECTORY_MAX), DIRECTORY_MAX, b"")
    }

    fn sort_key(identifier: &[u8]) -> &[u8] {
        identifier.strip_suffix(b";1").unwrap_or(identifier)
    }
}

impl PlainNames {
    /// `stem` and `tail`; the end of the stem makes room for a number.
    fn unique(&mut self, stem: &[u8], room: usize, tail: &[u8]) -> Vec<u8> {
        let numbered = |number: &str| {
            let kept = stem.len().min(room - number.len());
            [&stem[..kept], number.as_bytes(), tail].concat()
        };
        self.0.claim([stem, tail].concat(), |identifier| spoken(identifier).to_vec(), numbered)
    }
}

/// The first `most` bytes in the characters of ECMA-119 7.4.1.
fn d_characters(name: &[u8], most: usize) -> Vec<u8> {
    let d_character = |byte: &u8| match byte.to_ascii_uppercase() {
        upper @ (b'A'..=b'Z' | b'0'..=b'9') => upper,
        _ => b'_',
    };
    name.iter().take(most).map(d_character).collect()
}

/// What boot loaders compare: `FOO.;1` and the directory `FOO` are one name.
fn spoken(identifier: &[u8]) -> &[u8] {
    let key = PlainNames::sort_key(identifier);
    key.strip_suffix(b".").unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> String {
        String::from_utf8(PlainNames::default().file(name.as_bytes())).unwrap()
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
        let mut names = PlainNames::default();
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
        let mut names = PlainNames::default();
        let given = ["read-me", "read_me", "READ.ME", "Read.me"].map(|name| names.file(name.as_bytes()));
        let expected = ["READ_ME.;1", "READ_ME_1.;1", "READ.ME;1", "READ_1.ME;1"];
        assert_eq!(given.map(|g| String::from_utf8(g).unwrap()), expected);
        assert_eq!(names.directory(b"read me"), b"READ_ME_2", "a directory is told apart from a file too");
    }

    #[test]
    fn an_empty_extension_sorts_before_a_digit() {
        let key = PlainNames::sort_key;
        assert!(key(b"X.;1") < key(b"X.1;1"));
        assert!(key(b"A.B;1") < key(b"AB.;1"));
    }
}
