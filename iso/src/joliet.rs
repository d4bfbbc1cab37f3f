//! Joliet: Windows' names, in a second hierarchy beside the first. It has
//! directories and regular files; symlinks and devices have no place in it.

use crate::name::{Naming, Taken};

/// The supplementary descriptor's escape sequence for UCS-2 level 3 (Joliet,
/// "SVD Escape Sequences Field").
pub(crate) const ESCAPE: &[u8; 3] = b"%/E";

/// Readers take levels 1 and 2 too.
pub(crate) fn is_escape(field: &[u8]) -> bool {
    matches!(field, b"%/@" | b"%/C" | b"%/E")
}

/// The Joliet specification has 64 characters; a directory record has room
/// for 110, and 103 is where genisoimage's `-joliet-long`, libisofs and every
/// live system's images have gone without a complaint.
const NAME_MAX: usize = 103;

/// UTF-16, big-endian, `;1` behind a file's name.
#[derive(Default)]
pub(crate) struct WideNames(Taken<Vec<u16>>);

const VERSION: [u16; 2] = [b';' as u16, b'1' as u16];

impl Naming for WideNames {
    fn file(&mut self, name: &[u8]) -> Vec<u8> {
        let mut identifier = self.unique(name);
        identifier.extend(VERSION);
        big_endian(&identifier)
    }

    fn directory(&mut self, name: &[u8]) -> Vec<u8> {
        big_endian(&self.unique(name))
    }

    fn sort_key(identifier: &[u8]) -> &[u8] {
        identifier.strip_suffix(&big_endian(&VERSION)[..]).unwrap_or(identifier)
    }
}

impl WideNames {
    fn unique(&mut self, name: &[u8]) -> Vec<u16> {
        let text = String::from_utf8_lossy(name);
        let numbered = |number: &str| [wide(&text, NAME_MAX - number.len()), number.encode_utf16().collect()].concat();
        self.0.claim(wide(&text, NAME_MAX), Clone::clone, numbered)
    }
}

/// As much of `text` as `room` holds, without halving a surrogate pair.
fn wide(text: &str, room: usize) -> Vec<u16> {
    let mut out = Vec::new();
    for c in text.chars().map(allowed) {
        if out.len() + c.len_utf16() > room {
            break;
        }
        out.extend_from_slice(c.encode_utf16(&mut [0; 2]));
    }
    out
}

/// Joliet, "Allowed Character Set".
fn allowed(c: char) -> char {
    match c {
        '*' | '/' | ':' | ';' | '?' | '\\' | '\0'..='\x1f' => '_',
        _ => c,
    }
}

pub(crate) fn big_endian(text: &[u16]) -> Vec<u8> {
    text.iter().flat_map(|unit| unit.to_be_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(identifier: &[u8]) -> String {
        let units: Vec<u16> = identifier.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
        String::from_utf16(&units).unwrap()
    }

    #[test]
    fn names_keep_what_windows_allows() {
        for (name, expected) in [
            ("initramfs.img", "initramfs.img;1"),
            ("grün-日本語", "grün-日本語;1"),
            ("a:b*c?d;e\\f", "a_b_c_d_e_f;1"),
            ("tab\there", "tab_here;1"),
            ("\u{1F427}", "\u{1F427};1"),
        ] {
            assert_eq!(text(&WideNames::default().file(name.as_bytes())), expected);
        }
        assert_eq!(text(&WideNames::default().directory(b"dir")), "dir");
        assert_eq!(text(&WideNames::default().directory(b"\xff")), "\u{FFFD}");
    }

    #[test]
    fn long_names_are_cut_and_told_apart() {
        let mut names = WideNames::default();
        let [a, b] = ["a", "b"].map(|last| names.file(("x".repeat(150) + last).as_bytes()));
        assert_eq!(text(&a), "x".repeat(103) + ";1");
        assert_eq!(text(&b), "x".repeat(101) + "_1;1");
        let penguins = names.directory("\u{1F427}".repeat(60).as_bytes());
        assert_eq!(text(&penguins), "\u{1F427}".repeat(51), "no pair is halved");
    }
}
