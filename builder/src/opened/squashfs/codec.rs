//! One block, decompressed into no more than the room that a block may fill.

use std::io::Read;

use backhand::compression::{CompressionAction, Compressor, DefaultCompressor};

use super::ReadError;

/// As the superblock numbers them (`ZLIB_COMPRESSION` and so on).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    Gzip,
    Xz,
    Lz4,
    Zstd,
}

/// What the dictionary of a block of 1 MiB needs, many times over.
const XZ_MEMORY_LIMIT: u64 = 32 << 20;

impl Codec {
    pub(super) fn from_id(id: u16) -> Result<Self, ReadError> {
        match id {
            1 => Ok(Self::Gzip),
            2 => Err(ReadError::Codec("lzma")),
            3 => Err(ReadError::Codec("lzo")),
            4 => Ok(Self::Xz),
            5 => Ok(Self::Lz4),
            6 => Ok(Self::Zstd),
            _ => Err(ReadError::Codec("a codec that squashfs does not have")),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// `None` for bytes that do not decompress, or to more than `room`.
    pub(super) fn decompress(self, bytes: &[u8], room: usize) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(room);
        match self {
            // backhand's decoder of xz takes any dictionary that a stream asks for.
            Self::Xz => {
                let stream = xz2::stream::Stream::new_stream_decoder(XZ_MEMORY_LIMIT, 0).ok()?;
                let decoder = xz2::read::XzDecoder::new_stream(bytes, stream);
                decoder.take(room as u64 + 1).read_to_end(&mut out).ok()?;
            }
            Self::Gzip => DefaultCompressor.decompress(bytes, &mut out, Compressor::Gzip).ok()?,
            Self::Lz4 => DefaultCompressor.decompress(bytes, &mut out, Compressor::Lz4).ok()?,
            Self::Zstd => DefaultCompressor.decompress(bytes, &mut out, Compressor::Zstd).ok()?,
        }
        (out.len() <= room).then_some(out)
    }
}
