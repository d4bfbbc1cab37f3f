//! `[boot]` resolved: every loader chosen, every entry with its whole command
//! line, and combinations that cannot work refused.

use init::contract::{Mode, params};

use super::Request;
use super::resolve::{Resolver, is_verified};
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
    pub layout: DiskLayout,
    /// Seconds until the first entry starts by itself; 0 starts it at once.
    pub timeout: u32,
    /// Speed of the first serial line, where a BIOS loader shows its menu too.
    pub serial: Option<u32>,
    pub entries: Vec<BootEntry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootEntry {
    pub title: String,
    /// The whole command line.
    pub cmdline: String,
}

impl BootPlan {
    pub(super) fn without_loader(&self) -> Self {
        Self { bios: BiosLoader::None, uefi: UefiLoader::None, ..self.clone() }
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
        BootPlan {
            bios: written(section.bios.as_ref(), BiosLoader::Isolinux),
            uefi: written(section.uefi.as_ref(), UefiLoader::None),
            layout: written(section.layout.as_ref(), DiskLayout::Gpt),
            timeout: section.timeout.unwrap_or(if entries.len() > 1 { 5 } else { 0 }),
            serial: Some(section.serial.unwrap_or(SERIAL_SPEED)).filter(|speed| *speed != 0),
            entries,
        }
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
