//! What a system in memory keeps: files of a list, packed onto a partition when
//! it is asked for, and laid over the packages at the next boot.
//!
//! A save is a tar archive under gzip, whose check sum tells a whole one from one
//! that was cut. The one before it stays beside it, for when it was.

mod list;
mod pack;
pub mod program;
mod store;

use std::fs::{self, File};
use std::io;
use std::path::Path;

use nix::mount::MsFlags;

use crate::cmdline::{Cmdline, RamRoot};
use crate::contract::{initramfs, params, run, system};
use crate::devices::Devices;
use crate::early::make_dir;
use crate::identity::{Change, write};
use crate::log::info;
use crate::medium::Medium;
use crate::memory;
use crate::mounts::Mounted;
use crate::persist;
use crate::ram;
use crate::status::Status;
use crate::superblock::Fs;
use crate::unpack::{self, Limits};

/// Where saves are, and when they are made: a text for the program that makes them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// With its /dev.
    device: String,
    fs: String,
    /// Relative to the root of the partition.
    dir: String,
    at_shutdown: bool,
}

/// A place that was asked for, with what is there to be read.
#[derive(Debug)]
pub(crate) struct Saves {
    place: Place,
    mounted: Mounted,
}

/// None where it was not asked for, or cannot be: the boot goes on and says so.
pub(crate) fn open(medium: &Medium, cmdline: &Cmdline, devices: &mut Devices, status: &mut Status) -> Option<Saves> {
    if !cmdline.save.asked {
        return None;
    }
    match find(medium, cmdline, devices) {
        Ok(saves) => Some(saves),
        Err(why) => {
            status.degrade(format!("{}: {why}; NOTHING IS SAVED, and nothing that was is here", params::SAVE));
            None
        }
    }
}

fn find(medium: &Medium, cmdline: &Cmdline, devices: &mut Devices) -> Result<Saves, String> {
    let named = cmdline.save.on.as_ref();
    // Without a partition for it, beside what the medium's own has.
    let own = |devices: &Devices| devices.disks.iter().position(|disk| disk.name == medium.device);
    let at = persist::wait(&medium.device, named, cmdline.timeout, devices)
        .or_else(|| own(devices).filter(|_| named.is_none()));
    let disk = at.map(|at| &devices.disks[at]).ok_or_else(|| persist::nowhere(named))?;
    let device = format!("/dev/{}", disk.name);
    let fs = disk.found().map(|found| found.fs).filter(|fs| can_be_written(*fs));
    let fs = fs.ok_or_else(|| format!("{device} has no file system that can be written to"))?;
    devices.need(&[&[fs.kmod_alias()], fs.helpers()].concat());
    make_dir(run::SAVED);
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    // With its journal: a save that the power was cut behind may be in there.
    let mounted = Mounted::new(&device, run::SAVED, fs.name(), flags, "")?;
    let (dir, at_shutdown) = (cmdline.save.dir.clone(), cmdline.save.at_shutdown);
    Ok(Saves { place: Place { device, fs: fs.name().into(), dir, at_shutdown }, mounted })
}

fn can_be_written(fs: Fs) -> bool {
    use Fs::{Btrfs, Exfat, Ext2, Ext3, Ext4, F2fs, Vfat, Xfs};
    matches!(fs, Vfat | Exfat | Ext2 | Ext3 | Ext4 | Xfs | Btrfs | F2fs)
}

impl Saves {
    /// Lays the last whole save over `root`, and leaves there what makes the next one.
    pub(crate) fn restore(self, root: &Path, cmdline: &Cmdline, status: &mut Status) {
        let (newest, notes) = store::newest(&Path::new(run::SAVED).join(&self.place.dir));
        for note in notes {
            status.degrade(note);
        }
        if let Some(path) = newest {
            let room = ram::room(root).or_else(memory::available).unwrap_or(0);
            let limits = Limits { unpacked: room, privileged: false };
            let laid = File::open(&path).map_err(|e| e.to_string());
            match laid.and_then(|file| unpack::package(file, root, &limits).map_err(|e| e.to_string())) {
                Ok(summary) => info!("{}: {} entries are back", path.display(), summary.entries),
                Err(why) => status.degrade(format!("{}: {why}; the rest of it is not here", path.display())),
            }
        }
        drop(self.mounted);
        if let Err(why) = leave(&self.place, root, cmdline.ram) {
            status.degrade(format!("{}: {why}; nothing can be saved", system::SAVE_PROGRAM));
        }
    }
}

/// The program, which is /init itself, and its text.
fn leave(place: &Place, root: &Path, ram: RamRoot) -> Result<(), String> {
    let told = |path: &'static str| move |e: io::Error| format!("{path}: {e}");
    fs::write(run::SAVE, place.print()).map_err(told(run::SAVE))?;
    let target = match ram {
        RamRoot::Rootfs => initramfs::INIT,
        RamRoot::Tmpfs => {
            fs::copy(initramfs::INIT, run::SAVE_PROGRAM).map_err(told(run::SAVE_PROGRAM))?;
            run::SAVE_PROGRAM
        }
    };
    write::write(root, &Change::Link { path: system::SAVE_PROGRAM.into(), target: target.into() })
}

impl Place {
    fn print(&self) -> String {
        let Self { device, fs, dir, at_shutdown } = self;
        format!("{device}\n{fs}\n{dir}\n{at_shutdown}\n")
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines().map(str::to_owned);
        let (device, fs, dir) = (lines.next()?, lines.next()?, lines.next()?);
        Some(Self { device, fs, dir, at_shutdown: lines.next()?.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_comes_back_as_it_was() {
        let place = Place { device: "/dev/sda3".into(), fs: "vfat".into(), dir: "a b/c".into(), at_shutdown: true };
        assert_eq!(Place::parse(&place.print()), Some(place));
        assert_eq!(Place::parse("/dev/sda3\nvfat\nlive\n"), None);
    }
}
