//! The System Use Sharing Protocol and Rock Ridge, as found (SUSP 5, RRIP 4).

use tree::{ContentAt, TreePath};

use crate::date;
use crate::format::SECTOR;

use super::ReadError;
use super::budget::Budget;
use super::fields::u32_le;
use super::record::{Record, records};

/// That an image has Rock Ridge, and where entries begin in its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Use {
    /// SUSP 5.3: bytes to skip in every record but the root's own.
    skip: usize,
}

/// Linux gives up at as many (`RR_MAX_CE_ENTRIES` in fs/isofs/rock.c).
const CONTINUATIONS_MAX: usize = 32;

/// What Linux can follow.
const SYMLINK_MAX: usize = 4095;

/// What POSIX knows about one entry.
#[derive(Debug, Default)]
pub(crate) struct Posix {
    pub(crate) name: Option<Vec<u8>>,
    pub(crate) attributes: Option<Attributes>,
    pub(crate) mtime: Option<i64>,
    pub(crate) target: Option<Vec<u8>>,
    pub(crate) device: Option<(u32, u32)>,
    /// RRIP 4.1.5.1: the directory stands there and not here.
    pub(crate) child_link: Option<u32>,
    /// RRIP 4.1.5.3: a directory that is shown elsewhere.
    pub(crate) relocated: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Attributes {
    pub(crate) mode: u32,
    pub(crate) links: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Zero where version 1.10 of the protocol has none.
    pub(crate) serial: u32,
}

/// Looks for `SP` and then for Rock Ridge in the root's own record.
pub(crate) fn find(at: &ContentAt, image_len: u64, root: &Record) -> Result<Option<Use>, ReadError> {
    // A root that is out of reach is told when a tree is asked for.
    if root.offset() + SECTOR as u64 > image_len {
        return Ok(None);
    }
    let sector = at.read(root.offset(), SECTOR as u64)?;
    let Some(Ok((_, own))) = records(&sector).next() else { return Ok(None) };
    let [b'S', b'P', 7, _, 0xBE, 0xEF, skip, ..] = own.system_use[..] else { return Ok(None) };
    let mut budget = Budget::new(image_len);
    let mut reader = Reader { at, image_len, budget: &mut budget, path: &TreePath::root() };
    let found = reader.entries(&own.system_use, root.offset())?;
    // ER is what the protocol asks for; RR is what its first version had.
    let is_rock_ridge = found.iter().any(|entry| matches!(entry.signature, [b'E' | b'R', b'R'] | [b'P', b'X']));
    Ok(is_rock_ridge.then_some(Use { skip: usize::from(skip) }))
}

impl Use {
    /// `record` stands at byte `offset` of the image.
    pub(crate) fn posix(
        self,
        reader: &mut Reader<'_>,
        record: &Record,
        offset: u64,
        is_root: bool,
    ) -> Result<Posix, ReadError> {
        let skip = if is_root { 0 } else { self.skip };
        let entries = reader.entries(record.system_use.get(skip..).unwrap_or_default(), offset)?;
        Posix::from_entries(&entries).map_err(|problem| reader.damaged(offset, problem))
    }
}

#[derive(Debug)]
struct Entry {
    signature: [u8; 2],
    /// Behind signature, length and version.
    data: Vec<u8>,
}

/// Follows continuation areas on behalf of one path.
#[derive(Debug)]
pub(crate) struct Reader<'r> {
    pub(crate) at: &'r ContentAt,
    pub(crate) image_len: u64,
    pub(crate) budget: &'r mut Budget,
    pub(crate) path: &'r TreePath,
}

impl Reader<'_> {
    fn damaged(&self, offset: u64, problem: &'static str) -> ReadError {
        ReadError::Damaged { path: self.path.clone(), offset, problem }
    }

    /// All entries of a field, those in its continuation areas included.
    fn entries(&mut self, field: &[u8], offset: u64) -> Result<Vec<Entry>, ReadError> {
        let mut found = Vec::new();
        let mut next = collect(field, &mut found).map_err(|problem| self.damaged(offset, problem))?;
        let mut followed = 0;
        while let Some(area) = next {
            followed += 1;
            if followed > CONTINUATIONS_MAX {
                return Err(self.damaged(offset, "its continuation areas do not end"));
            }
            let start = u64::from(area.sector) * SECTOR as u64 + u64::from(area.offset);
            let len = u64::from(area.length);
            if u64::from(area.offset) + len > SECTOR as u64 {
                return Err(self.damaged(offset, "a continuation area crosses its block"));
            }
            if start + len > self.image_len {
                let path = self.path.clone();
                return Err(ReadError::PastEnd { path, end: start + len, len: self.image_len });
            }
            self.budget.metadata(self.path, len)?;
            let bytes = self.at.read(start, len)?;
            next = collect(&bytes, &mut found).map_err(|problem| self.damaged(start, problem))?;
        }
        Ok(found)
    }
}

/// SUSP 5.1.
struct Area {
    sector: u32,
    offset: u32,
    length: u32,
}

/// Adds the entries of one area to `found`; gives the area that a `CE` names.
fn collect(mut rest: &[u8], found: &mut Vec<Entry>) -> Result<Option<Area>, &'static str> {
    let mut next = None;
    while let [first, second, length, _, ..] = *rest {
        let length = usize::from(length);
        // Filling: writers leave zeros where no entry follows.
        if length < 4 {
            break;
        }
        let (entry, tail) = rest.split_at_checked(length).ok_or("a system use entry is longer than its field")?;
        let data = &entry[4..];
        match &[first, second] {
            b"CE" => {
                let field = |at| u32_le(data, at).ok_or("a CE entry is too short");
                next = Some(Area { sector: field(0)?, offset: field(8)?, length: field(16)? });
            }
            b"ST" => break,
            signature => found.push(Entry { signature: *signature, data: data.to_vec() }),
        }
        rest = tail;
    }
    Ok(next)
}

impl Posix {
    fn from_entries(entries: &[Entry]) -> Result<Self, &'static str> {
        let mut out = Self::default();
        let mut target = Target::default();
        for entry in entries {
            let data = &entry.data[..];
            match &entry.signature {
                b"PX" => out.attributes = Some(attributes(data).ok_or("a PX entry is too short")?),
                b"TF" => out.mtime = modified(data).or(out.mtime),
                b"NM" => {
                    let (&flags, part) = data.split_first().ok_or("an NM entry is too short")?;
                    // RRIP 4.1.4: flags 2 and 4 stand for `.` and `..`.
                    if flags & 6 == 0 {
                        out.name.get_or_insert_default().extend_from_slice(part);
                    }
                }
                b"SL" => target.add(data)?,
                b"PN" => out.device = Some(device(data).ok_or("a PN entry is too short")?),
                b"CL" => out.child_link = Some(u32_le(data, 0).ok_or("a CL entry is too short")?),
                b"RE" => out.relocated = true,
                _ => {}
            }
        }
        if out.name.as_ref().is_some_and(|name| name.len() > 255) {
            return Err("a name has more than 255 bytes");
        }
        out.target = target.text;
        Ok(out)
    }
}

/// RRIP 4.1.1.
fn attributes(data: &[u8]) -> Option<Attributes> {
    Some(Attributes {
        mode: u32_le(data, 0)?,
        links: u32_le(data, 8)?,
        uid: u32_le(data, 16)?,
        gid: u32_le(data, 24)?,
        serial: u32_le(data, 32).unwrap_or(0),
    })
}

/// RRIP 4.1.6: of the times that are present, in the order of their flags,
/// the second is the modification.
fn modified(data: &[u8]) -> Option<i64> {
    const CREATION: u8 = 1;
    const MODIFY: u8 = 2;
    const LONG_FORM: u8 = 0x80;
    let (&flags, dates) = data.split_first()?;
    if flags & MODIFY == 0 {
        return None;
    }
    let nth = usize::from(flags & CREATION);
    if flags & LONG_FORM == 0 {
        dates.get(nth * 7..)?.first_chunk().copied().map(date::from_short)
    } else {
        dates.get(nth * 17..)?.first_chunk().and_then(date::from_long)
    }
}

/// RRIP 4.1.2, read as Linux reads it: some writers put a whole 16-bit device
/// number into the low half.
fn device(data: &[u8]) -> Option<(u32, u32)> {
    let (high, low) = (u32_le(data, 0)?, u32_le(data, 8)?);
    Some(if high == 0 && low > 0xFF { (low >> 8, low & 0xFF) } else { (high, low) })
}

/// A symlink's target, put together over its entries (RRIP 4.1.3).
#[derive(Default)]
struct Target {
    text: Option<Vec<u8>>,
    /// A component has ended, and another would need a slash before it.
    ended: bool,
}

impl Target {
    fn add(&mut self, data: &[u8]) -> Result<(), &'static str> {
        const CONTINUE: u8 = 1;
        let (_, mut rest) = data.split_first().ok_or("an SL entry is too short")?;
        let text = self.text.get_or_insert_default();
        while let [flags, length, tail @ ..] = rest {
            let (name, tail) =
                tail.split_at_checked(usize::from(*length)).ok_or("a component is longer than its SL entry")?;
            if std::mem::take(&mut self.ended) {
                text.push(b'/');
            }
            match flags & !CONTINUE {
                0 => text.extend_from_slice(name),
                2 => text.push(b'.'),
                4 => text.extend_from_slice(b".."),
                8 => text.push(b'/'),
                _ => return Err("a symlink has a component of an unknown kind"),
            }
            self.ended = flags & (CONTINUE | 8) == 0;
            if text.len() > SYMLINK_MAX {
                return Err("a symlink's target has more than 4095 bytes");
            }
            rest = tail;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_are_read_in_both_ways() {
        let pn = |high: u32, low: u32| [crate::format::both32(high), crate::format::both32(low)].concat();
        for (high, low, expected) in [(0, 0x103, (1, 3)), (8, 300, (8, 300)), (1, 3, (1, 3)), (0, 0x10301, (259, 1))] {
            assert_eq!(device(&pn(high, low)), Some(expected));
        }
    }

    #[test]
    fn the_modification_is_found_among_the_times() {
        let (a, b) = ([100, 1, 1, 0, 0, 0, 0], [101, 1, 1, 0, 0, 0, 0]);
        let tf = |flags: u8, dates: &[[u8; 7]]| modified(&[&[flags][..], &dates.concat()].concat());
        assert_eq!(tf(0x02, &[a]), Some(946_684_800));
        assert_eq!(tf(0x0E, &[a, b, b]), Some(946_684_800));
        assert_eq!(tf(0x03, &[a, b]), Some(978_307_200));
        assert_eq!(tf(0x0C, &[a, b]), None);
        assert_eq!(tf(0x03, &[a]), None);
        assert_eq!(modified(b"\x822000010100000000\0"), Some(946_684_800));
    }

    #[test]
    fn entries_longer_than_their_field_are_damage() {
        for field in [&b"NM\x09\x01\0abc"[..], b"CE\x08\x01\0\0\0\0"] {
            assert!(collect(field, &mut Vec::new()).is_err(), "{field:?}");
        }
        let mut found = Vec::new();
        assert!(collect(b"NM\x06\x01\0aST\x04\x01NM\x06\x01\0b", &mut found).unwrap().is_none());
        assert_eq!(found.len(), 1, "ST ends the field");
    }
}
