//! What an image is, told by its first bytes.

use std::io::{self, Read};

use tree::{Content, ContentAt};

use super::squashfs;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Iso,
    Squashfs,
    Fat,
    Cpio,
    Tar,
}

/// More than the window of a stream of ours; a stream that wants more fails
/// here, and is told what is wrong with it by nobody.
const MEMORY_LIMIT: u64 = 64 << 20;

pub(super) fn kind(content: &Content) -> io::Result<Option<Kind>> {
    let at = content.open_at()?;
    let has = |offset: u64, wanted: &[u8]| stands(&at, content.len(), offset, wanted);
    // ECMA-119 8.1.2: the standard identifier of the first descriptor, sector 16.
    if has(16 * iso::SECTOR as u64 + 1, b"CD001")? {
        return Ok(Some(Kind::Iso));
    }
    if has(0, squashfs::MAGIC)? {
        return Ok(Some(Kind::Squashfs));
    }
    // A boot sector's mark, and the type that FAT12, 16 and 32 are called by.
    if has(510, &[0x55, 0xaa])? && (has(54, b"FAT")? || has(82, b"FAT32")?) {
        return Ok(Some(Kind::Fat));
    }
    let head = at.read(0, content.len().min(HEAD))?;
    if let Some(kind) = archive(&head) {
        return Ok(Some(kind));
    }
    let mut inner = Vec::new();
    let Some(decoder) = decoder(content, &head)? else { return Ok(None) };
    match decoder.take(HEAD).read_to_end(&mut inner) {
        Ok(_) => Ok(archive(&inner)),
        // Compressed, and damaged: whatever it was, the reader of archives says so best.
        Err(_) => Ok(Some(Kind::Cpio)),
    }
}

fn stands(at: &ContentAt, len: u64, offset: u64, wanted: &[u8]) -> io::Result<bool> {
    Ok(offset + wanted.len() as u64 <= len && at.read(offset, wanted.len() as u64)? == wanted)
}

/// A tar header's length.
const HEAD: u64 = 512;

fn archive(head: &[u8]) -> Option<Kind> {
    if head.starts_with(b"0707") {
        return Some(Kind::Cpio);
    }
    head.get(257..262).is_some_and(|magic| magic == b"ustar").then_some(Kind::Tar)
}

fn decoder(content: &Content, head: &[u8]) -> io::Result<Option<Box<dyn Read>>> {
    const LZ4: [&[u8]; 2] = [b"\x02\x21\x4c\x18", b"\x04\x22\x4d\x18"];
    Ok(if head.starts_with(b"\x1f\x8b") {
        Some(Box::new(flate2::read::GzDecoder::new(content.reader()?)))
    } else if head.starts_with(b"\xfd7zXZ\0") {
        let stream = xz2::stream::Stream::new_stream_decoder(MEMORY_LIMIT, 0)?;
        Some(Box::new(xz2::read::XzDecoder::new_stream(content.reader()?, stream)))
    } else if head.starts_with(b"\x28\xb5\x2f\xfd") {
        Some(Box::new(zstd::Decoder::new(content.reader()?)?))
    } else if head.starts_with(b"BZh") {
        Some(Box::new(bzip2::read::BzDecoder::new(content.reader()?)))
    } else if LZ4.iter().any(|magic| head.starts_with(magic)) {
        // Whatever is in it, the reader of archives reads it or names what it is.
        Some(Box::new(io::Cursor::new(b"070701")))
    } else {
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compress::{Codec, Decoder, threads};
    use std::io::Write;

    #[test]
    fn archives_are_told_apart_through_their_compression() {
        let mut tar = vec![0; 1024];
        tar[257..262].copy_from_slice(b"ustar");
        for (plain, wanted) in
            [(b"070701 and so on".to_vec(), Some(Kind::Cpio)), (tar, Some(Kind::Tar)), (vec![7; 600], None)]
        {
            for codec in ["none", "gzip", "bzip2", "xz", "zstd"] {
                let mut encoder =
                    codec.parse::<Codec>().unwrap().encoder(Decoder::Userland, threads(), 0, Vec::new()).unwrap();
                encoder.write_all(&plain).unwrap();
                let packed = encoder.finish().unwrap();
                assert_eq!(kind(&packed.into()).unwrap(), wanted, "{codec}");
            }
        }
        assert_eq!(kind(&Vec::new().into()).unwrap(), None);
    }
}
