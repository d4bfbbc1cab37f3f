//! Directory entries: short ones, and the long names before them.

use crate::date;
use crate::fat::format::{ENTRY, LONG_LAST, LONG_MAX, LONG_UNITS, attribute, short_sum};
use crate::fat::names::{self, Short};
use crate::read::fields::{u16_le, u32_le};

/// A file or a directory, as found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) name: String,
    pub(super) is_dir: bool,
    pub(super) first: u32,
    pub(super) len: u32,
    pub(super) mtime: i64,
}

/// The entries of a directory up to its end, without labels, without what was
/// deleted, and without `.` and `..`.
pub(super) fn entries(directory: &[u8]) -> impl Iterator<Item = Found> {
    let mut long = LongName::default();
    directory.chunks_exact(ENTRY).take_while(|entry| entry[0] != 0).filter_map(move |entry| {
        let attributes = entry[11];
        if entry[0] == DELETED {
            long = LongName::default();
            return None;
        }
        if attributes & 0x3F == attribute::LONG {
            long.add(entry);
            return None;
        }
        let short: &Short = entry.first_chunk()?;
        let name = std::mem::take(&mut long).for_short(short);
        if attributes & attribute::VOLUME != 0 || short[0] == b'.' {
            return None;
        }
        let first = u32::from(u16_le(entry, 20)?) << 16 | u32::from(u16_le(entry, 26)?);
        Some(Found {
            name: name.unwrap_or_else(|| short_name(short, entry[12])),
            is_dir: attributes & attribute::DIRECTORY != 0,
            first,
            len: u32_le(entry, 28)?,
            mtime: date::from_fat(u16_le(entry, 24)?, u16_le(entry, 22)?),
        })
    })
}

const DELETED: u8 = 0xE5;

/// Stands for a first byte that would mean "deleted".
const NOT_DELETED: u8 = 0x05;

/// What Windows NT writes instead of a long name that differs in case alone.
const LOWER_STEM: u8 = 0x08;
const LOWER_EXTENSION: u8 = 0x10;

/// Bytes above ASCII are of a code page that nothing tells; each becomes the
/// letter of its number, so that names stay apart.
fn short_name(short: &Short, case: u8) -> String {
    let mut short = *short;
    if short[0] == NOT_DELETED {
        short[0] = DELETED;
    }
    if case & LOWER_STEM != 0 {
        short[..8].make_ascii_lowercase();
    }
    if case & LOWER_EXTENSION != 0 {
        short[8..].make_ascii_lowercase();
    }
    names::spoken(&short)
}

/// The pieces of a long name that came so far, the last piece first.
#[derive(Default)]
struct LongName {
    /// Of the piece that must come next; 0 when all have come.
    number: u8,
    sum: u8,
    pieces: Vec<[u16; LONG_UNITS.len()]>,
}

impl LongName {
    fn add(&mut self, entry: &[u8]) {
        let number = entry[0] & !LONG_LAST;
        if entry[0] & LONG_LAST != 0 {
            let most = LONG_MAX.div_ceil(LONG_UNITS.len());
            *self = Self::default();
            if number == 0 || usize::from(number) > most {
                return;
            }
            self.sum = entry[13];
        } else if number == 0 || number != self.number || entry[13] != self.sum {
            *self = Self::default();
            return;
        }
        self.number = number - 1;
        self.pieces.push(LONG_UNITS.map(|at| u16_le(entry, at).unwrap_or(0)));
    }

    /// The name, if it is whole and belongs to this entry.
    fn for_short(self, short: &Short) -> Option<String> {
        if self.pieces.is_empty() || self.number != 0 || self.sum != short_sum(short) {
            return None;
        }
        let units: Vec<u16> = self.pieces.into_iter().rev().flatten().take_while(|unit| *unit != 0).collect();
        Some(String::from_utf16_lossy(&units))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(name: &[u8; 11], case: u8) -> [u8; ENTRY] {
        let mut entry = [0; ENTRY];
        entry[..11].copy_from_slice(name);
        entry[12] = case;
        entry
    }

    fn named(entries_: &[[u8; ENTRY]]) -> Vec<String> {
        entries(&entries_.concat()).map(|found| found.name).collect()
    }

    #[test]
    fn short_names_are_read_with_their_case() {
        for (name, case, expected) in [
            (b"README  TXT", 0, "README.TXT"),
            (b"README  TXT", 0x08, "readme.TXT"),
            (b"README  TXT", 0x18, "readme.txt"),
            (b"NOEXT      ", 0, "NOEXT"),
            (b"\x05BC     D  ", 0, "åBC.D"),
        ] {
            assert_eq!(named(&[short(name, case)]), [expected]);
        }
    }

    #[test]
    fn a_long_name_counts_only_whole_and_before_its_entry() {
        let names = names::assign(&[b"a rather long name.txt"]).unwrap().remove(0);
        let pieces = names.long_entries();
        let own = short(&names.short, 0);
        let alias = "ARATHE~1.TXT";
        assert_eq!(named(&[pieces[0], pieces[1], own]), ["a rather long name.txt"]);
        let mut deleted = pieces[1];
        deleted[0] = 0xE5;
        let mut wrong_sum = pieces[1];
        wrong_sum[13] ^= 1;
        for broken in
            [vec![pieces[1], own], vec![pieces[0], own], vec![pieces[0], deleted, own], vec![pieces[0], wrong_sum, own]]
        {
            assert_eq!(named(&broken), [alias]);
        }
        let other = short(b"OTHER      ", 0);
        assert_eq!(named(&[pieces[0], pieces[1], other, own]), ["OTHER", alias]);
    }

    #[test]
    fn labels_dots_and_what_is_behind_the_end_are_no_entries() {
        let mut label = short(b"LABEL      ", 0);
        label[11] = attribute::VOLUME;
        let dot = short(b".          ", 0);
        assert_eq!(named(&[label, dot, short(b"A          ", 0), [0; ENTRY], short(b"B          ", 0)]), ["A"]);
    }
}
