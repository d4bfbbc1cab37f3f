//! `[initramfs] microcode` and `[kernel] firmware`, resolved.

use std::path::Path;

use init::contract::Mode;

use super::FirmwareSource;
use super::resolve::{Resolver, split_source};
use crate::arch::Arch;
use crate::profile::{Located, Problem};

impl Resolver<'_> {
    pub(super) fn microcode(&mut self, sources: &[Located<String>], mode: Mode) -> Vec<Located<FirmwareSource>> {
        if let (Some(first), false) = (sources.first(), self.arch == Arch::X86_64) {
            let problem = Problem::new(&first.place, format!("microcode, and this image is for {}", self.arch));
            self.problems.push(problem.remedy("leave it out: only x86 kernels look for it in the initramfs"));
        }
        self.firmware("microcode", sources, mode)
    }

    /// What the sources are of is said in the problems.
    pub(super) fn firmware(
        &mut self,
        what: &str,
        sources: &[Located<String>],
        mode: Mode,
    ) -> Vec<Located<FirmwareSource>> {
        let resolved = sources.iter().filter_map(|from| {
            let value = match split_source(&from.value) {
                ("host", "") => FirmwareSource::Host,
                ("root", "") if mode == Mode::Overlay => FirmwareSource::Root,
                ("dir", path) => FirmwareSource::Dir(self.existing(from, path, Path::is_dir, "a folder")?),
                ("deb", path) => FirmwareSource::DebFile(self.existing(from, path, Path::is_file, "a file")?),
                _ => {
                    let problem = Problem::new(&from.place, format!("no source of {what}: `{}`", from.value));
                    let remedy = "`dir:PATH`, `deb:FILE.deb`, `host`, and in overlay mode `root`";
                    self.problems.push(problem.remedy(remedy));
                    return None;
                }
            };
            Some(Located { value, place: from.place.clone() })
        });
        resolved.collect()
    }
}
