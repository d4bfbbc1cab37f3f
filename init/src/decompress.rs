//! The compressions of packages and kernel modules, told by their magic.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, BufRead, Read};

use flate2::bufread::MultiGzDecoder;
use xz2::bufread::XzDecoder;
use xz2::stream::{CONCATENATED, Stream};

/// How many bytes [`Codec::of`] looks at.
pub(crate) const MAGIC_LEN: usize = 6;

/// What decoding one .xz file may take: four times the dictionary of `xz -9`.
/// The file says how much it wants, and a hostile one says 4 GiB.
const XZ_MEMORY: u64 = 256 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    Plain,
    Gzip,
    Xz,
    Zstd,
}

impl Codec {
    pub(crate) fn of(magic: &[u8]) -> Self {
        match magic {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ => Self::Plain,
        }
    }

    /// Members, streams and frames that follow each other are read as one. An
    /// input that is cut anywhere is an error and never an early end.
    pub(crate) fn reader<'a>(self, input: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
        self.reader_of(Box::new(input))
    }

    /// Once in the program, whatever is read from.
    fn reader_of<'a>(self, input: Box<dyn BufRead + 'a>) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::Plain => Box::new(input),
            Self::Gzip => Box::new(MultiGzDecoder::new(input)),
            Self::Xz => Box::new(XzDecoder::new_stream(input, Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED)?)),
            Self::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(input)?),
        })
    }
}

#[derive(Debug)]
pub enum DecompressError {
    /// Neither an ELF file nor any compression of one that the kernel has.
    NotKmod,
    Larger(usize),
    Broken(io::Error),
}

impl fmt::Display for DecompressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotKmod => f.write_str("it is no kernel module: neither ELF nor gzip, xz or zstd of it"),
            Self::Larger(limit) => write!(f, "it unpacks to more than {limit} bytes"),
            Self::Broken(error) => write!(f, "it does not unpack: {error}"),
        }
    }
}

impl std::error::Error for DecompressError {}

/// The ELF file in a `.ko`, `.ko.gz`, `.ko.xz` or `.ko.zst`; the name does not
/// count. `limit` caps what a compressed one may unpack to.
pub fn kmod(bytes: &[u8], limit: usize) -> Result<Cow<'_, [u8]>, DecompressError> {
    const ELF: &[u8] = b"\x7fELF";
    if bytes.starts_with(ELF) {
        return Ok(Cow::Borrowed(bytes));
    }
    let codec = Codec::of(bytes);
    if codec == Codec::Plain {
        return Err(DecompressError::NotKmod);
    }
    if let Some(elf) = zstd_at_once(bytes, limit) {
        return if elf.starts_with(ELF) { Ok(Cow::Owned(elf)) } else { Err(DecompressError::NotKmod) };
    }
    let mut elf = Vec::new();
    let reader = codec.reader(bytes).map_err(DecompressError::Broken)?;
    reader.take(limit as u64 + 1).read_to_end(&mut elf).map_err(DecompressError::Broken)?;
    if elf.len() > limit {
        return Err(DecompressError::Larger(limit));
    }
    if !elf.starts_with(ELF) {
        return Err(DecompressError::NotKmod);
    }
    Ok(Cow::Owned(elf))
}

/// One frame that says how long its content is needs no window beside it. All
/// else, and all that fails, is left to the reader, which knows why.
fn zstd_at_once(bytes: &[u8], limit: usize) -> Option<Vec<u8>> {
    let len = zstd::zstd_safe::get_frame_content_size(bytes).ok()??;
    let len = usize::try_from(len).ok().filter(|len| *len <= limit)?;
    // Below what a frame can hold at all (RFC 8878: blocks of 128 KiB from 4 bytes).
    if len / (32 << 10) > bytes.len() {
        return None;
    }
    zstd::bulk::decompress(bytes, len).ok()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn sample() -> Vec<u8> {
        let mut elf = b"\x7fELF".to_vec();
        elf.extend((0..5_000u32).flat_map(|n| (n * n % 251).to_le_bytes()));
        elf
    }

    fn compressed(codec: Codec, bytes: &[u8]) -> Vec<u8> {
        match codec {
            Codec::Plain => bytes.to_vec(),
            Codec::Gzip => {
                let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                out.write_all(bytes).unwrap();
                out.finish().unwrap()
            }
            Codec::Xz => {
                let mut out = xz2::write::XzEncoder::new(Vec::new(), 1);
                out.write_all(bytes).unwrap();
                out.finish().unwrap()
            }
            Codec::Zstd => zstd::encode_all(bytes, 1).unwrap(),
        }
    }

    const ALL: [Codec; 3] = [Codec::Gzip, Codec::Xz, Codec::Zstd];

    #[test]
    fn a_kmod_comes_out_of_every_compression() {
        let elf = sample();
        for codec in ALL {
            let packed = compressed(codec, &elf);
            assert_eq!(Codec::of(&packed), codec);
            assert_eq!(kmod(&packed, elf.len()).unwrap(), elf, "{codec:?}");
        }
        assert!(matches!(kmod(&elf, 0), Ok(Cow::Borrowed(_))));
    }

    #[test]
    fn a_bomb_and_a_foreign_file_are_refused() {
        for codec in ALL {
            let packed = compressed(codec, &sample());
            assert!(matches!(kmod(&packed, 1_000), Err(DecompressError::Larger(1_000))), "{codec:?}");
            let packed = compressed(codec, b"#!/bin/sh\n");
            assert!(matches!(kmod(&packed, 1_000), Err(DecompressError::NotKmod)), "{codec:?}");
        }
        assert!(matches!(kmod(b"#!/bin/sh\n", 1_000), Err(DecompressError::NotKmod)));
        assert!(matches!(kmod(b"", 1_000), Err(DecompressError::NotKmod)));
    }

    #[test]
    fn a_frame_that_tells_its_length_is_held_to_it() {
        let elf = sample();
        let packed = zstd::bulk::compress(&elf, 3).unwrap();
        assert_eq!(kmod(&packed, elf.len()).unwrap(), elf);
        assert!(matches!(kmod(&packed, elf.len() - 1), Err(DecompressError::Larger(_))));
        assert_eq!(kmod(&packed.repeat(2), elf.len() * 2).unwrap(), elf.repeat(2));
        for cut in 1..packed.len() {
            assert!(kmod(&packed[..cut], elf.len()).is_err(), "cut at {cut}");
        }
        // RFC 8878: a frame of one segment that claims 1 TiB, and has an empty last block.
        let liar = [&[0x28, 0xb5, 0x2f, 0xfd, 0xe0][..], &(1u64 << 40).to_le_bytes(), &[1, 0, 0]].concat();
        assert!(kmod(&liar, 1 << 50).is_err());
    }

    #[test]
    fn every_cut_is_noticed() {
        let elf = sample();
        for codec in ALL {
            let packed = compressed(codec, &elf);
            for cut in (0..packed.len()).step_by(97).chain(packed.len() - 13..packed.len()) {
                assert!(kmod(&packed[..cut], elf.len()).is_err(), "{codec:?} cut at {cut} of {}", packed.len());
            }
        }
    }
}
