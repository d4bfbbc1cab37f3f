//! Directory records (ECMA-119 9.1).

use crate::date;
use crate::format::{RECORD_HEADER, SECTOR, flag};

use super::fields::u32_le;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// After the extended attribute record, which nothing here reads.
    pub(crate) lba: u64,
    pub(crate) len: u32,
    pub(crate) mtime: i64,
    pub(crate) flags: u8,
    pub(crate) interleaved: bool,
    pub(crate) identifier: Vec<u8>,
    pub(crate) system_use: Vec<u8>,
}

impl Record {
    /// One record, whose own length says where it ends; `None` if that or the
    /// identifier's length cannot be.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..usize::from(*bytes.first()?))?;
        let identifier_len = usize::from(*bytes.get(32)?);
        let identifier = bytes.get(RECORD_HEADER..RECORD_HEADER + identifier_len)?;
        if identifier.is_empty() {
            return None;
        }
        let system_use = (RECORD_HEADER + identifier_len).next_multiple_of(2);
        Some(Self {
            lba: u64::from(u32_le(bytes, 2)?) + u64::from(bytes[1]),
            len: u32_le(bytes, 10)?,
            mtime: date::from_short(*bytes[18..25].first_chunk()?),
            flags: bytes[25],
            interleaved: bytes[26] != 0,
            identifier: identifier.to_vec(),
            system_use: bytes.get(system_use..).unwrap_or_default().to_vec(),
        })
    }

    pub(crate) fn is_dir(&self) -> bool {
        self.flags & flag::DIRECTORY != 0
    }

    pub(crate) fn continues(&self) -> bool {
        self.flags & flag::MORE_EXTENTS != 0
    }

    pub(crate) fn offset(&self) -> u64 {
        self.lba * SECTOR as u64
    }
}

/// The records of one sector of a directory with their offsets in it. `Err`
/// carries the offset of one that is damaged.
pub(crate) fn records(sector: &[u8]) -> impl Iterator<Item = Result<(usize, Record), usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = sector.get(at..)?;
        // A zero instead of a length: the next record begins the next sector.
        if *rest.first()? == 0 {
            return None;
        }
        let here = at;
        let record = Record::parse(rest);
        at = if record.is_some() { here + usize::from(rest[0]) } else { sector.len() };
        Some(record.map(|record| (here, record)).ok_or(here))
    })
}
