//! What the machine starts by, and the files that it is made of. Distributions
//! describe theirs in QEMU's own format (docs/interop/firmware.json), so that
//! no path has to be known here.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Arch, BootError};

/// A description in a later one hides that of the same name in an earlier one.
pub(super) const DIRS: [&str; 2] = ["/usr/share/qemu/firmware", "/etc/qemu/firmware"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Firmware {
    Bios,
    Uefi,
    /// UEFI that has Microsoft's keys and starts nothing else.
    SecureBoot,
}

impl fmt::Display for Firmware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Bios => "BIOS",
            Self::Uefi => "UEFI",
            Self::SecureBoot => "Secure Boot",
        })
    }
}

/// A flash chip's content.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Chip {
    pub(super) filename: PathBuf,
    pub(super) format: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flash {
    pub(super) code: Chip,
    /// What a new machine's variables are: only ever copied.
    pub(super) variables: Chip,
    /// Its code guards the variables in system management mode.
    pub(super) smm: bool,
}

impl Flash {
    fn is_there(&self) -> bool {
        self.code.filename.exists() && self.variables.filename.exists()
    }
}

impl Firmware {
    /// None where QEMU brings its own: SeaBIOS.
    pub(super) fn find(self, arch: Arch) -> Result<Option<Flash>, BootError> {
        if self == Self::Bios {
            let has_bios = arch == Arch::X86_64;
            return has_bios.then_some(None).ok_or(BootError::NoSuchMachine { firmware: self, arch });
        }
        for path in descriptions(&DIRS.map(Path::new))? {
            let text = fs::read(&path).map_err(|source| BootError::Read { path: path.clone(), source })?;
            // An empty one says that there is none of that name.
            if text.is_empty() {
                continue;
            }
            let described = serde_json::from_slice::<Described>(&text);
            let described = described.map_err(|source| BootError::Description { path, source })?;
            // Debian 12 describes an AAVMF_CODE.secboot.fd that it does not ship.
            if let Some(flash) = described.flash(self, arch).filter(Flash::is_there) {
                return Ok(Some(flash));
            }
        }
        Err(BootError::NoFirmware { firmware: self, arch, package: arch.firmware_package() })
    }
}

/// In the order of their names, which is that of preference.
fn descriptions(dirs: &[&Path]) -> Result<Vec<PathBuf>, BootError> {
    let mut found = BTreeMap::new();
    for dir in dirs {
        let failed = |source| BootError::Read { path: dir.into(), source };
        let entries = match fs::read_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries.map_err(failed)?,
        };
        for entry in entries {
            let entry = entry.map_err(failed)?;
            if entry.path().extension().is_some_and(|ending| ending == "json") {
                found.insert(entry.file_name(), entry.path());
            }
        }
    }
    Ok(found.into_values().collect())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Described {
    interface_types: Vec<String>,
    mapping: Mapping,
    targets: Vec<Target>,
    features: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Mapping {
    device: String,
    executable: Option<Chip>,
    nvram_template: Option<Chip>,
}

#[derive(Debug, Deserialize)]
struct Target {
    architecture: String,
    /// Patterns, as of a shell.
    machines: Vec<String>,
}

impl Described {
    fn flash(self, firmware: Firmware, arch: Arch) -> Option<Flash> {
        let has = |feature: &str| self.features.iter().any(|found| found == feature);
        let fits = match firmware {
            Firmware::Bios => false,
            Firmware::Uefi => !has("enrolled-keys") && !has("requires-smm"),
            Firmware::SecureBoot => has("secure-boot") && has("enrolled-keys"),
        };
        let machine = arch.versioned_machine();
        let is_for = |target: &Target| {
            target.architecture == arch.name()
                && target.machines.iter().any(|pattern| machine.starts_with(pattern.trim_end_matches('*')))
        };
        let uefi = self.interface_types.iter().any(|kind| kind == "uefi") && self.mapping.device == "flash";
        let smm = has("requires-smm");
        if !fits || !uefi || !self.targets.iter().any(is_for) {
            return None;
        }
        Some(Flash { code: self.mapping.executable?, variables: self.mapping.nvram_template?, smm })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(arch: &str, machine: &str, features: &str) -> Described {
        let text = format!(
            r#"{{"description": "x", "interface-types": ["uefi"], "tags": [],
                "mapping": {{"device": "flash", "executable": {{"filename": "/code", "format": "raw"}},
                             "nvram-template": {{"filename": "/vars", "format": "qcow2"}}}},
                "targets": [{{"architecture": "{arch}", "machines": ["{machine}"]}}], "features": [{features}]}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn firmware_is_taken_for_the_machine_and_the_keys_it_was_described_with() {
        let (keys, no_keys) = (r#""secure-boot", "enrolled-keys", "requires-smm""#, r#""acpi-s3""#);
        for (arch, machine, features, wanted, taken) in [
            ("x86_64", "pc-q35-*", no_keys, Firmware::Uefi, true),
            ("x86_64", "pc-q35-*", no_keys, Firmware::SecureBoot, false),
            ("x86_64", "pc-q35-*", keys, Firmware::SecureBoot, true),
            ("x86_64", "pc-q35-*", keys, Firmware::Uefi, false),
            ("x86_64", "pc-i440fx-*", no_keys, Firmware::Uefi, false),
            ("aarch64", "virt-*", no_keys, Firmware::Uefi, false),
        ] {
            let flash = described(arch, machine, features).flash(wanted, Arch::X86_64);
            assert_eq!(flash.is_some(), taken, "{arch} {machine} {features} as {wanted}");
            if let Some(flash) = flash {
                assert_eq!((flash.code.format.as_str(), flash.variables.format.as_str()), ("raw", "qcow2"));
                assert_eq!(flash.smm, features == keys);
            }
        }
    }

    #[test]
    fn an_administrators_description_hides_the_distributions() {
        let (dist, own) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (dir, name) in [(&dist, "40-a.json"), (&dist, "50-b.json"), (&dist, "note"), (&own, "50-b.json")] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let missing = Path::new("/nowhere/at/all");
        let found = descriptions(&[dist.path(), missing, own.path()]).unwrap();
        assert_eq!(found, [dist.path().join("40-a.json"), own.path().join("50-b.json")]);
    }
}
