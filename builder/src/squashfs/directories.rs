//! Directory listings: runs of entries below headers, and for long ones the
//! index that saves Linux reading all of it.

use std::io;

use super::SquashfsError;
use super::format::{DIR_COUNT, METADATA_LEN, Position, Type};
use super::metadata::MetadataWriter;

const HEADER_LEN: usize = 12;
const ENTRY_LEN: usize = 8;

/// An entry as its listing needs it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) name: &'a [u8],
    pub(super) kind: Type,
    /// Where its inode is.
    pub(super) inode: Position,
    pub(super) number: u32,
}

/// A listing that was written.
#[derive(Debug)]
pub(super) struct Listing<'a> {
    pub(super) position: Position,
    pub(super) len: u32,
    pub(super) index: Vec<IndexEntry<'a>>,
}

/// A header that is the first in its metadata block.
#[derive(Debug)]
pub(super) struct IndexEntry<'a> {
    /// How far into the listing.
    pub(super) at: u32,
    pub(super) block: u32,
    /// The first name below the header.
    pub(super) name: &'a [u8],
}

/// Writes a directory's entries, which are in the order of their names.
pub(super) fn write<'a>(out: &mut MetadataWriter, entries: &[Entry<'a>]) -> Result<Listing<'a>, SquashfsError> {
    let write = |record: io::Result<()>| record.map_err(SquashfsError::Codec);
    let position = out.position().map_err(SquashfsError::Codec)?;
    let mut listing = Listing { position, len: 0, index: Vec::new() };
    // Linux reads two metadata blocks faster than it looks into an index.
    let len: usize = entries.iter().map(|entry| ENTRY_LEN + entry.name.len()).sum();
    let indexed = len > METADATA_LEN;
    let mut block = position.block;
    let mut rest = entries;
    while let Some(first) = rest.first() {
        let at = out.position().map_err(SquashfsError::Codec)?;
        if indexed && at.block != block {
            listing.index.push(IndexEntry { at: listing.len, block: at.block, name: first.name });
            block = at.block;
        }
        let room = if indexed { METADATA_LEN - usize::from(at.offset) } else { usize::MAX };
        let (run, after) = rest.split_at(run(rest, room));
        write(out.write(&header(first, run.len())))?;
        let mut len = HEADER_LEN;
        for entry in run {
            let bytes = bytes(entry, first);
            write(out.write(&bytes))?;
            len += bytes.len();
        }
        listing.len = u32::try_from(len).ok().and_then(|len| listing.len.checked_add(len)).ok_or(TOO_LONG)?;
        rest = after;
    }
    // The size field counts `.` and `..` too.
    if listing.len > u32::MAX - super::format::DOTS_LEN || listing.index.len() > usize::from(u16::MAX) {
        return Err(TOO_LONG);
    }
    Ok(listing)
}

const TOO_LONG: SquashfsError = SquashfsError::TooMany { what: "entries in one directory", limit: 1 << 24 };

/// How many entries fit below one header: they share the block of their
/// inodes, their numbers are near the first one's, and each starts within
/// `room`, so that the next metadata block has a header for the index.
fn run(entries: &[Entry<'_>], room: usize) -> usize {
    let first = &entries[0];
    let mut len = HEADER_LEN;
    let fits = |entry: &Entry<'_>| {
        let starts = len < room || std::ptr::eq(entry, first);
        len += ENTRY_LEN + entry.name.len();
        let near = i64::from(entry.number) - i64::from(first.number);
        starts && entry.inode.block == first.inode.block && i16::try_from(near).is_ok()
    };
    entries.iter().take(DIR_COUNT).map(fits).take_while(|fits| *fits).count()
}

fn header(first: &Entry<'_>, count: usize) -> Vec<u8> {
    [count as u32 - 1, first.inode.block, first.number].into_iter().flat_map(u32::to_le_bytes).collect()
}

fn bytes(entry: &Entry<'_>, first: &Entry<'_>) -> Vec<u8> {
    let near = entry.number.wrapping_sub(first.number) as u16;
    let halves = [entry.inode.offset, near, entry.kind.basic(), entry.name.len() as u16 - 1];
    let mut out: Vec<u8> = halves.into_iter().flat_map(u16::to_le_bytes).collect();
    out.extend(entry.name);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::squashfs::codecs::Encoder;

    fn entry(name: &[u8], block: u32, number: u32) -> Entry<'_> {
        Entry { name, kind: Type::File, inode: Position { block, offset: 0 }, number }
    }

    #[test]
    fn a_header_ends_where_inodes_or_numbers_are_far_away() {
        let name = b"n".as_slice();
        let near = entry(name, 0, 10);
        for (second, runs) in [
            (entry(name, 0, 11), 2),
            (entry(name, 8194, 11), 1),
            (entry(name, 0, 10 + 32_767), 2),
            (entry(name, 0, 10 + 32_768), 1),
            (entry(name, 0, 2), 2),
        ] {
            assert_eq!(run(&[near, second], usize::MAX), runs, "{second:?}");
        }
        assert_eq!(run(&vec![near; 300], usize::MAX), 256);
        assert_eq!(run(&[near; 3], 1), 1, "a header is never alone");
    }

    #[test]
    fn long_listings_are_indexed_once_a_metadata_block() {
        let names: Vec<String> = (0..2000).map(|n| format!("{n:06}")).collect();
        let entries: Vec<_> = names.iter().zip(0..).map(|(name, n)| entry(name.as_bytes(), 0, n)).collect();
        let mut out = MetadataWriter::new(Encoder::Store);
        let short = write(&mut out, &entries[..20]).unwrap();
        assert_eq!((short.len, short.index.len()), (12 + 20 * 14, 0));
        let long = write(&mut out, &entries).unwrap();
        let table = out.finish().unwrap();
        assert_eq!(long.index.len(), 3);
        for index in &long.index {
            // As the kernel finds it: the offset follows from where the listing starts.
            let offset = (u32::from(long.position.offset) + index.at) as usize % METADATA_LEN;
            let at = index.block as usize + 2 + offset + HEADER_LEN + ENTRY_LEN;
            assert_eq!(&table[at..at + 6], index.name);
        }
    }
}
