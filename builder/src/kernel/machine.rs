//! What a machine uses: the devices it has and the kmods it has loaded, as its
//! /sys and /proc tell.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Of `/sys`, or a copy of one: no device stands deeper.
const MAX_DEPTH: usize = 64;
/// The kernel's longest is that of a keyboard, with 600 bytes.
const MAX_MODALIAS: u64 = 4096;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Machine {
    /// Of /proc/modules, in its order: the newest first.
    pub loaded: Vec<String>,
    pub modaliases: BTreeSet<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    #[error("{} cannot be read", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error(
        "{}: neither proc/modules nor a device below sys/devices is in it, so nothing can be said of the machine",
        .0.display()
    )]
    Nothing(PathBuf),
}

impl Machine {
    /// Reads `root`/proc/modules and all `modalias` files below
    /// `root`/sys/devices; one of the two may be missing.
    pub fn load(root: &Path) -> Result<Self, MachineError> {
        let mut machine = Self::default();
        let list = root.join("proc/modules");
        let text = match fs::read_to_string(&list) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(MachineError::Read { path: list, source }),
        };
        // proc(5): the name comes first.
        machine.loaded.extend(text.lines().filter_map(|line| line.split(' ').next()).map(String::from));
        machine.add_devices(&root.join("sys/devices"), MAX_DEPTH)?;
        if machine == Self::default() {
            return Err(MachineError::Nothing(root.into()));
        }
        Ok(machine)
    }

    fn add_devices(&mut self, dir: &Path, depth: usize) -> Result<(), MachineError> {
        let failed = |path: &Path, source| MachineError::Read { path: path.into(), source };
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(e) if is_gone(&e) => return Ok(()),
            Err(e) => return Err(failed(dir, e)),
        };
        for entry in entries {
            let entry = entry.map_err(|e| failed(dir, e))?;
            let kind = entry.file_type().map_err(|e| failed(&entry.path(), e))?;
            // Its symlinks lead to other devices, round and round.
            if kind.is_dir() && depth > 0 {
                self.add_devices(&entry.path(), depth - 1)?;
            } else if kind.is_file() && entry.file_name() == "modalias" {
                self.add_modalias(&entry.path())
                    .or_else(|e| if is_gone(&e) { Ok(()) } else { Err(failed(&entry.path(), e)) })?;
            }
        }
        Ok(())
    }

    fn add_modalias(&mut self, file: &Path) -> io::Result<()> {
        let mut text = Vec::new();
        io::Read::read_to_end(&mut io::Read::take(fs::File::open(file)?, MAX_MODALIAS), &mut text)?;
        let text = String::from_utf8_lossy(&text).trim().to_owned();
        if !text.is_empty() {
            self.modaliases.insert(text);
        }
        Ok(())
    }
}

/// A device may leave while it is looked at, and some have no such file to read.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound) || error.raw_os_error() == Some(nix::errno::Errno::ENODEV as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_its_devices_and_what_it_has_loaded() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        assert!(matches!(Machine::load(root.path()), Err(MachineError::Nothing(_))));
        for (dir, modalias) in [("pci0/0000:00:1f.2", "pci:v1\n"), ("pci0/0000:00:1f.2/usb1", "usb:v2\n"), ("x", "")] {
            fs::create_dir_all(at("sys/devices").join(dir)).unwrap();
            fs::write(at("sys/devices").join(dir).join("modalias"), modalias).unwrap();
        }
        std::os::unix::fs::symlink("..", at("sys/devices/pci0/subsystem")).unwrap();
        fs::create_dir(at("proc")).unwrap();
        fs::write(at("proc/modules"), "ext4 983040 1 - Live 0x0\njbd2 163840 1 ext4, Live 0x0\n").unwrap();
        let machine = Machine::load(root.path()).unwrap();
        assert_eq!(machine.loaded, ["ext4", "jbd2"]);
        assert_eq!(machine.modaliases.iter().collect::<Vec<_>>(), ["pci:v1", "usb:v2"]);

        fs::remove_file(at("proc/modules")).unwrap();
        fs::create_dir(at("proc/modules")).unwrap();
        let error = Machine::load(root.path()).unwrap_err().to_string();
        assert!(error.contains("proc/modules cannot be read"), "{error}");
    }
}
