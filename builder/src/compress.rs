//! The codecs of initramfs and packages: single-threaded encoders, whose
//! output depends on nothing but input and level.

use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;

use xz2::stream::{Check, Stream};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Codec {
    pub kind: CodecKind,
    /// The codec's own scale; 0 where there is none.
    pub level: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodecKind {
    None,
    Gzip,
    Xz,
    Zstd,
}

impl CodecKind {
    const ALL: [(&'static str, Self); 4] =
        [("none", Self::None), ("gzip", Self::Gzip), ("xz", Self::Xz), ("zstd", Self::Zstd)];

    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    /// The ending of a tar file in this codec, dot included.
    pub fn tar_ending(self) -> &'static str {
        match self {
            Self::None => ".tar",
            Self::Gzip => ".tar.gz",
            Self::Xz => ".tar.xz",
            Self::Zstd => ".tar.zst",
        }
    }

    /// What a kernel's `.config` says if it can unpack an initramfs in this codec.
    pub fn kernel_option(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Gzip => Some("CONFIG_RD_GZIP"),
            Self::Xz => Some("CONFIG_RD_XZ"),
            Self::Zstd => Some("CONFIG_RD_ZSTD"),
        }
    }

    fn levels(self) -> std::ops::RangeInclusive<u32> {
        match self {
            Self::None => 0..=0,
            Self::Gzip => 1..=9,
            Self::Xz => 0..=9,
            Self::Zstd => 1..=22,
        }
    }

    fn default_level(self) -> u32 {
        match self {
            Self::None => 0,
            Self::Gzip => 9,
            Self::Xz => 6,
            Self::Zstd => 19,
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            CodecKind::None => f.write_str("none"),
            kind => write!(f, "{}:{}", kind.name(), self.level),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    #[error("`{0}` is not a codec: none, gzip[:1-9], xz[:0-9], zstd[:1-22]")]
    Unknown(String),
    #[error("{} has the levels {} to {}", .0.name(), .0.levels().start(), .0.levels().end())]
    Level(CodecKind),
}

impl FromStr for Codec {
    type Err = CodecError;

    /// `zstd`, or `zstd:15`.
    fn from_str(text: &str) -> Result<Self, CodecError> {
        let (name, level) = text.split_once(':').map_or((text, None), |(name, level)| (name, Some(level)));
        let known = CodecKind::ALL.iter().find(|(known, _)| *known == name);
        let kind = known.ok_or_else(|| CodecError::Unknown(text.into()))?.1;
        let level = match level {
            None => kind.default_level(),
            Some(level) => level.parse().ok().filter(|n| kind.levels().contains(n)).ok_or(CodecError::Level(kind))?,
        };
        Ok(Self { kind, level })
    }
}

/// Who will decode an xz stream: the kernel's decoder knows no check but CRC32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoder {
    Kernel,
    Userland,
}

/// Finished by [`Encoder::finish`] alone: dropping it leaves a cut stream.
#[allow(missing_debug_implementations)] // the encoders inside have none
pub enum Encoder<W: Write> {
    None(W),
    Gzip(flate2::write::GzEncoder<W>),
    Xz(xz2::write::XzEncoder<W>),
    Zstd(zstd::Encoder<'static, W>),
}

impl Codec {
    pub fn encoder<W: Write>(self, decoder: Decoder, out: W) -> io::Result<Encoder<W>> {
        Ok(match self.kind {
            CodecKind::None => Encoder::None(out),
            CodecKind::Gzip => Encoder::Gzip(flate2::write::GzEncoder::new(out, flate2::Compression::new(self.level))),
            CodecKind::Xz => {
                let check = match decoder {
                    Decoder::Kernel => Check::Crc32,
                    Decoder::Userland => Check::Crc64,
                };
                Encoder::Xz(xz2::write::XzEncoder::new_stream(out, Stream::new_easy_encoder(self.level, check)?))
            }
            CodecKind::Zstd => {
                let mut encoder = zstd::Encoder::new(out, self.level as i32)?;
                encoder.include_checksum(true)?;
                Encoder::Zstd(encoder)
            }
        })
    }
}

impl<W: Write> Encoder<W> {
    pub fn finish(self) -> io::Result<W> {
        match self {
            Self::None(out) => Ok(out),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Xz(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::None(out) => out.write(buf),
            Self::Gzip(encoder) => encoder.write(buf),
            Self::Xz(encoder) => encoder.write(buf),
            Self::Zstd(encoder) => encoder.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::None(out) => out.flush(),
            Self::Gzip(encoder) => encoder.flush(),
            Self::Xz(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn codecs_are_named_with_an_optional_level() {
        for (text, printed) in
            [("none", "none"), ("zstd", "zstd:19"), ("zstd:3", "zstd:3"), ("xz:0", "xz:0"), ("gzip", "gzip:9")]
        {
            assert_eq!(text.parse::<Codec>().unwrap().to_string(), printed);
        }
        for bad in ["zip", "zstd:23", "gzip:0", "none:1", "xz:", "zstd:x", ""] {
            assert!(bad.parse::<Codec>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_goes_in_comes_out() {
        let input: Vec<u8> = (0..100_000_u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        for (text, check) in [("none", None), ("gzip:6", None), ("xz:2", Some(1)), ("zstd:3", None)] {
            let codec: Codec = text.parse().unwrap();
            let mut encoder = codec.encoder(Decoder::Kernel, Vec::new()).unwrap();
            encoder.write_all(&input).unwrap();
            let packed = encoder.finish().unwrap();
            let mut output = Vec::new();
            match codec.kind {
                CodecKind::None => output.clone_from(&packed),
                CodecKind::Gzip => drop(flate2::read::GzDecoder::new(&*packed).read_to_end(&mut output).unwrap()),
                CodecKind::Xz => drop(xz2::read::XzDecoder::new(&*packed).read_to_end(&mut output).unwrap()),
                CodecKind::Zstd => output = zstd::decode_all(&*packed).unwrap(),
            }
            assert_eq!(output, input, "{text}");
            if let Some(check) = check {
                // .xz file format 2.1.1.2: the check's id in the stream flags; 1 is CRC32.
                assert_eq!(packed[7], check, "the kernel reads no other check");
            }
        }
    }
}
