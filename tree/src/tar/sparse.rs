//! Files with holes: GNU tar's own header (type `S`), and its PAX forms 0.1
//! and 1.0, which bsdtar writes too ("Storing Sparse Files" in its manual).

use std::io::{BufRead, BufReader};

use super::header::{BLOCK, number};
use super::pax::decimal;
use super::{Blocks, Entry};
use crate::archive::ArchiveError;
use crate::content::Stretch;
use crate::{Content, archive::Blame};

const GNU_MAP: usize = 386;
const GNU_MAP_LEN: usize = 4;
const GNU_EXTENDED: usize = 482;
const GNU_REAL_SIZE: std::ops::Range<usize> = 483..495;
const GNU_EXTENSION_MAP_LEN: usize = 21;
const GNU_EXTENSION_EXTENDED: usize = 504;

/// Passes over a file's data and gives its content, which is longer than they
/// are if it has holes.
pub(super) fn content(blocks: &mut Blocks<'_>, entry: &Entry) -> Result<Content, ArchiveError> {
    let blame = blocks.blame;
    let broken = || blame.entry(&entry.name, "has a damaged map of its holes");
    if entry.header.kind() == b'S' {
        let real = number(&entry.header.0[GNU_REAL_SIZE]).and_then(|n| u64::try_from(n).ok()).ok_or_else(broken)?;
        blocks.promise(real)?;
        let map = gnu_map(blocks, &entry.header.0)?.ok_or_else(broken)?;
        return holed(&blocks.data(entry.size)?, 0, &map, real).ok_or_else(broken);
    }
    let field = |key: &[u8]| entry.pax.get(key).and_then(decimal).ok_or_else(broken);
    if let Some(major) = entry.pax.get(b"GNU.sparse.major") {
        let form = (major, entry.pax.get(b"GNU.sparse.minor").unwrap_or(b"0"));
        if form != (b"1", b"0") {
            return Err(unread(blame, entry));
        }
        let real = field(b"GNU.sparse.realsize")?;
        blocks.promise(real)?;
        let data = blocks.data(entry.size)?;
        let (map, skip) = leading_map(&data).map_err(|e| blame.io(e))?.ok_or_else(broken)?;
        return holed(&data, skip, &map, real).ok_or_else(broken);
    }
    if let Some(text) = entry.pax.get(b"GNU.sparse.map") {
        let real = field(b"GNU.sparse.size")?;
        blocks.promise(real)?;
        let numbers: Option<Vec<u64>> = text.split(|b| *b == b',').map(decimal).collect();
        return holed(&blocks.data(entry.size)?, 0, &numbers.ok_or_else(broken)?, real).ok_or_else(broken);
    }
    if entry.pax.get(b"GNU.sparse.size").is_some() {
        return Err(unread(blame, entry));
    }
    blocks.data(entry.size)
}

fn unread(blame: Blame<'_>, entry: &Entry) -> ArchiveError {
    let problem = "has its holes stored in a form that is not read here; make the archive without --sparse";
    blame.entry(&entry.name, problem)
}

/// The pairs of a GNU header and of the blocks that continue it. A pair of
/// nothing ends them.
fn gnu_map(blocks: &mut Blocks<'_>, header: &[u8; BLOCK]) -> Result<Option<Vec<u64>>, ArchiveError> {
    let mut map = Vec::new();
    let mut read = |pairs: &[u8]| {
        for field in pairs.chunks_exact(12).take_while(|field| field[0] != 0) {
            map.push(number(field).and_then(|n| u64::try_from(n).ok())?);
        }
        Some(())
    };
    let mut whole = read(&header[GNU_MAP..GNU_MAP + GNU_MAP_LEN * 24]);
    let mut more = header[GNU_EXTENDED] != 0;
    while more {
        let block = blocks.block()?;
        whole = whole.and(read(&block[..GNU_EXTENSION_MAP_LEN * 24]));
        more = block[GNU_EXTENSION_EXTENDED] != 0;
    }
    Ok(whole.map(|()| map))
}

/// The map of form 1.0: decimal lines before the data, padded to a block.
/// Also how long it is.
fn leading_map(data: &Content) -> std::io::Result<Option<(Vec<u64>, u64)>> {
    let mut input = BufReader::new(data.reader()?);
    let (mut map, mut len, mut left) = (Vec::new(), 0, None);
    while left != Some(0) {
        let mut line = Vec::new();
        std::io::Read::take(&mut input, 24).read_until(b'\n', &mut line)?;
        len += line.len() as u64;
        let Some(n) = line.strip_suffix(b"\n").and_then(decimal) else { return Ok(None) };
        match &mut left {
            None => left = n.checked_mul(2),
            Some(left) => {
                map.push(n);
                *left -= 1;
            }
        }
        if left.is_none() {
            return Ok(None);
        }
    }
    Ok(Some((map, len.next_multiple_of(BLOCK as u64))))
}

/// `map` holds pairs of where and how long; what it covers stands in `data`
/// one after another, `skip` bytes from its start.
fn holed(data: &Content, skip: u64, map: &[u64], real: u64) -> Option<Content> {
    let (mut stretches, mut at, mut offset) = (Vec::new(), 0, skip);
    if !map.len().is_multiple_of(2) || skip > data.len() {
        return None;
    }
    for pair in map.chunks_exact(2) {
        let stretch = Stretch { at: pair[0], offset, len: pair[1] };
        if stretch.at < at {
            return None;
        }
        at = stretch.at.checked_add(stretch.len)?;
        offset = offset.checked_add(stretch.len)?;
        // The last pair marks the end and covers nothing.
        if stretch.len > 0 {
            stretches.push(stretch);
        }
    }
    if at > real || offset > data.len() {
        return None;
    }
    data.with_holes(stretches, real)
}
