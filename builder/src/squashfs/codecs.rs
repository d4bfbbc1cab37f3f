//! One block through a codec: the encoders, each with the memory it keeps from
//! one block to the next, and what the image says about them.

mod gzip;
mod lz4;
mod xz;
mod zstd;

use std::io;

use super::options::{BlockSize, Compression};

/// Belongs to one thread. What comes out depends on the block alone, never on
/// the blocks before it.
#[allow(missing_debug_implementations)] // the encoders inside have none
pub(super) enum Encoder {
    Store,
    Gzip(gzip::Gzip),
    Xz(xz::Xz),
    Lz4(lz4::Lz4),
    Zstd(zstd::Zstd),
}

impl Encoder {
    pub(super) fn new(compression: Compression, block_size: BlockSize) -> io::Result<Self> {
        Ok(match compression {
            Compression::None => Self::Store,
            Compression::Gzip { level } => Self::Gzip(gzip::Gzip::new(level)?),
            Compression::Xz(settings) => Self::Xz(xz::Xz::new(settings, block_size)?),
            Compression::Lz4 { high } => Self::Lz4(lz4::Lz4::new(high)),
            Compression::Zstd { level } => Self::Zstd(zstd::Zstd::new(level)?),
        })
    }

    /// How many bytes of `out` the packed block takes; `None` if packing it
    /// gains nothing. `out` is as long as the block.
    pub(super) fn encode(&mut self, block: &[u8], out: &mut [u8]) -> io::Result<Option<usize>> {
        // liblz4 writes to where nothing is when it packs nothing.
        if block.is_empty() {
            return Ok(None);
        }
        let packed = match self {
            Self::Store => None,
            Self::Gzip(encoder) => encoder.encode(block, out),
            Self::Xz(encoder) => encoder.encode(block, out)?,
            Self::Lz4(encoder) => encoder.encode(block, out),
            Self::Zstd(encoder) => encoder.encode(block, out),
        };
        Ok(packed.filter(|len| *len < block.len()))
    }
}

/// The superblock's number for the codec.
pub(super) fn number(compression: Compression) -> u16 {
    match compression {
        // With nothing packed, the one that every kernel with squashfs knows.
        Compression::None | Compression::Gzip { .. } => 1,
        Compression::Xz(_) => 4,
        Compression::Lz4 { .. } => 5,
        Compression::Zstd { .. } => 6,
    }
}

/// The codec's options block: what it was packed with, for whoever packs it again.
pub(super) fn options(compression: Compression, block_size: BlockSize) -> Option<Vec<u8>> {
    let words: Vec<u32> = match compression {
        Compression::None => return None,
        // Level; in the second word the window's bits and no strategies.
        Compression::Gzip { level } => vec![level, gzip::WINDOW_BITS],
        Compression::Xz(settings) => vec![xz::dictionary(settings, block_size), settings.filters.bits()],
        // LZ4_LEGACY, the one version the kernel takes, and LZ4_HC.
        Compression::Lz4 { high } => vec![1, u32::from(high)],
        Compression::Zstd { level } => vec![level],
    };
    Some(words.into_iter().flat_map(u32::to_le_bytes).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_does_not_depend_on_the_one_before_it_and_noise_is_not_packed() {
        let text: Vec<u8> = (0..30_000_u32).flat_map(|n| (n / 9).to_le_bytes()).collect();
        // A linear congruence is noise enough for these codecs.
        let mut state = 1_u64;
        let mut noise = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        let noise: Vec<u8> = (0..100_000).map(|_| noise()).collect();
        for name in ["gzip:6", "gzip:9", "xz", "xz:1,x86", "lz4", "lz4:hc", "zstd:3", "zstd:19"] {
            let compression: Compression = name.parse().unwrap();
            let mut encoder = Encoder::new(compression, BlockSize::default()).unwrap();
            let mut out = vec![0; text.len()];
            let first = encoder.encode(&text, &mut out).unwrap().unwrap();
            let packed = out[..first].to_vec();
            assert!(packed.len() < text.len() / 2, "{name}: {}", packed.len());
            assert_eq!(encoder.encode(&noise, &mut vec![0; noise.len()]).unwrap(), None, "{name}");
            assert_eq!(encoder.encode(b"", &mut []).unwrap(), None, "{name}");
            let again = encoder.encode(&text, &mut out).unwrap().unwrap();
            assert_eq!(out[..again], packed, "{name}");
        }
    }
}
