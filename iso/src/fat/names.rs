//! Names as FAT has them: a short one of eight and three characters for
//! everybody, and a long one where that says less than it should.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::format::{ENTRY, LONG_LAST, LONG_MAX, LONG_UNITS, attribute, short_sum};

/// Eight bytes and three, filled with spaces.
pub(super) type Short = [u8; 11];

/// One entry's names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) short: Short,
    /// Empty where the short name says it all.
    pub(super) long: Vec<u16>,
}

/// Why a name cannot be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NameFault {
    Text(&'static str),
    /// FAT takes both for one name.
    SameAs(String),
}

impl Names {
    /// Directory entries that they take.
    pub(super) fn entries(&self) -> usize {
        1 + self.long.len().div_ceil(LONG_UNITS.len())
    }

    /// The pieces of the long name, the last one first, as they stand before
    /// the short entry.
    pub(super) fn long_entries(&self) -> Vec<[u8; ENTRY]> {
        let pieces = self.long.chunks(LONG_UNITS.len()).enumerate();
        let count = self.long.len().div_ceil(LONG_UNITS.len());
        let piece = |(n, units): (usize, &[u16])| {
            let mut entry = [0; ENTRY];
            entry[0] = (n + 1) as u8 | if n + 1 == count { LONG_LAST } else { 0 };
            entry[11] = attribute::LONG;
            entry[13] = short_sum(&self.short);
            // A name that does not fill its last piece ends with a zero.
            let filled = units.iter().copied().chain([0]).chain(std::iter::repeat(0xFFFF));
            for (at, unit) in LONG_UNITS.into_iter().zip(filled) {
                entry[at..at + 2].copy_from_slice(&unit.to_le_bytes());
            }
            entry
        };
        pieces.map(piece).rev().collect()
    }
}

/// Names for all entries of one directory, in their order. The fault is that
/// of the entry it is told with.
pub(super) fn assign(names: &[&[u8]]) -> Result<Vec<Names>, (usize, NameFault)> {
    let mut folded: BTreeMap<String, usize> = BTreeMap::new();
    let mut texts = Vec::new();
    for (n, name) in names.iter().enumerate() {
        let text = checked(name).map_err(|problem| (n, NameFault::Text(problem)))?;
        if let Some(first) = folded.insert(text.to_uppercase(), n) {
            return Err((n, NameFault::SameAs(String::from_utf8_lossy(names[first]).into_owned())));
        }
        texts.push(text);
    }
    // Who has a short name by nature keeps it.
    let natural: Vec<Option<Short>> = texts.iter().map(|text| natural(text)).collect();
    let mut taken: BTreeSet<Short> = natural.iter().flatten().copied().collect();
    let mut counters = HashMap::new();
    let named = |(text, natural): (&&str, Option<Short>)| {
        let short = natural.unwrap_or_else(|| alias(text, &mut taken, &mut counters));
        let says_it_all = natural.is_some() && spoken(&short) == **text;
        Names { short, long: if says_it_all { Vec::new() } else { text.encode_utf16().collect() } }
    };
    Ok(texts.iter().zip(natural).map(named).collect())
}

fn checked(name: &[u8]) -> Result<&str, &'static str> {
    let text = std::str::from_utf8(name).map_err(|_| "it is not UTF-8")?;
    if text.contains(|c: char| c.is_control() || "\"*/:<>?\\|".contains(c)) {
        return Err("none of \" * / : < > ? \\ | and no control character may be in it");
    }
    if text.ends_with(['.', ' ']) || text.starts_with(' ') {
        return Err("a dot at the end and spaces at either end are dropped");
    }
    if text.encode_utf16().count() > LONG_MAX {
        return Err("it is longer than 255 units of UTF-16");
    }
    Ok(text)
}

/// The short name that is the same name but for the case of its letters.
fn natural(text: &str) -> Option<Short> {
    let (stem, extension) = match text.rsplit_once('.') {
        Some((stem, extension)) => (stem, extension),
        None => (text, ""),
    };
    let fits = |part: &str, most| part.len() <= most && part.bytes().all(|byte| short_byte(byte).is_some());
    (!stem.is_empty() && fits(stem, 8) && fits(extension, 3)).then(|| short(stem.as_bytes(), extension.as_bytes()))
}

/// `FatGen103`, "Short Directory Entries": what may stand in a short name.
fn short_byte(byte: u8) -> Option<u8> {
    let is_allowed = byte.is_ascii_alphanumeric() || b"$%'-_@~`!(){}^#&".contains(&byte);
    is_allowed.then(|| byte.to_ascii_uppercase())
}

fn short(stem: &[u8], extension: &[u8]) -> Short {
    let mut out = [b' '; 11];
    for (to, from) in out[..8].iter_mut().zip(stem) {
        *to = from.to_ascii_uppercase();
    }
    for (to, from) in out[8..].iter_mut().zip(extension) {
        *to = from.to_ascii_uppercase();
    }
    out
}

/// "The Basis-Name Generation Algorithm" and "The Numeric-Tail Generation
/// Algorithm", with numbers from 1 in the order of the directory.
fn alias(text: &str, taken: &mut BTreeSet<Short>, counters: &mut HashMap<Short, u32>) -> Short {
    let text = text.trim_start_matches('.');
    let (stem, extension) = text.rsplit_once('.').unwrap_or((text, ""));
    let shortened = |part: &str, most: usize| -> Vec<u8> {
        let letters = part.chars().filter(|c| !matches!(c, ' ' | '.'));
        letters.map(|c| u8::try_from(c).ok().and_then(short_byte).unwrap_or(b'_')).take(most).collect()
    };
    let (stem, extension) = (shortened(stem, 6), shortened(extension, 3));
    let counter = counters.entry(short(&stem, &extension)).or_default();
    loop {
        *counter += 1;
        let tail = format!("~{counter}");
        let kept = &stem[..stem.len().min(8 - tail.len())];
        let candidate = short(&[kept, tail.as_bytes()].concat(), &extension);
        if taken.insert(candidate) {
            return candidate;
        }
    }
}

/// `NAME.EXT` out of its eleven bytes.
pub(super) fn spoken(short: &Short) -> String {
    let part =
        |bytes: &[u8]| bytes.iter().copied().map(char::from).collect::<String>().trim_end_matches(' ').to_owned();
    let (stem, extension) = (part(&short[..8]), part(&short[8..]));
    if extension.is_empty() { stem } else { format!("{stem}.{extension}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shorts(names: &[&str]) -> Vec<(String, bool)> {
        let bytes: Vec<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
        let names = assign(&bytes).unwrap();
        names.iter().map(|names| (spoken(&names.short), !names.long.is_empty())).collect()
    }

    #[test]
    fn upper_case_eight_and_three_need_no_long_name() {
        for (name, short, has_long) in [
            ("BOOTX64.EFI", "BOOTX64.EFI", false),
            ("EFI", "EFI", false),
            ("grubx64.efi", "GRUBX64.EFI", true),
            ("Boot", "BOOT", true),
            ("loader.conf", "LOADER~1.CON", true),
            (".hidden", "HIDDEN~1", true),
            ("a.b.c", "AB~1.C", true),
            ("two words", "TWOWOR~1", true),
            ("grün", "GR_N~1", true),
            ("5.10+x", "5~1.10_", true),
            ("~1", "~1", false),
        ] {
            assert_eq!(shorts(&[name]), [(short.to_owned(), has_long)], "{name}");
        }
    }

    #[test]
    fn aliases_keep_clear_of_each_other_and_of_natural_names() {
        let given = shorts(&["vmlinuz-6.1", "vmlinuz-6.12", "vmlinuz-6.13", "vmlinu~1.1"]);
        let given: Vec<&str> = given.iter().map(|(short, _)| &**short).collect();
        assert_eq!(given, ["VMLINU~2.1", "VMLINU~1.12", "VMLINU~1.13", "VMLINU~1.1"]);
        let many: Vec<String> = (0..12_000).map(|n| format!("the same beginning {n}")).collect();
        let names: Vec<&str> = many.iter().map(|name| &**name).collect();
        let distinct: BTreeSet<String> = shorts(&names).into_iter().map(|(short, _)| short).collect();
        assert_eq!(distinct.len(), many.len());
    }

    #[test]
    fn what_fat_would_change_is_refused() {
        for name in [&b"a:b"[..], b"tab\t", b"dot.", b"space ", b" space", b"\xff", &[b'x'; 256]] {
            assert!(matches!(assign(&[name]), Err((0, NameFault::Text(_)))), "{name:?}");
        }
        assert_eq!(assign(&[b"Grub", b"GRUB"]), Err((1, NameFault::SameAs("Grub".into()))));
    }

    #[test]
    fn long_names_stand_backwards_and_end_with_a_zero() {
        let names = assign(&[b"fourteen-chars"]).unwrap().remove(0);
        let entries = names.long_entries();
        assert_eq!((entries.len(), names.entries()), (2, 3));
        assert_eq!((entries[0][0], entries[1][0]), (0x42, 1));
        assert_eq!(entries[0][1..7], [b's', 0, 0, 0, 0xFF, 0xFF]);
        assert_eq!(entries[1][28..], [b'a', 0, b'r', 0]);
        let thirteen = assign(&[b"thirteen-long"]).unwrap().remove(0).long_entries();
        assert_eq!((thirteen.len(), thirteen[0][0]), (1, 0x41), "a full piece needs no zero");
    }
}
