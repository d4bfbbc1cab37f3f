//! How an image is packed: what `zstd:15` and `128K` mean.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use tree::TreePath;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    pub compression: Compression,
    pub block_size: BlockSize,
    /// How many threads compress; the bytes do not depend on it.
    pub jobs: usize,
    /// The image's own date, in seconds since 1970.
    pub epoch: i64,
    /// Put the last part of long files into fragments too: smaller, and one
    /// more seek for whoever reads such a file.
    pub tail_packing: bool,
    /// Compress inodes, directories and the other tables.
    pub pack_tables: bool,
    /// Files that are stored before all others, in this order: those that a
    /// boot reads. Paths that are not there are passed over.
    pub first: Vec<TreePath>,
    /// Where blocks are that were packed before; the bytes do not depend on it.
    pub cache: Option<CacheAt>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheAt {
    pub dir: PathBuf,
    /// How large it may be once the image is written, in bytes.
    pub max: u64,
}

impl Options {
    pub fn new(compression: Compression) -> Self {
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        let block_size = BlockSize::default();
        let (first, cache) = (Vec::new(), None);
        Self { compression, block_size, jobs, epoch: 0, tail_packing: false, pack_tables: true, first, cache }
    }
}

/// A power of two from 4 KiB to 1 MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockSize(u32);

impl BlockSize {
    pub fn new(bytes: u32) -> Option<Self> {
        (bytes.is_power_of_two() && (4 << 10..=1 << 20).contains(&bytes)).then_some(Self(bytes))
    }

    pub fn bytes(self) -> usize {
        self.0 as usize
    }
}

impl Default for BlockSize {
    /// What every tool of the field takes.
    fn default() -> Self {
        Self(128 << 10)
    }
}

impl fmt::Display for BlockSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}K", self.0 >> 10)
    }
}

impl FromStr for BlockSize {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, OptionError> {
        size(text).and_then(Self::new).ok_or_else(|| OptionError::BlockSize(text.into()))
    }
}

/// `65536`, `64K` or `1M`.
fn size(text: &str) -> Option<u32> {
    let (digits, shift) = match text.as_bytes().last()? {
        b'k' | b'K' => (&text[..text.len() - 1], 10),
        b'm' | b'M' => (&text[..text.len() - 1], 20),
        _ => (text, 0),
    };
    digits.parse::<u32>().ok()?.checked_mul(1 << shift)
}

/// The codec of the blocks, with its settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Everything as it is.
    None,
    Gzip {
        level: u32,
    },
    Xz(Xz),
    Lz4 {
        /// The slow encoder; any reader of lz4 reads it.
        high: bool,
    },
    Zstd {
        level: u32,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Xz {
    pub preset: u32,
    /// `None` is the block size, which is as much as can help.
    pub dictionary: Option<u32>,
    /// Filters for machine code that each block is tried with.
    pub filters: Filters,
}

/// A set of [`Filter`]s, as the codec's options block holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Filters(u32);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Filter {
    X86 = 1,
    PowerPc = 1 << 1,
    Arm = 1 << 3,
    ArmThumb = 1 << 4,
    Sparc = 1 << 5,
    Arm64 = 1 << 6,
    RiscV = 1 << 7,
}

impl Filter {
    const ALL: [(&'static str, Self); 7] = [
        ("x86", Self::X86),
        ("powerpc", Self::PowerPc),
        ("arm", Self::Arm),
        ("armthumb", Self::ArmThumb),
        ("sparc", Self::Sparc),
        ("arm64", Self::Arm64),
        ("riscv", Self::RiscV),
    ];
}

impl Filter {
    fn kernel_option(self) -> &'static str {
        match self {
            Self::X86 => "CONFIG_XZ_DEC_X86",
            Self::PowerPc => "CONFIG_XZ_DEC_POWERPC",
            Self::Arm => "CONFIG_XZ_DEC_ARM",
            Self::ArmThumb => "CONFIG_XZ_DEC_ARMTHUMB",
            Self::Sparc => "CONFIG_XZ_DEC_SPARC",
            Self::Arm64 => "CONFIG_XZ_DEC_ARM64",
            Self::RiscV => "CONFIG_XZ_DEC_RISCV",
        }
    }
}

impl Filters {
    pub fn bits(self) -> u32 {
        self.0
    }

    pub fn iter(self) -> impl Iterator<Item = Filter> {
        Filter::ALL.iter().map(|(_, filter)| *filter).filter(move |filter| self.0 & *filter as u32 != 0)
    }

    #[must_use]
    pub fn with(self, filter: Filter) -> Self {
        Self(self.0 | filter as u32)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    #[error("`{0}` is not a block size: a power of two from 4K to 1M")]
    BlockSize(String),
    #[error("`{0}` is not a squashfs codec: none, gzip[:1-9], xz[:0-9][,x86…][,dict=SIZE], lz4[:hc] or zstd[:1-22]")]
    Codec(String),
    #[error("{name} has the levels {} to {}", .levels.start(), .levels.end())]
    Level { name: &'static str, levels: std::ops::RangeInclusive<u32> },
    #[error("`{0}` is no filter of xz: x86, powerpc, arm, armthumb, sparc, arm64, riscv")]
    Filter(String),
    #[error("`{0}` is not a dictionary of xz: 8K to 1M, a power of two or one and a half of it")]
    Dictionary(String),
}

impl Compression {
    /// What a kernel's `.config` has to have for it to read the image.
    pub fn kernel_options(self) -> Vec<&'static str> {
        let (codec, filters) = match self {
            // The superblock names a codec where nothing is packed, too.
            Self::None | Self::Gzip { .. } => ("CONFIG_SQUASHFS_ZLIB", Filters::default()),
            Self::Xz(xz) => ("CONFIG_SQUASHFS_XZ", xz.filters),
            Self::Lz4 { .. } => ("CONFIG_SQUASHFS_LZ4", Filters::default()),
            Self::Zstd { .. } => ("CONFIG_SQUASHFS_ZSTD", Filters::default()),
        };
        [codec].into_iter().chain(filters.iter().map(Filter::kernel_option)).collect()
    }
}

impl FromStr for Compression {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, OptionError> {
        let (name, rest) = text.split_once([':', ',']).unwrap_or((text, ""));
        match name {
            "none" if text == "none" => Ok(Self::None),
            "gzip" => Ok(Self::Gzip { level: level("gzip", rest, 9, 1..=9)? }),
            "zstd" => Ok(Self::Zstd { level: level("zstd", rest, 15, 1..=22)? }),
            "lz4" if rest.is_empty() => Ok(Self::Lz4 { high: false }),
            "lz4" if rest == "hc" => Ok(Self::Lz4 { high: true }),
            "xz" => xz(rest).map(Self::Xz),
            _ => Err(OptionError::Codec(text.into())),
        }
    }
}

fn level(
    name: &'static str,
    text: &str,
    default: u32,
    levels: std::ops::RangeInclusive<u32>,
) -> Result<u32, OptionError> {
    if text.is_empty() {
        return Ok(default);
    }
    text.parse().ok().filter(|level| levels.contains(level)).ok_or(OptionError::Level { name, levels })
}

fn xz(text: &str) -> Result<Xz, OptionError> {
    let mut xz = Xz { preset: 6, dictionary: None, filters: Filters::default() };
    for word in text.split(',').filter(|word| !word.is_empty()) {
        if let Some(text) = word.strip_prefix("dict=") {
            // xz_wrapper.c of the kernel takes 2^n and 2^n + 2^(n-1), from 8 KiB.
            let legal = |size: &u32| size.is_power_of_two() || (size.count_ones() == 2 && (size & size >> 1) != 0);
            let size = size(text).filter(legal).filter(|size| (8 << 10..=1 << 20).contains(size));
            xz.dictionary = Some(size.ok_or_else(|| OptionError::Dictionary(text.into()))?);
        } else if word.starts_with(|c: char| c.is_ascii_digit()) {
            xz.preset = level("xz", word, 6, 0..=9)?;
        } else {
            let known = Filter::ALL.iter().find(|(name, _)| *name == word);
            xz.filters = xz.filters.with(known.ok_or_else(|| OptionError::Filter(word.into()))?.1);
        }
    }
    Ok(xz)
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Gzip { level } => write!(f, "gzip:{level}"),
            Self::Lz4 { high: false } => f.write_str("lz4"),
            Self::Lz4 { high: true } => f.write_str("lz4:hc"),
            Self::Zstd { level } => write!(f, "zstd:{level}"),
            Self::Xz(xz) => {
                write!(f, "xz:{}", xz.preset)?;
                for (name, filter) in Filter::ALL {
                    if xz.filters.bits() & filter as u32 != 0 {
                        write!(f, ",{name}")?;
                    }
                }
                xz.dictionary.map_or(Ok(()), |size| write!(f, ",dict={}K", size >> 10))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codecs_are_named_with_their_settings() {
        for (text, printed) in [
            ("none", "none"),
            ("gzip", "gzip:9"),
            ("zstd", "zstd:15"),
            ("zstd:22", "zstd:22"),
            ("lz4", "lz4"),
            ("lz4:hc", "lz4:hc"),
            ("xz", "xz:6"),
            ("xz:9,x86,arm64", "xz:9,x86,arm64"),
            ("xz,dict=96K", "xz:6,dict=96K"),
        ] {
            assert_eq!(text.parse::<Compression>().unwrap().to_string(), printed);
        }
        for bad in ["", "zip", "none:1", "gzip:0", "zstd:23", "zstd:x", "lz4:9", "xz:10", "xz,dict=100K", "xz,alpha"] {
            assert!(bad.parse::<Compression>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn blocks_are_powers_of_two_within_bounds() {
        for (text, bytes) in [("4096", 4096), ("128K", 131_072), ("1M", 1 << 20)] {
            assert_eq!(text.parse::<BlockSize>().unwrap().bytes(), bytes);
        }
        for bad in ["", "K", "2K", "2M", "100K", "-4K", "99999999M"] {
            assert!(bad.parse::<BlockSize>().is_err(), "{bad:?}");
        }
    }
}
