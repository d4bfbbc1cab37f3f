//! Pieces of an .xz file that can be decoded beside each other: the index behind
//! its blocks says where each begins (.xz file format 1.1.0, sections 2 to 4).

use std::io::{self, Cursor, Read, Seek, SeekFrom};

use flate2::Crc;

const MAGIC: &[u8] = b"\xfd7zXZ\0";
const FOOTER_MAGIC: &[u8] = b"YZ";
/// Of the stream's header, and of its footer.
const HEADER: usize = 12;
/// Magic and flags; the rest is their CRC32.
const FLAGS: std::ops::Range<usize> = 6..8;

/// An index of 64 KiB tells of 8,000 blocks and more. What has a longer one is
/// decoded from its beginning to its end.
const INDEX_MAX: u64 = 64 << 10;
/// What a piece unpacks to at the least: a decoder that is begun anew for a few
/// bytes costs more than it gains.
const PIECE: u64 = 4 << 20;

/// Some blocks that follow each other, and what makes a file of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    start: u64,
    len: u64,
    header: Vec<u8>,
    index_and_footer: Vec<u8>,
}

/// A block, as the index has it.
#[derive(Debug, Clone, Copy)]
struct Record {
    /// Without the padding to four bytes.
    unpadded: u64,
    unpacked: u64,
}

impl Record {
    fn padded(self) -> Option<u64> {
        self.unpadded.checked_next_multiple_of(4)
    }
}

impl Piece {
    /// The piece as an .xz file of its own, which says by itself if it is not
    /// what the index of the whole said.
    pub fn reader<'a>(&'a self, mut file: impl Read + Seek + 'a) -> io::Result<impl Read + 'a> {
        file.seek(SeekFrom::Start(self.start))?;
        Ok(self.header.chain(file.take(self.len)).chain(Cursor::new(&self.index_and_footer)))
    }
}

/// None of them where there is nothing to be gained, or no single stream with an
/// index that is right: whoever decodes the whole will see what is wrong with it.
pub fn pieces(mut file: impl Read + Seek) -> io::Result<Vec<Piece>> {
    let len = file.seek(SeekFrom::End(0))?;
    if len < 2 * HEADER as u64 {
        return Ok(Vec::new());
    }
    let header = read(&mut file, 0, HEADER)?;
    let footer = read(&mut file, len - HEADER as u64, HEADER)?;
    let Some(index_len) = index_len(&header, &footer).filter(|&index| index <= INDEX_MAX.min(len)) else {
        return Ok(Vec::new());
    };
    let Some(index_start) = (len - HEADER as u64).checked_sub(index_len) else { return Ok(Vec::new()) };
    let index = read(&mut file, index_start, index_len as usize)?;
    let records = records(&index).unwrap_or_default();
    Ok(group(&header, &records, index_start).filter(|pieces| pieces.len() > 1).unwrap_or_default())
}

fn read(file: &mut (impl Read + Seek), at: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// By the footer, of a stream that begins where the file does.
fn index_len(header: &[u8], footer: &[u8]) -> Option<u64> {
    let (crc, said) = footer.split_first_chunk()?;
    let is_whole = header.starts_with(MAGIC) && footer.ends_with(FOOTER_MAGIC);
    if !is_whole || header[FLAGS] != said[4..6] || u32::from_le_bytes(*crc) != crc32(&said[..6]) {
        return None;
    }
    let backward = u32::from_le_bytes(*said.first_chunk()?);
    Some((u64::from(backward) + 1) * 4)
}

fn records(index: &[u8]) -> Option<Vec<Record>> {
    let (list, crc) = index.split_last_chunk()?;
    if u32::from_le_bytes(*crc) != crc32(list) {
        return None;
    }
    let mut list = list.strip_prefix(&[0])?;
    let count = number(&mut list)?;
    let mut records = Vec::new();
    for _ in 0..count {
        records.push(Record { unpadded: number(&mut list)?, unpacked: number(&mut list)? });
    }
    (list.len() < 4 && list.iter().all(|&byte| byte == 0)).then_some(records)
}

/// Seven bits in a byte, the lowest first, in nine at the most.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in 0..9 {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << (shift * 7);
        if byte & 0x80 == 0 {
            return (byte != 0 || shift == 0).then_some(value);
        }
    }
    None
}

/// None where the blocks do not fill what is between header and index.
fn group(header: &[u8], records: &[Record], index_start: u64) -> Option<Vec<Piece>> {
    let (mut pieces, mut start) = (Vec::new(), HEADER as u64);
    let mut rest = records;
    while !rest.is_empty() {
        let (mut len, mut unpacked, mut count) = (0_u64, 0_u64, 0);
        for record in rest {
            len = len.checked_add(record.padded()?)?;
            unpacked = unpacked.checked_add(record.unpacked)?;
            count += 1;
            if unpacked >= PIECE {
                break;
            }
        }
        let (own, others) = rest.split_at(count);
        let index_and_footer = end(own, &header[FLAGS]);
        pieces.push(Piece { start, len, header: header.into(), index_and_footer });
        start = start.checked_add(len)?;
        rest = others;
    }
    (start == index_start).then_some(pieces)
}

fn end(records: &[Record], flags: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0];
    put_number(&mut bytes, records.len() as u64);
    for record in records {
        put_number(&mut bytes, record.unpadded);
        put_number(&mut bytes, record.unpacked);
    }
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    let crc = crc32(&bytes);
    bytes.extend(crc.to_le_bytes());
    let backward = (bytes.len() / 4 - 1) as u32;
    let said = [&backward.to_le_bytes()[..], flags].concat();
    bytes.extend(crc32(&said).to_le_bytes());
    bytes.extend(said);
    bytes.extend(FOOTER_MAGIC);
    bytes
}

fn put_number(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[cfg(test)]
mod tests {
    use xz2::stream::{Action, Check, Stream};

    use super::*;
    use crate::unpack::decoded;

    fn sample(len: usize) -> Vec<u8> {
        (0..len as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> (n / 70_000 % 24)) as u8).collect()
    }

    fn in_blocks(bytes: &[u8], block: u64) -> Vec<u8> {
        let mut stream = Stream::new_easy_encoder(0, Check::Crc64).unwrap();
        let mut file = Vec::with_capacity(bytes.len() * 2);
        for block in bytes.chunks(block as usize) {
            let before = stream.total_in();
            while stream.total_in() - before < block.len() as u64 {
                let rest = &block[(stream.total_in() - before) as usize..];
                stream.process_vec(rest, &mut file, Action::Run).unwrap();
            }
            stream.process_vec(&[], &mut file, Action::FullFlush).unwrap();
        }
        stream.process_vec(&[], &mut file, Action::Finish).unwrap();
        file
    }

    fn unpacked(file: &[u8], piece: &Piece) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        decoded(piece.reader(Cursor::new(file))?)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    #[test]
    fn pieces_unpack_to_the_whole_one_after_the_other() {
        let bytes = sample((9 << 20) + 5);
        for (block, expected) in [(PIECE, 3), (1 << 20, 3), (3 << 20, 2), (5 << 20, 2), (PIECE - 1, 2)] {
            let file = in_blocks(&bytes, block);
            let pieces = pieces(Cursor::new(&file)).unwrap();
            assert_eq!(pieces.len(), expected, "blocks of {block}");
            let whole = pieces.iter().map(|piece| unpacked(&file, piece).unwrap()).collect::<Vec<_>>().concat();
            assert!(whole == bytes, "blocks of {block}");
        }
    }

    #[test]
    fn what_has_no_pieces_is_left_to_who_decodes_the_whole() {
        let bytes = sample(PIECE as usize * 2);
        let one = in_blocks(&bytes, u64::MAX);
        let two = in_blocks(&bytes, PIECE);
        let streams = [&two[..], &two].concat();
        let padded = [&two[..], &[0; 4]].concat();
        let cut = &two[..two.len() - 1];
        for (what, file) in [
            ("one block", &one[..]),
            ("two streams", &streams),
            ("padding behind it", &padded),
            ("its end is missing", cut),
            ("no .xz at all", &bytes),
            ("nothing", b""),
        ] {
            assert_eq!(pieces(Cursor::new(file)).unwrap(), [], "{what}");
        }
        assert_eq!(pieces(Cursor::new(&two)).unwrap().len(), 2);
    }

    #[test]
    fn a_flip_leaves_no_pieces_or_one_that_does_not_unpack() {
        let bytes = sample(PIECE as usize + 1);
        let file = in_blocks(&bytes, PIECE);
        let ends = (0..40).chain(file.len() - 60..file.len());
        for at in ends.chain((0..file.len()).step_by(file.len() / 20)) {
            let mut flipped = file.clone();
            flipped[at] ^= 0x10;
            let pieces = pieces(Cursor::new(&flipped)).unwrap();
            let bad = pieces.iter().any(|piece| unpacked(&flipped, piece).is_err());
            assert!(pieces.is_empty() || bad, "a flip at {at} of {}", file.len());
        }
    }

    #[test]
    fn an_index_that_lies_gives_no_pieces() {
        let flags = [0, 4];
        let header = [MAGIC, &flags, &crc32(&flags).to_le_bytes()].concat();
        let most = u64::MAX >> 1;
        for (unpadded, unpacked, count) in
            [(most, most, 1), (most, most, 9), (most - 3, 0, 2), (4, most, 3), (0, 0, 0), (0, 0, 2000), (1, PIECE, 2)]
        {
            let file = [&header[..], &end(&vec![Record { unpadded, unpacked }; count], &flags)].concat();
            assert_eq!(pieces(Cursor::new(file)).unwrap(), [], "{count} blocks of {unpadded} and {unpacked}");
        }
        // More records than there are bytes, in a list that is as it was written.
        let mut list = vec![0];
        put_number(&mut list, most);
        list.resize(20, 1);
        let index = [&list[..], &crc32(&list).to_le_bytes()].concat();
        assert!(records(&index).is_none());
    }

    #[test]
    fn numbers_are_read_as_they_are_written_and_no_other_way() {
        for value in [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, u64::MAX >> 1] {
            let mut bytes = Vec::new();
            put_number(&mut bytes, value);
            assert_eq!(number(&mut &bytes[..]), Some(value));
            assert_eq!(number(&mut &bytes[..bytes.len() - 1]), None, "{value} cut");
        }
        for bad in [&[0x80, 0][..], &[0xff; 9], &[0x81; 10]] {
            assert_eq!(number(&mut &bad[..]), None, "{bad:?}");
        }
    }
}
