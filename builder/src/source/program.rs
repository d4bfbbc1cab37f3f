//! Programs for the boot menu that are somebody else's: a memory test, a UEFI
//! shell. What starts them is told from what they are, since every release
//! names them differently.

use std::io;

use tree::{Content, Provenance};

use super::cache::{Cache, Wanted};
use super::{SourceError, bad, file_name};
use crate::arch::Arch;
use crate::bootloader::extra::{self, Extra};
use crate::deb;
use crate::plan::{Plan, ProgramFile};
use crate::profile::Located;

/// Which firmware can start a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Starts {
    /// It has the header of Linux's boot protocol.
    bios: bool,
    /// It is an EFI application.
    uefi: bool,
}

impl Starts {
    /// Linux: Documentation/arch/x86/boot.rst; PE/COFF specification, 2.
    fn of(content: &Content) -> io::Result<Self> {
        const LINUX: (u64, &[u8]) = (0x202, b"HdrS");
        const DOS: (u64, &[u8]) = (0, b"MZ");
        let at = content.open_at()?;
        let has = |(offset, magic): (u64, &[u8])| -> io::Result<bool> {
            let len = magic.len() as u64;
            Ok(content.len() >= offset + len && at.read(offset, len)? == magic)
        };
        Ok(Self { bios: has(LINUX)?, uefi: has(DOS)? })
    }
}

/// What has to be fetched for the plan's menu.
pub(super) fn wanted(plan: &Plan) -> impl Iterator<Item = Wanted> {
    [&plan.boot.memtest, &plan.boot.shell].into_iter().flatten().filter_map(|program| match &program.value {
        ProgramFile::Deb(name) => Some(package(name)),
        ProgramFile::File(_) | ProgramFile::DebFile(_) => None,
    })
}

/// The plan allows them for no other machine.
fn package(name: &str) -> Wanted {
    Wanted::Package { names: vec![name.to_owned()], arch: Arch::X86_64 }
}

/// The programs of the plan's menu.
pub(super) fn load(plan: &Plan, cache: &Cache) -> Result<Vec<(Extra, Content, Provenance)>, SourceError> {
    let mut loaded = Vec::new();
    if let Some(memtest) = &plan.boot.memtest {
        let candidates = candidates(memtest, cache, "boot.memtest")?;
        // Where one is for BIOS alone, the other one is for UEFI.
        let bios = candidates.iter().filter(|candidate| candidate.starts.bios).min_by_key(|one| one.starts.uefi);
        let uefi = candidates.iter().find(|candidate| candidate.starts.uefi);
        loaded.extend(bios.map(|found| found.serves(extra::MEMTEST_BIOS)));
        loaded.extend(uefi.map(|found| found.serves(extra::MEMTEST_UEFI)));
        check(memtest, bios.or(uefi), "nothing in it can be started by BIOS or UEFI on this architecture")?;
    }
    if let Some(shell) = &plan.boot.shell {
        let candidates = candidates(shell, cache, "boot.shell")?;
        let uefi = candidates.iter().find(|candidate| candidate.starts.uefi);
        loaded.extend(uefi.map(|found| found.serves(extra::SHELL)));
        check(shell, uefi, "nothing in it is an EFI application for this architecture")?;
    }
    Ok(loaded)
}

fn check(from: &Located<ProgramFile>, found: Option<&Candidate>, problem: &'static str) -> Result<(), SourceError> {
    match found {
        Some(_) => Ok(()),
        None => Err(bad(&from.place, "no program for the boot menu", problem)),
    }
}

struct Candidate {
    content: Content,
    from: Provenance,
    starts: Starts,
}

impl Candidate {
    fn serves(&self, extra: Extra) -> (Extra, Content, Provenance) {
        (extra, self.content.clone(), self.from.clone())
    }
}

/// The file itself, or what a package has for this architecture, in the order of its paths.
fn candidates(program: &Located<ProgramFile>, cache: &Cache, key: &str) -> Result<Vec<Candidate>, SourceError> {
    let unreadable = |e: io::Error| bad(&program.place, "a program for the boot menu cannot be read", e);
    let because = format!("profile {}: {key}", program.place.short());
    let candidate = |content: Content, name: &str| {
        let starts = Starts::of(&content).map_err(unreadable)?;
        Ok(Candidate { content, from: Provenance::new(name).because(because.clone()), starts })
    };
    let package = match &program.value {
        ProgramFile::File(path) => {
            let len = path.metadata().map_err(unreadable)?.len();
            return Ok(vec![candidate(Content::host(path.as_path(), len), &format!("file {}", file_name(path)))?]);
        }
        ProgramFile::DebFile(path) => path.clone(),
        ProgramFile::Deb(name) => cache.path(&package(name)),
    };
    let name = format!("package {}", file_name(&package));
    let tree = deb::load(&package, &Provenance::new(name.as_str()))
        .map_err(|e| bad(&program.place, "a package for the boot menu cannot be read", e))?;
    let ours = |name: &str| ["x64", "x86_64"].iter().any(|arch| name.contains(arch));
    let files = tree.walk().filter(|item| ours(&String::from_utf8_lossy(item.path.name())));
    files.filter_map(|item| item.content()).map(|content| candidate(content.clone(), &name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_starts_a_program_is_told_from_its_header() {
        let mut kernel = vec![0; 0x210];
        kernel[0x202..0x206].copy_from_slice(b"HdrS");
        let mut both = kernel.clone();
        both[..2].copy_from_slice(b"MZ");
        for (bytes, bios, uefi) in
            [(kernel, true, false), (both, true, true), (b"MZ".to_vec(), false, true), (Vec::new(), false, false)]
        {
            assert_eq!(Starts::of(&bytes.into()).unwrap(), Starts { bios, uefi });
        }
    }
}
