//! What an initramfs holds, as its last entry says, so that `/init` sees
//! whether the kernel unpacked all of it: of an archive that is cut or damaged
//! the kernel keeps what came before, and goes on.
//!
//! ```text
//! liveroot-contents 2.0
//! 100755 0 0 669800 9a3bc2710c5d07e4 init
//! 40755 0 0 - - dev
//! 20600 0 0 5:1 - dev/console
//! 120777 0 0 6 11fd0942a8e14b21 bin/sh
//! end 431 5d07e0a41cc2970f  entries, and the sum of all bytes before this line
//! ```
//!
//! Each entry before it has a line, in the archive's order: `st_mode` in octal
//! digits, owner, group, length of the content (of a device: its numbers),
//! sum of the content, path. A symlink's content is its target. In a path,
//! blanks, control characters and `%` are written as `%` and two digits.
//!
//! This is against damage and not against attack. The sum notices whatever happens
//! within eight bytes, and of anything else leaves one in 2^64 to chance, for a third
//! of a CRC's instructions: every boot waits for it.

use std::fmt::Write;
use std::io::{self, Read};

use crate::contract::{FormatError, check_header};

const NAME: &str = "liveroot-contents";
const MAJOR: u32 = 2;
/// Odd, so that a step loses nothing: 2^64 divided by the golden ratio.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

const TYPE: u32 = 0o170_000;
const DIR: u32 = 0o040_000;
const SYMLINK: u32 = 0o120_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Without a slash in front.
    pub path: Vec<u8>,
    pub inode: Inode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inode {
    /// `st_mode`, its type included.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub holds: Holds,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    Nothing,
    Content { len: u64, sum: u64 },
    Device { major: u32, minor: u32 },
}

impl Holds {
    /// Reads the content to its end.
    pub fn content(mut content: impl Read) -> io::Result<Self> {
        let (mut sum, mut len) = (FACTOR, 0);
        // Not on the heap: that is given back, and cleared again, for each of 500 files.
        let mut buffer = [0; 16 << 10];
        loop {
            let mut filled = 0;
            while filled < buffer.len() {
                match content.read(&mut buffer[filled..]) {
                    Ok(0) => {
                        return Ok(Self::Content { len: len + filled as u64, sum: add(sum, &buffer[..filled]) });
                    }
                    Ok(got) => filled += got,
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) => return Err(e),
                }
            }
            sum = add(sum, &buffer);
            len += filled as u64;
        }
    }
}

impl Inode {
    /// Whether what was `found` can be this one. Modes of symlinks mean
    /// nothing, and those of directories are whose archive came last: another
    /// one behind ours may have the same directories.
    fn is(&self, found: &Self) -> bool {
        match self.mode & TYPE {
            DIR => found.mode & TYPE == DIR,
            SYMLINK => found.mode & TYPE == SYMLINK && self.holds == found.holds,
            _ => self == found,
        }
    }
}

pub fn print(entries: &[Entry]) -> String {
    let mut text = format!("{NAME} {MAJOR}.0\n");
    for Entry { path, inode: Inode { mode, uid, gid, holds } } in entries {
        let _ = write!(text, "{mode:o} {uid} {gid} ");
        let _ = match holds {
            Holds::Nothing => write!(text, "- - "),
            Holds::Content { len, sum } => write!(text, "{len} {sum:016x} "),
            Holds::Device { major, minor } => write!(text, "{major}:{minor} - "),
        };
        for &byte in path {
            // Text stays text; what is none stands as its bytes' digits.
            let _ = if byte.is_ascii_graphic() && byte != b'%' {
                write!(text, "{}", byte as char)
            } else {
                write!(text, "%{byte:02x}")
            };
        }
        text.push('\n');
    }
    let sum = add(FACTOR, text.as_bytes());
    let _ = writeln!(text, "end {} {sum:016x}", entries.len());
    text
}

pub fn parse(text: &str) -> Result<Vec<Entry>, FormatError> {
    check_header(text.lines().next(), NAME, MAJOR)?;
    let bad = |line: usize, problem: &str| FormatError { line: line + 1, problem: problem.into() };
    let mut entries = Vec::new();
    let mut at = 0;
    for (n, line) in text.split_inclusive('\n').enumerate() {
        if let Some(end) = line.strip_prefix("end ") {
            return if end == format!("{} {:016x}\n", entries.len(), add(FACTOR, &text.as_bytes()[..at])) {
                Ok(entries)
            } else {
                Err(bad(n, "its sum does not match: it was damaged"))
            };
        }
        at += line.len();
        if n > 0 {
            entries.push(parse_entry(line.trim_end_matches('\n')).ok_or_else(|| bad(n, "not an entry"))?);
        }
    }
    Err(bad(text.lines().count(), "it has no end: it was cut short"))
}

fn parse_entry(line: &str) -> Option<Entry> {
    let mut words = line.split(' ');
    let mode = u32::from_str_radix(words.next()?, 8).ok()?;
    let (uid, gid) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let holds = match (words.next()?, words.next()?) {
        ("-", "-") => Holds::Nothing,
        (device, "-") => {
            let (major, minor) = device.split_once(':')?;
            Holds::Device { major: major.parse().ok()?, minor: minor.parse().ok()? }
        }
        (len, sum) => Holds::Content { len: len.parse().ok()?, sum: u64::from_str_radix(sum, 16).ok()? },
    };
    let mut path = Vec::new();
    let mut escaped = words.next()?.bytes();
    while let Some(byte) = escaped.next() {
        if byte == b'%' {
            let digits = [escaped.next()?, escaped.next()?];
            path.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            path.push(byte);
        }
    }
    words.next().is_none().then_some(Entry { path, inode: Inode { mode, uid, gid, holds } })
}

/// Only the last bytes may be no multiple of eight: the length tells them from
/// such with zeros behind them.
fn add(mut sum: u64, bytes: &[u8]) -> u64 {
    let mut step = |word| {
        sum = (sum ^ u64::from_le_bytes(word)).wrapping_mul(FACTOR);
        // A product carries changes upwards alone.
        sum ^= sum >> 32;
    };
    let (words, rest) = bytes.as_chunks::<8>();
    for &word in words {
        step(word);
    }
    if !rest.is_empty() {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        step(last);
    }
    sum
}

/// Whether everything that is listed is there as it was packed; what else is
/// there came in other archives. The error is a sentence.
pub fn check(entries: &[Entry], mut find: impl FnMut(&Entry) -> io::Result<Inode>) -> Result<(), String> {
    let wrong = entries.iter().filter_map(|entry| match find(entry) {
        Ok(found) if entry.inode.is(&found) => None,
        Ok(_) => Some((entry, "is not what was packed".to_owned())),
        Err(e) => Some((entry, e.to_string())),
    });
    let wrong: Vec<_> = wrong.collect();
    let Some((first, why)) = wrong.first() else { return Ok(()) };
    let more = match wrong.len() {
        1 => String::new(),
        n => format!("; so it is with {n} of {} entries", entries.len()),
    };
    Err(format!("/{}: {why}{more}", first.path.escape_ascii()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &[u8], mode: u32, holds: Holds) -> Entry {
        Entry { path: path.into(), inode: Inode { mode, uid: 3, gid: 4, holds } }
    }

    fn sample() -> Vec<Entry> {
        vec![
            entry(b"init", 0o100_755, Holds::content(&b"123456789"[..]).unwrap()),
            entry(b"dev", 0o040_755, Holds::Nothing),
            entry(b"dev/console", 0o020_600, Holds::Device { major: 5, minor: 1 }),
            entry(b"a b%\n\xff", 0o120_777, Holds::content(&b"init"[..]).unwrap()),
        ]
    }

    #[test]
    fn comes_back_as_it_was() {
        let text = print(&sample());
        assert_eq!(parse(&text), Ok(sample()));
        assert!(text.contains(" a%20b%25%0a%ff\n"), "{text}");
    }

    /// Gives a byte at a time, as a pipe may.
    struct Slowly<'a>(&'a [u8]);

    impl Read for Slowly<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let len = buf.len().min(1);
            self.0.read(&mut buf[..len])
        }
    }

    #[test]
    fn every_flip_every_cut_and_every_two_that_change_places_are_noticed_however_it_is_read() {
        let bytes: Vec<u8> = (0..20_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        let bytes = &bytes[..70_001];
        let whole = Holds::content(bytes).unwrap();
        assert_eq!(Holds::content(Slowly(bytes)).unwrap(), whole);
        for at in (0..bytes.len()).step_by(997) {
            let mut other = bytes.to_vec();
            for bit in 0..8 {
                other[at] ^= 1 << bit;
                assert_ne!(Holds::content(&other[..]).unwrap(), whole, "bit {bit} of {at}");
                other[at] ^= 1 << bit;
            }
            other.swap(at, (at + 8) % bytes.len());
            assert!(other == bytes || Holds::content(&other[..]).unwrap() != whole, "{at} and the eighth behind it");
            assert_ne!(Holds::content(&bytes[..at]).unwrap(), whole, "cut at {at}");
        }
    }

    #[test]
    fn every_cut_and_every_flip_of_the_list_is_noticed() {
        let text = print(&sample());
        for at in 0..text.len() {
            assert!(parse(&text[..at]).is_err(), "cut at {at}");
            for bit in 0..7 {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                let flipped = String::from_utf8(bytes).unwrap();
                assert!(parse(&flipped).is_err(), "flip of bit {bit} at {at}");
            }
        }
    }

    #[test]
    fn what_is_missing_or_other_is_named_and_what_is_not_listed_is_not_looked_at() {
        let listed = sample();
        let found = |path: &[u8], inode: Option<Inode>| {
            check(&listed, |entry| {
                if entry.path != path {
                    return Ok(entry.inode);
                }
                inode.ok_or_else(|| io::ErrorKind::NotFound.into())
            })
        };
        assert_eq!(found(b"none", None), Ok(()));
        let error = found(b"dev/console", None).unwrap_err();
        assert!(error.starts_with("/dev/console: ") && !error.contains("entries"), "{error}");
        let with = |n: usize, change: fn(&mut Inode)| {
            let mut inode = listed[n].inode;
            change(&mut inode);
            found(&listed[n].path, Some(inode))
        };
        for (n, change) in [
            (0, (|inode| inode.mode ^= 1) as fn(&mut Inode)),
            (0, |inode| inode.uid ^= 1),
            (0, |inode| inode.holds = Holds::Content { len: 9, sum: 0 }),
            (1, |inode| inode.mode ^= 0o140_000),
            (2, |inode| inode.holds = Holds::Device { major: 5, minor: 2 }),
            (3, |inode| inode.holds = Holds::Nothing),
        ] {
            assert!(with(n, change).is_err(), "{n}");
        }
        // Another archive's owner and mode for the same directory.
        assert_eq!(with(1, |inode| (inode.mode, inode.uid) = (0o040_700, 1000)), Ok(()));
        let all = check(&listed, |_| Err(io::ErrorKind::NotFound.into())).unwrap_err();
        assert!(all.starts_with("/init: ") && all.contains("4 of 4 entries"), "{all}");
    }
}
