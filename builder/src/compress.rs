//! The codecs of initramfs and packages. What comes out depends on nothing but
//! input and level: each codec's work is cut at places that the number of
//! threads does not move.

mod blocks;
mod config;
mod encoder;

use std::fmt;
use std::num::NonZero;
use std::str::FromStr;
use std::thread;

pub use config::{Unpacks, is_built_in, unpacks};
pub use encoder::Encoder;

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
    Bzip2,
    Xz,
    /// The legacy frame, which is the one that kernels know.
    Lz4,
    Zstd,
}

impl CodecKind {
    const ALL: [(&'static str, Self); 6] = [
        ("none", Self::None),
        ("gzip", Self::Gzip),
        ("bzip2", Self::Bzip2),
        ("xz", Self::Xz),
        ("lz4", Self::Lz4),
        ("zstd", Self::Zstd),
    ];

    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    /// What a kernel's `.config` says if it can unpack an initramfs in this codec.
    pub fn kernel_option(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Gzip => Some("CONFIG_RD_GZIP"),
            Self::Bzip2 => Some("CONFIG_RD_BZIP2"),
            Self::Xz => Some("CONFIG_RD_XZ"),
            Self::Lz4 => Some("CONFIG_RD_LZ4"),
            Self::Zstd => Some("CONFIG_RD_ZSTD"),
        }
    }

    fn levels(self) -> std::ops::RangeInclusive<u32> {
        match self {
            Self::None => 0..=0,
            Self::Gzip | Self::Bzip2 => 1..=9,
            Self::Xz => 0..=9,
            Self::Lz4 => 1..=12,
            Self::Zstd => 1..=22,
        }
    }

    fn default_level(self) -> u32 {
        match self {
            Self::None => 0,
            Self::Gzip | Self::Bzip2 | Self::Lz4 => 9,
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
    #[error("`lzo` is not written here: lz4 is as fast to unpack and smaller, and kernels that know one know both")]
    Lzo,
    #[error("`{0}` is not a codec: none, gzip[:1-9], bzip2[:1-9], xz[:0-9], lz4[:1-12], zstd[:1-22]")]
    Unknown(String),
    #[error("{} has the levels {} to {}", .0.name(), .0.levels().start(), .0.levels().end())]
    Level(CodecKind),
}

impl FromStr for Codec {
    type Err = CodecError;

    /// `zstd`, or `zstd:15`.
    fn from_str(text: &str) -> Result<Self, CodecError> {
        let (name, level) = text.split_once(':').map_or((text, None), |(name, level)| (name, Some(level)));
        if name == "lzo" {
            return Err(CodecError::Lzo);
        }
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

/// One for each processor, up to a number from which on memory is what it costs.
pub fn threads() -> NonZero<usize> {
    const MOST: NonZero<usize> = NonZero::new(16).unwrap();
    thread::available_parallelism().map_or(NonZero::<usize>::MIN, |threads| threads.min(MOST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codecs_are_named_with_an_optional_level() {
        for (text, printed) in [
            ("none", "none"),
            ("zstd", "zstd:19"),
            ("zstd:3", "zstd:3"),
            ("xz:0", "xz:0"),
            ("gzip", "gzip:9"),
            ("bzip2", "bzip2:9"),
            ("lz4:12", "lz4:12"),
        ] {
            assert_eq!(text.parse::<Codec>().unwrap().to_string(), printed);
        }
        for bad in ["zip", "zstd:23", "gzip:0", "none:1", "xz:", "zstd:x", "lz4:13", "lzo", ""] {
            assert!(bad.parse::<Codec>().is_err(), "{bad:?}");
        }
    }
}
