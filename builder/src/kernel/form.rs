//! In what form kmods stand in the initramfs. A kernel unpacks all of it at
//! each boot, `/init` checks every byte and loads a tenth of them, and the memory
//! that it takes at its largest is what the smallest machines do not have: what
//! few boots load is better packed by itself.

use std::fmt;
use std::io;
use std::str::FromStr;

use tree::{Content, TreePath};

use super::catalog::Kmod;
use super::decompress;
use crate::compress::{Codec, CodecError, CodecKind, Decoder};
use crate::elf;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KmodForm {
    /// Large ones packed: by zstd, which is unpacked soonest; those that few boots
    /// load as their package has packed them, or by xz, which is smaller.
    Auto,
    /// All without compression of their own, to be packed tightest with all the rest.
    Plain,
    /// As the kernel's package has them.
    Kept,
    Packed(Codec),
}

/// What is less packs better together with all the rest. In `@live` 64 KiB would make the image
/// 0.27 MiB smaller, and what it unpacks to 1.6 MiB larger: a machine of 96 MiB has not 2 to spare.
const WORTH: u64 = 32 << 10;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    #[error("kmods can be `auto`, `plain`, `kept`, `gzip[:1-9]`, `xz[:0-9]` or `zstd[:1-22]`, and not `{0}`")]
    Unknown(String),
    #[error(transparent)]
    Codec(#[from] CodecError),
}

impl FromStr for KmodForm {
    type Err = FormError;

    fn from_str(text: &str) -> Result<Self, FormError> {
        match text {
            "auto" => Ok(Self::Auto),
            "plain" => Ok(Self::Plain),
            "kept" => Ok(Self::Kept),
            _ => match text.parse()? {
                // What kmod(8) reads too.
                codec @ Codec { kind: CodecKind::Gzip | CodecKind::Xz | CodecKind::Zstd, .. } => {
                    Ok(Self::Packed(codec))
                }
                _ => Err(FormError::Unknown(text.into())),
            },
        }
    }
}

impl fmt::Display for KmodForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Plain => f.write_str("plain"),
            Self::Kept => f.write_str("kept"),
            Self::Packed(codec) => codec.fmt(f),
        }
    }
}

/// What kmods are for an initramfs.
#[derive(Debug, Clone, Copy)]
pub struct Packing {
    pub form: KmodForm,
    pub strip: bool,
    /// What packs the archive that they stand in.
    pub archive: Codec,
}

impl Packing {
    /// Path and content of a kmod.
    pub(super) fn of(&self, kmod: &Kmod, is_seldom: bool) -> io::Result<(TreePath, Content)> {
        let as_it_came = || Ok((kmod.path.clone(), kmod.content.clone()));
        if self.form == KmodForm::Kept {
            return as_it_came();
        }
        let is_packed = named(&kmod.path, "") != kmod.path;
        let stays_packed = self.form == KmodForm::Auto && is_seldom && is_packed;
        if stays_packed && !self.strip {
            return as_it_came();
        }
        let mut plain = decompress::plain(&kmod.content)?;
        if self.strip {
            match elf::stripped(&plain).map_err(io::Error::other)? {
                Some(less) => plain = less.into(),
                None if stays_packed => return as_it_came(),
                None => {}
            }
        }
        let codec = match self.form {
            KmodForm::Packed(codec) => codec,
            KmodForm::Auto if plain.len() >= WORTH => as_hard_as(self.archive, is_seldom),
            KmodForm::Auto | KmodForm::Plain | KmodForm::Kept => return Ok((named(&kmod.path, ""), plain)),
        };
        let packed = codec.pack(Decoder::Kernel, &plain.read_all(plain.len())?)?;
        Ok((named(&kmod.path, ending(codec.kind)), packed.into()))
    }
}

fn as_hard_as(archive: Codec, is_seldom: bool) -> Codec {
    let level = match archive.kind {
        CodecKind::Zstd => archive.level,
        CodecKind::None | CodecKind::Lz4 => 3,
        CodecKind::Gzip | CodecKind::Bzip2 | CodecKind::Xz => 19,
    };
    // Below that it is the build that was asked to be fast.
    if is_seldom && level >= 10 {
        return Codec { kind: CodecKind::Xz, level: 6 };
    }
    Codec { kind: CodecKind::Zstd, level }
}

/// What kmod(8) tells compressions by.
fn ending(kind: CodecKind) -> &'static str {
    match kind {
        CodecKind::Gzip => ".gz",
        CodecKind::Xz => ".xz",
        CodecKind::Zstd => ".zst",
        CodecKind::None | CodecKind::Bzip2 | CodecKind::Lz4 => "",
    }
}

fn named(path: &TreePath, ending: &str) -> TreePath {
    let bytes = path.as_bytes();
    let plain = [".gz", ".xz", ".zst"].iter().find_map(|end| bytes.strip_suffix(end.as_bytes())).unwrap_or(bytes);
    TreePath::new([plain, ending.as_bytes()].concat()).expect("a path with another ending is one")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::fake;
    use crate::kernel::Catalog;
    use crate::kernel::fake::{kernel, path};
    use tree::Provenance;

    #[test]
    fn forms_are_named_as_they_are_printed() {
        for (text, printed) in [
            ("auto", "auto"),
            ("plain", "plain"),
            ("kept", "kept"),
            ("xz", "xz:6"),
            ("zstd:3", "zstd:3"),
            ("gzip", "gzip:9"),
        ] {
            assert_eq!(text.parse::<KmodForm>().unwrap().to_string(), printed);
        }
        for bad in ["", "none", "lz4", "bzip2:1", "zstd:40", "Auto"] {
            assert!(bad.parse::<KmodForm>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_kmod_comes_out_of_every_form_as_it_was() {
        let mut large = fake::kmod(&["alias=fs-xfs"]);
        large.resize(WORTH as usize, 0);
        let small = fake::kmod(&["alias=fs-xfs"]);
        let theirs = zstd::bulk::compress(&large, 7).unwrap();
        let files: [(&str, &[u8]); 3] = [("a.ko", &large), ("b.ko.zst", &theirs), ("c.ko", &small)];
        let mut kernel = kernel(&[], &[]);
        for (name, bytes) in files {
            let at = path(&format!("kernel/fs/{name}"));
            kernel.modules.insert_file(at, 0o644, bytes.to_vec().into(), Provenance::new("test")).unwrap();
        }
        let catalog = Catalog::scan(&kernel).unwrap();
        for (form, archive, name, is_seldom, wanted, is_theirs) in [
            ("auto", "zstd:19", "a", true, "a.ko.xz", false),
            ("auto", "zstd:1", "a", true, "a.ko.zst", false),
            ("auto", "zstd:19", "a", false, "a.ko.zst", false),
            ("auto", "zstd:19", "b", true, "b.ko.zst", true),
            ("auto", "zstd:1", "b", false, "b.ko.zst", false),
            ("auto", "xz:6", "c", true, "c.ko", false),
            ("plain", "xz:6", "b", true, "b.ko", false),
            ("kept", "xz:6", "a", true, "a.ko", false),
            ("kept", "xz:6", "b", false, "b.ko.zst", true),
            ("xz:1", "zstd:1", "a", false, "a.ko.xz", false),
            ("xz:1", "zstd:1", "b", false, "b.ko.xz", false),
            ("gzip:1", "zstd:1", "c", true, "c.ko.gz", false),
        ] {
            let kmod = catalog.get(catalog.find(name).unwrap());
            let (form, archive) = (form.parse::<KmodForm>().unwrap(), archive.parse().unwrap());
            let (at, content) = Packing { form, strip: false, archive }.of(kmod, is_seldom).unwrap();
            assert_eq!(at, path(&format!("kernel/fs/{wanted}")), "{form}, {name}");
            let bytes = content.read_all(1 << 20).unwrap();
            let whole = if name == "c" { &small } else { &large };
            assert!(init::decompress::kmod(&bytes, whole.len()).unwrap() == *whole, "{form}, {name}");
            assert_eq!(bytes == theirs, is_theirs, "the package's own bytes: {form}, {name}");
        }
    }

    #[test]
    fn a_kmod_is_stripped_before_it_is_packed_and_a_packed_one_only_if_that_gains() {
        let modinfo = (".modinfo", &b"license=GPL\0"[..]);
        let heavy = zstd::bulk::compress(&fake::object(&[modinfo, (".debug_info", &[7; 4096])]), 7).unwrap();
        let light = zstd::bulk::compress(&fake::object(&[modinfo]), 7).unwrap();
        let mut kernel = kernel(&[], &[]);
        for (name, bytes) in [("heavy.ko.zst", &heavy), ("light.ko.zst", &light)] {
            let at = path(&format!("kernel/fs/{name}"));
            kernel.modules.insert_file(at, 0o644, bytes.clone().into(), Provenance::new("test")).unwrap();
        }
        let catalog = Catalog::scan(&kernel).unwrap();
        let archive = "zstd:19".parse().unwrap();
        for (form, name, wanted, len) in [
            ("auto", "heavy", "heavy.ko", 0..4096),
            ("auto", "light", "light.ko.zst", light.len()..light.len() + 1),
            ("kept", "heavy", "heavy.ko.zst", heavy.len()..heavy.len() + 1),
        ] {
            let kmod = catalog.get(catalog.find(name).unwrap());
            let packing = Packing { form: form.parse().unwrap(), strip: true, archive };
            let (at, content) = packing.of(kmod, true).unwrap();
            assert_eq!(at, path(&format!("kernel/fs/{wanted}")), "{form}");
            assert!(len.contains(&(content.len() as usize)), "{form}, {name}: {}", content.len());
        }
    }
}
