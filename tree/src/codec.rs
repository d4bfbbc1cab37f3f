//! Compression, told by its magic, undone into an unlinked temporary file:
//! what was compressed is re-openable afterwards like anything else.

mod lz4;

use std::io::{self, BufRead, BufReader, Cursor, Read, Write};
use std::sync::Arc;

use crate::Content;
use crate::archive::{ArchiveError, Blame, Limits};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    Gzip,
    Bzip2,
    Xz,
    /// The legacy frame.
    Lz4,
    Zstd,
}

/// One stream, or all that stand behind one another. An initramfs has its
/// next segment behind the first stream; a tar made by `pigz` or `xz -T0
/// --block-list` does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Streams {
    One,
    All,
}

/// How many bytes [`probe`] wants to see.
pub(crate) const MAGIC_LEN: usize = 10;

/// What no dictionary of `xz -9` needs, but what an archive could ask for.
const XZ_MEMORY_LIMIT: u64 = 512 << 20;

/// Tells the compression by the first bytes. The error names one that is
/// known but not read here.
pub(crate) fn probe(head: &[u8]) -> Result<Option<Codec>, &'static str> {
    const READ: [(&[u8], Codec); 4] = [
        (b"\x1f\x8b", Codec::Gzip),
        (b"\xfd7zXZ\0", Codec::Xz),
        (&lz4::MAGIC, Codec::Lz4),
        (b"\x28\xb5\x2f\xfd", Codec::Zstd),
    ];
    const KNOWN: [(&[u8], &str); 3] = [
        (b"\x04\x22\x4d\x18", "lz4 in a frame that is not the legacy one"),
        (b"\x89LZO\0\r\n\x1a\n", "lzop"),
        (b"LZIP", "lzip"),
    ];
    if let Some((_, codec)) = READ.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Ok(Some(*codec));
    }
    // More than the three bytes of their magic: a tar may well begin with a
    // file named `BZh…` or `]`.
    if head.starts_with(b"BZh") && head.get(4..10) == Some(b"\x31\x41\x59\x26\x53\x59") {
        return Ok(Some(Codec::Bzip2));
    }
    if head.starts_with(b"\x5d\0\0") && head.get(3..5) != Some(b"\0\0") {
        return Err("lzma");
    }
    match KNOWN.iter().find(|(magic, _)| head.starts_with(magic)) {
        Some((_, name)) => Err(name),
        None => Ok(None),
    }
}

/// Reads `input`, decompressed if it is compressed, into a temporary file.
pub(crate) fn spool(blame: Blame<'_>, input: impl Read, limits: Limits) -> Result<Content, ArchiveError> {
    let mut input = BufReader::with_capacity(1 << 16, input);
    let mut head = Vec::with_capacity(MAGIC_LEN);
    (&mut input).take(MAGIC_LEN as u64).read_to_end(&mut head).map_err(|e| blame.io(e))?;
    let codec = probe(&head).map_err(|name| unread(blame, 0, name))?;
    let mut input = Cursor::new(head).chain(input);
    match codec {
        Some(codec) => decompress(blame, codec, Streams::All, &mut input, limits.bytes),
        None => to_temporary(blame, &mut input, limits.bytes),
    }
}

/// What `input` holds, which is left right behind the stream for
/// [`Streams::One`].
pub(crate) fn decompress(
    blame: Blame<'_>,
    codec: Codec,
    streams: Streams,
    input: &mut impl BufRead,
    limit: u64,
) -> Result<Content, ArchiveError> {
    let mut decoder = decoder(codec, streams, input).map_err(|e| blame.io(e))?;
    to_temporary(blame, &mut decoder, limit)
}

pub(crate) fn unread(blame: Blame<'_>, offset: u64, codec: &str) -> ArchiveError {
    let problem =
        format!("compressed with {codec}, which is not read here (recompress it with gzip, bzip2, xz, lz4 -l or zstd)");
    blame.structure(offset, problem)
}

fn decoder<'a>(codec: Codec, streams: Streams, input: &'a mut impl BufRead) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match (codec, streams) {
        (Codec::Gzip, Streams::One) => Box::new(flate2::bufread::GzDecoder::new(input)),
        (Codec::Gzip, Streams::All) => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
        (Codec::Bzip2, Streams::One) => Box::new(bzip2::bufread::BzDecoder::new(input)),
        (Codec::Bzip2, Streams::All) => Box::new(bzip2::bufread::MultiBzDecoder::new(input)),
        (Codec::Lz4, _) => Box::new(lz4::LegacyFrame::new(input)),
        (Codec::Xz, _) => {
            let flags = if streams == Streams::All { xz2::stream::CONCATENATED } else { 0 };
            let stream = xz2::stream::Stream::new_stream_decoder(XZ_MEMORY_LIMIT, flags)?;
            Box::new(xz2::bufread::XzDecoder::new_stream(input, stream))
        }
        (Codec::Zstd, Streams::One) => Box::new(zstd::Decoder::with_buffer(input)?.single_frame()),
        (Codec::Zstd, Streams::All) => Box::new(zstd::Decoder::with_buffer(input)?),
    })
}

fn to_temporary(blame: Blame<'_>, input: &mut impl Read, limit: u64) -> Result<Content, ArchiveError> {
    let mut file = tempfile::tempfile().map_err(|e| blame.temporary(e))?;
    let (mut buf, mut len) = (vec![0; 1 << 16], 0);
    loop {
        let got = match input.read(&mut buf) {
            Ok(0) => break,
            Ok(got) => got,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(blame.io(e)),
        };
        len += got as u64;
        if len > limit {
            return Err(blame.limit(format!("it is longer than {limit} bytes, decompressed")));
        }
        file.write_all(&buf[..got]).map_err(|e| blame.temporary(e))?;
    }
    Ok(Content::span(Arc::new(file), blame.0, 0, len))
}
