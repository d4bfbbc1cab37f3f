//! `[boot]`: which loaders start the medium, and what their menus offer.

use super::{Located, Section, named};

/// `None` where the profile does not say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BootSection {
    pub bios: Option<Located<BiosLoader>>,
    pub uefi: Option<Located<UefiLoader>>,
    /// Shim and the distribution's signed loader, for Secure Boot.
    pub signed: Option<Located<bool>>,
    pub layout: Option<Located<DiskLayout>>,
    /// A folder with loaders' files of one's own.
    pub files: Option<Located<String>>,
    /// Seconds.
    pub timeout: Option<u32>,
    /// Bits per second; 0 keeps the menu off the serial line.
    pub serial: Option<u32>,
    /// `deb:` or `file:`, like the next.
    pub memtest: Option<Located<String>>,
    pub shell: Option<Located<String>>,
    pub entries: Vec<EntrySection>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BiosLoader {
    Isolinux,
    Grub,
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UefiLoader {
    Grub,
    SystemdBoot,
    /// A unified kernel image: the first entry, without a menu.
    Uki,
    None,
}

/// What the image is when it is a disk and not a disc.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskLayout {
    /// A valid GPT: the ISO and the ESP are partitions.
    Gpt,
    /// An MBR whose active partition is the whole image.
    Isohybrid,
    /// The partitions of `Gpt` in an MBR alone.
    Mbr,
    /// `Gpt` without anything that a BIOS could start.
    UefiOnly,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntrySection {
    pub title: Located<String>,
    pub cmdline: Option<Located<String>>,
}

impl BiosLoader {
    const WORDS: &[(&str, Self)] = &[("isolinux", Self::Isolinux), ("grub", Self::Grub), ("none", Self::None)];

    pub fn name(self) -> &'static str {
        named(Self::WORDS, self)
    }
}

impl UefiLoader {
    const WORDS: &[(&str, Self)] =
        &[("grub", Self::Grub), ("systemd-boot", Self::SystemdBoot), ("uki", Self::Uki), ("none", Self::None)];

    pub fn name(self) -> &'static str {
        named(Self::WORDS, self)
    }
}

impl DiskLayout {
    const WORDS: &[(&str, Self)] =
        &[("gpt", Self::Gpt), ("isohybrid", Self::Isohybrid), ("mbr", Self::Mbr), ("uefi-only", Self::UefiOnly)];

    pub fn name(self) -> &'static str {
        named(Self::WORDS, self)
    }
}

pub(super) fn section(mut section: Section<'_>) -> BootSection {
    let bios = section.word("bios", BiosLoader::WORDS);
    let uefi = section.word("uefi", UefiLoader::WORDS);
    let signed = section.boolean("signed");
    let layout = section.word("layout", DiskLayout::WORDS);
    let files = section.string("files");
    let timeout = section.integer("timeout", 0..=3599).map(|seconds| seconds.value as u32);
    let serial = section.integer("serial", 0..=115_200).map(|speed| speed.value as u32);
    let memtest = section.string("memtest");
    let shell = section.string("shell");
    let entries = section.sections("entry").into_iter().filter_map(entry).collect();
    section.finish();
    BootSection { bios, uefi, signed, layout, files, timeout, serial, memtest, shell, entries }
}

fn entry(mut section: Section<'_>) -> Option<EntrySection> {
    let title = section.string("title");
    let title = section.require("title", title, "what the boot menu shows");
    let cmdline = section.string("cmdline");
    section.finish();
    Some(EntrySection { title: title?, cmdline })
}
