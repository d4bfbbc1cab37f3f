//! What a kernel can unpack, by the `.config` it was built with.

use super::CodecKind;

/// A kernel's answer about one codec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unpacks {
    Yes,
    /// The option that its config lacks, and the codecs it has.
    No {
        option: &'static str,
        instead: Vec<&'static str>,
    },
}

pub fn is_built_in(option: &str, config: &str) -> bool {
    config.lines().any(|line| line.strip_prefix(option) == Some("=y"))
}

/// Whether a kernel of that `.config` unpacks an initramfs in `codec`.
pub fn unpacks(codec: CodecKind, config: &str) -> Unpacks {
    let has = |option: &str| is_built_in(option, config);
    match codec.kernel_option() {
        Some(option) if !has(option) => {
            // Smallest first: it is what the profile's author will want to write.
            let codecs = [CodecKind::Zstd, CodecKind::Xz, CodecKind::Bzip2, CodecKind::Gzip, CodecKind::Lz4];
            let instead = codecs.into_iter().filter(|codec| codec.kernel_option().is_some_and(has));
            Unpacks::No { option, instead: instead.chain([CodecKind::None]).map(CodecKind::name).collect() }
        }
        _ => Unpacks::Yes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_codec_that_is_not_built_in_is_told_with_those_that_are() {
        let config = "CONFIG_RD_GZIP=y\n# CONFIG_RD_BZIP2 is not set\nCONFIG_RD_XZ=y\nCONFIG_RD_ZSTD=m\n";
        for codec in [CodecKind::None, CodecKind::Gzip, CodecKind::Xz] {
            assert_eq!(unpacks(codec, config), Unpacks::Yes, "{codec:?}");
        }
        for (codec, option) in [
            (CodecKind::Bzip2, "CONFIG_RD_BZIP2"),
            (CodecKind::Lz4, "CONFIG_RD_LZ4"),
            (CodecKind::Zstd, "CONFIG_RD_ZSTD"),
        ] {
            let no = Unpacks::No { option, instead: vec!["xz", "gzip", "none"] };
            assert_eq!(unpacks(codec, config), no, "{codec:?}");
        }
    }
}
