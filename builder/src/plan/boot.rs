//! `[boot]` resolved: every loader chosen, every entry with its whole command
//! line, and combinations that cannot work refused.

mod combinations;

use std::path::{Path, PathBuf};

use init::contract::{Mode, params};

use super::Request;
use super::resolve::{Resolver, is_file_name, is_package_name, is_verified, split_source};
use crate::arch::Arch;
use crate::profile::{BiosLoader, DiskLayout, Located, Place, Problem, Profile, UefiLoader};

/// The kernel's COMMAND_LINE_SIZE on x86.
const COMMAND_LINE_SIZE: usize = 2048;

/// What boot loaders put in front: `BOOT_IMAGE=… initrd=…`, and the final NUL.
const LOADERS_SHARE: usize = 64;

/// What the build puts in front in a verified image, a root hash in hexadecimal digits.
const VERITYS_SHARE: usize = params::VERITY.len() + "=".len() + 64 + " ".len();

/// What `console=ttyS0` is tried with first, everywhere.
const SERIAL_SPEED: u32 = 115_200;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootPlan {
    pub bios: BiosLoader,
    pub uefi: UefiLoader,
    /// By shim and the distribution's signed loader, so that Secure Boot holds.
    pub signed: bool,
    pub layout: DiskLayout,
    /// Looked into for the loaders' files before packages and this system.
    pub files: Option<Located<PathBuf>>,
    /// Seconds until the first entry starts by itself; 0 starts it at once.
    pub timeout: u32,
    /// Speed of the first serial line, where a BIOS loader shows its menu too.
    pub serial: Option<u32>,
    pub memtest: Option<Located<ProgramFile>>,
    pub shell: Option<Located<ProgramFile>>,
    pub entries: Vec<BootEntry>,
}

/// Where a program for the boot menu comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProgramFile {
    File(PathBuf),
    DebFile(PathBuf),
    /// By name, through the cache.
    Deb(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootEntry {
    pub title: String,
    /// The whole command line.
    pub cmdline: String,
}

impl BootPlan {
    /// Both firmwares, one slow serial line, no entries.
    #[cfg(test)]
    pub(crate) fn for_test() -> Self {
        Self {
            bios: BiosLoader::Isolinux,
            uefi: UefiLoader::Grub,
            signed: false,
            layout: DiskLayout::Gpt,
            files: None,
            timeout: 5,
            serial: Some(9600),
            memtest: None,
            shell: None,
            entries: Vec::new(),
        }
    }

    pub(super) fn without_loader(&self) -> Self {
        let plan = self.clone();
        Self { bios: BiosLoader::None, uefi: UefiLoader::None, signed: false, memtest: None, shell: None, ..plan }
    }

    pub(super) fn advice(&self) -> Option<String> {
        match (self.bios, self.uefi) {
            (BiosLoader::None, UefiLoader::None) => {
                Some("boot.bios and boot.uefi are none: nothing on this medium starts by itself".into())
            }
            (_, UefiLoader::Uki) if self.entries.len() > 1 => {
                let first = &self.entries[0].title;
                Some(format!("a unified kernel image has no menu: UEFI starts {first:?} and none of the other entries"))
            }
            _ => None,
        }
    }
}

impl Resolver<'_> {
    pub(super) fn boot(&mut self, profile: &Profile, request: &Request) -> BootPlan {
        let section = &profile.boot;
        let entries = self.entries(profile, request);
        self.problems.extend(combinations::problems(section));
        if self.arch != Arch::X86_64 {
            self.problems.extend(combinations::for_x86_64_alone(section, self.arch));
        }
        let layout = written(section.layout.as_ref(), DiskLayout::Gpt);
        let has_bios = self.arch == Arch::X86_64 && layout != DiskLayout::UefiOnly;
        let bios = if has_bios { BiosLoader::Isolinux } else { BiosLoader::None };
        BootPlan {
            bios: written(section.bios.as_ref(), bios),
            uefi: written(section.uefi.as_ref(), UefiLoader::Grub),
            signed: written(section.signed.as_ref(), false),
            layout,
            files: section.files.as_ref().and_then(|from| self.loader_folder(from)),
            timeout: section.timeout.unwrap_or(if entries.len() > 1 { 5 } else { 0 }),
            serial: Some(section.serial.unwrap_or(SERIAL_SPEED)).filter(|speed| *speed != 0),
            memtest: section.memtest.as_ref().and_then(|from| self.program_file(from)),
            shell: section.shell.as_ref().and_then(|from| self.program_file(from)),
            entries,
        }
    }

    fn loader_folder(&mut self, from: &Located<String>) -> Option<Located<PathBuf>> {
        let Some(path) = from.value.strip_prefix("dir:") else {
            let problem = Problem::new(&from.place, format!("no source of boot loaders: `{}`", from.value));
            self.problems.push(problem.remedy("`dir:PATH`: a folder with the files in it, or below it"));
            return None;
        };
        let value = self.existing(from, path, Path::is_dir, "a folder")?;
        Some(Located { value, place: from.place.clone() })
    }

    fn program_file(&mut self, from: &Located<String>) -> Option<Located<ProgramFile>> {
        let value = match split_source(&from.value) {
            ("file", path) => ProgramFile::File(self.existing(from, path, Path::is_file, "a file")?),
            ("deb", path) if is_file_name(path) => {
                ProgramFile::DebFile(self.existing(from, path, Path::is_file, "a file")?)
            }
            ("deb", name) if is_package_name(name) => ProgramFile::Deb(name.into()),
            _ => {
                let problem = Problem::new(&from.place, format!("no source of a program: `{}`", from.value));
                self.problems.push(problem.remedy("`file:PATH`, `deb:NAME` or `deb:FILE.deb`"));
                return None;
            }
        };
        Some(Located { value, place: from.place.clone() })
    }

    fn entries(&mut self, profile: &Profile, request: &Request) -> Vec<BootEntry> {
        let everywhere = profile.kernel.cmdline.as_ref();
        let mut entries = Vec::new();
        for entry in &profile.boot.entries {
            let words = [everywhere, entry.cmdline.as_ref()].map(|part| part.map_or("", |part| part.value.as_str()));
            let cmdline = joined(&[words[0], words[1], &request.append]);
            let place = entry.cmdline.as_ref().or(everywhere).map_or(&entry.title.place, |part| &part.place);
            self.check_cmdline(place, &cmdline, profile);
            self.check_line(&entry.title);
            entries.push(BootEntry { title: entry.title.value.clone(), cmdline });
        }
        if entries.is_empty() {
            let cmdline = joined(&[everywhere.map_or("", |part| &part.value), &request.append]);
            let place = everywhere.map_or(&profile.name.place, |part| &part.place);
            self.check_cmdline(place, &cmdline, profile);
            entries.push(BootEntry { title: format!("Start {}", profile.name.value), cmdline });
        }
        entries
    }

    fn check_cmdline(&mut self, place: &Place, cmdline: &str, profile: &Profile) {
        let room = COMMAND_LINE_SIZE - LOADERS_SHARE - if is_verified(profile) { VERITYS_SHARE } else { 0 };
        if cmdline.len() > room {
            let what = format!("a command line of {} bytes; there is room for {room}", cmdline.len());
            self.problems.push(Problem::new(place, what).remedy("shorten it"));
        }
        if cmdline.contains(|c: char| c.is_control()) {
            self.problems.push(Problem::new(place, "a command line with a control character in it"));
        }
        // It makes the kernel pick ramfs for the first root, which has no size limit.
        if profile.mode.value == Mode::Ram && cmdline.split_whitespace().any(|word| word.starts_with("root=")) {
            let problem = Problem::new(place, "`root=` on the command line of a ram image");
            self.problems.push(
                problem.remedy("leave it out: the packages are the root, and the medium is found by its boot-id"),
            );
        }
    }

    fn check_line(&mut self, text: &Located<String>) {
        if text.value.contains(|c: char| c.is_control()) {
            self.problems.push(Problem::new(&text.place, "a title with a control character in it"));
        }
    }
}

fn written<T: Copy>(given: Option<&Located<T>>, default: T) -> T {
    given.map_or(default, |given| given.value)
}

fn joined(parts: &[&str]) -> String {
    parts.iter().flat_map(|part| part.split_whitespace()).collect::<Vec<_>>().join(" ")
}
