//! One word of `kernel.modules` in a profile, parsed. Whether a kmod of that
//! name exists is the catalog's matter.

use super::catalog::Kmod;
use super::modinfo::canonical;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// Written with `!`: what matches is taken out again.
    pub exclude: bool,
    pub pick: Pick,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pick {
    /// `@live`
    Set(String),
    /// `@host`, `@host:FOLDER`: what a machine uses whose /sys and /proc are in
    /// a folder, or this one.
    Host(Option<String>),
    /// `ahci`, `usb-storage`
    Name(String),
    /// `sata_*`: over canonical names.
    NameGlob(String),
    /// `kernel/drivers/ata`, `kernel/fs/nls/*`: a file, everything below a
    /// directory, or a glob in which `*` passes over `/` too.
    Path(String),
    /// `alias:pci:v00008086*`, `alias:fs-vfat`: whoever has such an alias.
    Alias(String),
}

const HOST: &str = "@host";

impl Pattern {
    pub fn parse(written: &str) -> Self {
        let (exclude, word) = match written.strip_prefix('!') {
            Some(word) => (true, word),
            None => (false, written),
        };
        let pick = if word == HOST {
            Pick::Host(None)
        } else if let Some(folder) = word.strip_prefix(HOST).and_then(|rest| rest.strip_prefix(':')) {
            Pick::Host(Some(folder.to_string()))
        } else if let Some(set) = word.strip_prefix('@') {
            Pick::Set(set.to_string())
        } else if let Some(alias) = word.strip_prefix("alias:") {
            Pick::Alias(alias.to_string())
        } else if word.contains('/') {
            Pick::Path(word.trim_matches('/').to_string())
        } else if is_glob(word) {
            Pick::NameGlob(canonical(word))
        } else {
            Pick::Name(canonical(word.strip_suffix(".ko").unwrap_or(word)))
        };
        Self { exclude, pick }
    }
}

impl Pick {
    /// False for sets and machines: they are several of these.
    pub fn matches(&self, kmod: &Kmod) -> bool {
        match self {
            Self::Set(_) | Self::Host(_) => false,
            Self::Name(name) => kmod.name == *name,
            Self::NameGlob(glob) => init::glob::matches(glob, &kmod.name),
            Self::Path(path) => path_matches(path, kmod.path.as_bytes()),
            Self::Alias(glob) => kmod.info.aliases.iter().any(|alias| alias_meets(glob, alias)),
        }
    }
}

/// A compressed kmod answers to its path without the compression's suffix.
pub(super) fn path_matches(pattern: &str, path: &[u8]) -> bool {
    // No tree of kmods has names that are not UTF-8; the globs are.
    let Ok(path) = std::str::from_utf8(path) else { return false };
    let plain = path.rfind(".ko").map_or(path, |end| &path[..end + 3]);
    if is_glob(pattern) {
        return init::glob::matches(pattern, plain);
    }
    plain.strip_prefix(pattern).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn is_glob(word: &str) -> bool {
    word.contains(['*', '?', '['])
}

/// An alias is a glob itself. The one asked for meets it when it is a modalias
/// that the alias would match, or a glob over aliases as they are written.
pub(super) fn alias_meets(glob: &str, alias: &str) -> bool {
    init::glob::matches(glob, alias) || init::glob::matches(alias, glob)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_apart_by_their_form() {
        for (written, exclude, pick) in [
            ("@live", false, Pick::Set("live".into())),
            ("@host", false, Pick::Host(None)),
            ("!@host:a/b", true, Pick::Host(Some("a/b".into()))),
            ("@hosts", false, Pick::Set("hosts".into())),
            ("usb-storage", false, Pick::Name("usb_storage".into())),
            ("ahci.ko", false, Pick::Name("ahci".into())),
            ("!sata-*", true, Pick::NameGlob("sata_*".into())),
            ("kernel/drivers/ata/", false, Pick::Path("kernel/drivers/ata".into())),
            ("!alias:fs-ntfs3", true, Pick::Alias("fs-ntfs3".into())),
        ] {
            assert_eq!(Pattern::parse(written), Pattern { exclude, pick }, "{written}");
        }
    }

    #[test]
    fn paths_match_files_directories_and_globs() {
        let path = b"kernel/drivers/usb/storage/ums-realtek.ko.xz";
        for (pattern, matches) in [
            ("kernel/drivers/usb/storage", true),
            ("kernel/drivers/usb/stor", false),
            ("kernel/drivers/usb/storage/ums-realtek.ko", true),
            ("kernel/drivers/usb/*", true),
            ("kernel/*/ums-*.ko", true),
            ("kernel/*/ums-*.ko.xz", false),
        ] {
            assert_eq!(path_matches(pattern, path), matches, "{pattern}");
        }
    }
}
