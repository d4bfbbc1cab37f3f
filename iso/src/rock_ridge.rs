//! Rock Ridge: what POSIX knows of a file and ISO 9660 does not. RRIP is
//! IEEE P1282, SUSP is IEEE P1281.
//!
//! Lengths here are law: Linux drops Rock Ridge from the whole image, without
//! a word, over an `ER` entry whose length is wrong by one. Linux also cuts
//! names of 254 and 255 bytes (fs/isofs/rock.c); they are written whole, and
//! [`crate::advice`] tells of them.

use tree::{Item, Kind, Meta, Node};

use crate::date;
use crate::format::{SECTOR, both32};

/// SUSP 4: one entry is at most 255 bytes, four of them its header.
const ENTRY_MAX: usize = 255;

/// SUSP 5.1: length of a `CE` entry.
const CE_LEN: usize = 28;

/// RRIP 4.1.3.1, 4.1.4: flag bit 0 of `SL`, of its components, and of `NM`:
/// the next entry goes on with this one.
const CONTINUE: u8 = 1;

/// File types in `st_mode` (RRIP 4.1.1).
pub(crate) const S_IFMT: u32 = 0o170_000;
pub(crate) const S_IFSOCK: u32 = 0o140_000;
pub(crate) const S_IFLNK: u32 = 0o120_000;
pub(crate) const S_IFREG: u32 = 0o100_000;
pub(crate) const S_IFBLK: u32 = 0o060_000;
pub(crate) const S_IFDIR: u32 = 0o040_000;
pub(crate) const S_IFCHR: u32 = 0o020_000;
pub(crate) const S_IFIFO: u32 = 0o010_000;

/// The entry that says SUSP is in use, first in the root's own record
/// (SUSP 5.3).
pub(crate) fn sp() -> Vec<u8> {
    vec![b'S', b'P', 7, 1, 0xBE, 0xEF, 0]
}

/// The entry that says the rest is Rock Ridge 1.12 (SUSP 5.5, RRIP 4.3). With
/// the P of the draft more readers know it: to pycdlib and cdfs "IEEE_1282" is nothing.
pub(crate) fn er() -> Vec<u8> {
    const ID: &[u8] = b"IEEE_P1282";
    const DESCRIPTION: &[u8] = b"THE IEEE P1282 PROTOCOL PROVIDES SUPPORT FOR POSIX FILE SYSTEM SEMANTICS";
    const SOURCE: &[u8] =
        b"PLEASE CONTACT THE IEEE STANDARDS DEPARTMENT, PISCATAWAY, NJ, USA FOR THE P1282 SPECIFICATION.";
    let lengths = [ID.len() as u8, DESCRIPTION.len() as u8, SOURCE.len() as u8, 1];
    entry(*b"ER", &[&lengths, ID, DESCRIPTION, SOURCE].concat())
}

/// A POSIX file's numbers that the tree's metadata does not hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Numbers {
    pub(crate) links: u32,
    pub(crate) serial: u32,
}

/// Everything about `item` but its name.
pub(crate) fn attributes(item: &Item<'_>, numbers: Numbers) -> Vec<Vec<u8>> {
    let mut entries = vec![px(item, numbers), tf(item.meta)];
    if let Node::Leaf { kind, .. } = item.node {
        match kind {
            Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => entries.push(pn(*major, *minor)),
            Kind::Symlink(target) => entries.extend(sl(target)),
            Kind::File(_) | Kind::Fifo | Kind::Socket => {}
        }
    }
    entries
}

/// RRIP 4.1.1, with the serial number of version 1.12: 44 bytes.
fn px(item: &Item<'_>, numbers: Numbers) -> Vec<u8> {
    let kind = match item.node {
        Node::Dir => S_IFDIR,
        Node::Leaf { kind, .. } => match kind {
            Kind::File(_) => S_IFREG,
            Kind::Symlink(_) => S_IFLNK,
            Kind::CharDevice { .. } => S_IFCHR,
            Kind::BlockDevice { .. } => S_IFBLK,
            Kind::Fifo => S_IFIFO,
            Kind::Socket => S_IFSOCK,
        },
    };
    let mode = kind | (item.meta.mode & !S_IFMT);
    let fields = [mode, numbers.links, item.meta.uid, item.meta.gid, numbers.serial];
    entry(*b"PX", &fields.map(both32).concat())
}

/// RRIP 4.1.6: the time of modification alone, in the short form.
fn tf(meta: &Meta) -> Vec<u8> {
    const MODIFY: u8 = 2;
    entry(*b"TF", &[&[MODIFY][..], &date::short(meta.mtime)].concat())
}

/// RRIP 4.1.2. A `dev_t` of 32 bits stands in the low half alone; Linux and
/// libisofs take it from there as `major << 8 | minor`. A minor number beyond
/// that goes the other way Linux knows: major high, minor low.
fn pn(major: u32, minor: u32) -> Vec<u8> {
    let (high, low) = if minor < 1 << 8 && major < 1 << 12 { (0, major << 8 | minor) } else { (major, minor) };
    entry(*b"PN", &[both32(high), both32(low)].concat())
}

/// RRIP 4.1.4: the name, in two entries when it is longer than one holds.
pub(crate) fn nm(name: &[u8]) -> Vec<Vec<u8>> {
    const ROOM: usize = ENTRY_MAX - 5;
    let count = name.len().div_ceil(ROOM);
    let flags = |n: usize| if n + 1 < count { CONTINUE } else { 0 };
    name.chunks(ROOM).enumerate().map(|(n, part)| entry(*b"NM", &[&[flags(n)][..], part].concat())).collect()
}

/// RRIP 4.1.3: a symlink's target in components, over as many entries as they
/// need. An empty component keeps a double or a trailing slash.
fn sl(target: &[u8]) -> Vec<Vec<u8>> {
    const ROOM: usize = ENTRY_MAX - 5;
    let mut areas: Vec<Vec<u8>> = vec![Vec::new()];
    let mut add = |component: Vec<u8>| {
        let last = areas.last_mut().expect("there is always one");
        if last.len() + component.len() <= ROOM {
            last.extend(component);
        } else {
            areas.push(component);
        }
    };
    let relative = match target.strip_prefix(b"/") {
        Some(rest) => {
            add(component(Component::ROOT, b""));
            rest
        }
        None => target,
    };
    if !relative.is_empty() {
        for name in relative.split(|&b| b == b'/') {
            match name {
                b"." => add(component(Component::CURRENT, b"")),
                b".." => add(component(Component::PARENT, b"")),
                b"" => add(component(0, b"")),
                _ => {
                    let parts = name.chunks(ROOM - 2);
                    let count = parts.len();
                    for (n, part) in parts.enumerate() {
                        add(component(if n + 1 < count { CONTINUE } else { 0 }, part));
                    }
                }
            }
        }
    }
    let count = areas.len();
    let flags = |n: usize| if n + 1 < count { CONTINUE } else { 0 };
    areas.iter().enumerate().map(|(n, area)| entry(*b"SL", &[&[flags(n)][..], area].concat())).collect()
}

/// RRIP 4.1.3.1: what a component can be instead of a name.
struct Component;

impl Component {
    const CURRENT: u8 = 2;
    const PARENT: u8 = 4;
    const ROOT: u8 = 8;
}

fn component(flags: u8, name: &[u8]) -> Vec<u8> {
    [&[flags, name.len() as u8][..], name].concat()
}

/// SUSP 4: signature, length, version 1, data.
fn entry(signature: [u8; 2], data: &[u8]) -> Vec<u8> {
    let length = u8::try_from(4 + data.len()).expect("callers split what is longer");
    [&signature[..], &[length, 1], data].concat()
}

/// SUSP 5.1: where the rest of a record's entries stands.
fn ce(at: Area) -> Vec<u8> {
    entry(*b"CE", &[at.sector, at.offset, at.length].map(both32).concat())
}

/// The sectors behind a directory that take what its records cannot.
#[derive(Debug)]
pub(crate) struct Continuations {
    /// The sector this begins at.
    start: u32,
    bytes: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Area {
    sector: u32,
    offset: u32,
    length: u32,
}

impl Continuations {
    pub(crate) fn starting_at(start: u32) -> Self {
        Self { start, bytes: Vec::new() }
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Linux reads an area as part of one block and refuses one that crosses
    /// into the next.
    fn add(&mut self, area: &[u8]) -> Area {
        let used = self.bytes.len() % SECTOR;
        if used + area.len() > SECTOR {
            crate::format::pad_to_sector(&mut self.bytes);
        }
        let at = self.bytes.len();
        self.bytes.extend_from_slice(area);
        Area { sector: self.start + (at / SECTOR) as u32, offset: (at % SECTOR) as u32, length: area.len() as u32 }
    }

    /// The system use field of a record with `room` bytes left: all entries,
    /// or as many as fit and a `CE` to the others.
    pub(crate) fn pack(&mut self, entries: &[Vec<u8>], room: usize) -> Vec<u8> {
        if entries.iter().map(Vec::len).sum::<usize>() <= room {
            return entries.concat();
        }
        let mut kept = 0;
        let mut length = 0;
        while length + entries[kept].len() + CE_LEN <= room {
            length += entries[kept].len();
            kept += 1;
        }
        let rest = self.pack(&entries[kept..], SECTOR);
        [&entries[..kept].concat()[..], &ce(self.add(&rest))].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn er_is_the_standards_own_byte_for_byte() {
        let er = er();
        assert_eq!(er.len(), 8 + 10 + 72 + 94);
        assert_eq!(er[..8], [b'E', b'R', er.len() as u8, 1, 10, 72, 94, 1]);
        assert_eq!(&er[8..18], b"IEEE_P1282");
        assert!(er[18..].starts_with(b"THE IEEE P1282") && er[90..].starts_with(b"PLEASE CONTACT"));
        assert!(er.ends_with(b"SPECIFICATION."));
    }

    #[test]
    fn sp_is_the_standards_own_byte_for_byte() {
        assert_eq!(sp(), [b'S', b'P', 7, 1, 0xBE, 0xEF, 0]);
    }

    #[test]
    fn px_has_five_fields_in_both_orders() {
        let mut tree = tree::Tree::new();
        let from = tree::Provenance::new("test");
        let path = tree::TreePath::new("x").unwrap();
        let meta = Meta { uid: 1000, gid: 50, ..Meta::new(0o4755) };
        tree.insert_leaf(path.clone(), tree::Leaf { meta, kind: Kind::Fifo }, from).unwrap();
        let px = px(&tree.get(&path).unwrap(), Numbers { links: 3, serial: 7 });
        assert_eq!(px[..4], [b'P', b'X', 44, 1]);
        for (field, value) in [(0, 0o014_755), (1, 3), (2, 1000), (3, 50), (4, 7)] {
            assert_eq!(px[4 + field * 8..][..8], both32(value), "field {field}");
        }
    }

    #[test]
    fn tf_and_pn_have_the_standards_lengths() {
        let tf = tf(&Meta { mtime: 1_709_251_199, ..Meta::new(0) });
        assert_eq!(tf, [b'T', b'F', 12, 1, 2, 124, 2, 29, 23, 59, 59, 0]);
        let pn = |major, minor| pn(major, minor);
        assert_eq!(pn(1, 3)[..4], [b'P', b'N', 20, 1]);
        assert_eq!(pn(1, 3)[4..], [both32(0), both32(0x103)].concat());
        assert_eq!(pn(8, 300)[4..], [both32(8), both32(300)].concat());
    }

    #[test]
    fn names_continue_past_one_entry() {
        assert_eq!(nm(b"abc"), [[b'N', b'M', 8, 1, 0, b'a', b'b', b'c']]);
        let long = nm(&[b'x'; 255]);
        assert_eq!(long.iter().map(|nm| (nm[2], nm[4])).collect::<Vec<_>>(), [(255, 1), (10, 0)]);
    }

    /// The target as Linux puts it together (fs/isofs/rock.c,
    /// `get_symlink_chunk`).
    fn joined(entries: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        for (n, entry) in entries.iter().enumerate() {
            assert_eq!(entry[..2], *b"SL");
            assert_eq!(entry[2] as usize, entry.len());
            assert_eq!(entry[4] & CONTINUE == CONTINUE, n + 1 < entries.len());
            let mut rest = &entry[5..];
            while let [flags, length, tail @ ..] = rest {
                let (name, tail) = tail.split_at(*length as usize);
                match flags & !CONTINUE {
                    0 => out.extend_from_slice(name),
                    2 => out.push(b'.'),
                    4 => out.extend_from_slice(b".."),
                    8 => {}
                    _ => panic!("flags {flags}"),
                }
                let at_end = tail.is_empty() && n + 1 == entries.len();
                if *flags == 8 || (!at_end && flags & CONTINUE == 0) {
                    out.push(b'/');
                }
                rest = tail;
            }
        }
        out
    }

    #[test]
    fn symlink_targets_come_back() {
        let many = ["component"; 60].join("/");
        let dots = "../".repeat(200) + "etc";
        let longest = format!("/{}", ["y".repeat(255)].iter().cycle().take(15).cloned().collect::<Vec<_>>().join("/"));
        for target in ["a", "/", "/usr/bin", "../lib", ".", "./x/../y", "a//b", "a/", &many, &dots, &longest] {
            assert_eq!(String::from_utf8(joined(&sl(target.as_bytes()))).unwrap(), target);
        }
    }

    #[test]
    fn what_does_not_fit_continues_behind_the_directory() {
        let entries: Vec<Vec<u8>> = (0..20).map(|n| entry(*b"XX", &[n; 251])).collect();
        let mut continuations = Continuations::starting_at(100);
        let mut field = continuations.pack(&entries, 200);
        let bytes = continuations.into_bytes();
        let word = |entry: &[u8], at: usize| u32::from_le_bytes(entry[at..at + 4].try_into().unwrap());
        let mut found = Vec::new();
        loop {
            let mut next = None;
            let mut rest = &field[..];
            while !rest.is_empty() {
                let (entry, tail) = rest.split_at(rest[2] as usize);
                match &entry[..2] {
                    b"CE" => next = Some([4, 12, 20].map(|at| word(entry, at))),
                    _ => found.push(entry.to_vec()),
                }
                rest = tail;
            }
            let Some([sector, offset, length]) = next else { break };
            assert!(offset + length <= SECTOR as u32, "an area stays within one block");
            let at = (sector as usize - 100) * SECTOR + offset as usize;
            field = bytes[at..at + length as usize].to_vec();
        }
        assert_eq!(found, entries);
    }
}
