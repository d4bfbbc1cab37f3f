//! An ISO file on a partition: what the menu of a multi-boot stick starts.

use std::fs::File;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::mount::MsFlags;
use nix::sys::stat::Mode;

use super::spec::inside;
use super::{Spec, cut_short};
use crate::contract::run;
use crate::devices::Devices;
use crate::fault::{Code, Fault};
use crate::loopdev;
use crate::mounts::Mounted;
use crate::superblock::{self, Fs};

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct IsoFile {
    /// Relative to the root of the partition it is on.
    pub path: String,
    /// Where that partition is; empty: wherever the file is.
    pub holders: Vec<Spec>,
}

impl IsoFile {
    /// `/path`, or `/dev/sda1/path` as live-boot takes it.
    pub(crate) fn set_path(&mut self, value: &str) -> Option<()> {
        let (device, path) = match value.strip_prefix("/dev/") {
            Some(rest) => rest.split_once('/').map(|(device, path)| (Some(device), path))?,
            None => (None, value),
        };
        self.path = inside(path).filter(|path| !path.is_empty())?;
        if let Some(device) = device {
            self.holders = vec![Spec::Device(device.into())];
        }
        Some(())
    }
}

/// Mounts the medium that is in the file, on whose partition is mounted already.
pub(super) fn mount(devices: &mut Devices, device: &str, path: &str) -> Result<Mounted, Fault> {
    let failed = |why: String| Fault::new(Code::Mount, format!("{device}: {why}"));
    let file =
        open_below(Path::new(run::HOLDER), path).map_err(|e| failed(format!("it has no /{path} ({})", e.desc())))?;
    let size = file.metadata().map_err(|e| failed(format!("/{path}: {e}")))?.len();
    match superblock::probe(&file, size) {
        Ok(Some(found)) if found.len > size => {
            return Err(cut_short(&format!("/{path} on {device}"), size, found.len));
        }
        Ok(Some(found)) if found.fs == Fs::Iso9660 => {}
        Ok(_) => return Err(failed(format!("/{path} is not an ISO 9660 image"))),
        Err(e) => return Err(failed(format!("/{path} cannot be read: {e}"))),
    }
    devices.need(&["loop", Fs::Iso9660.kmod_alias()]);
    let bound = loopdev::bind_file(&file, path.as_bytes()).map_err(|why| failed(format!("/{path}: {why}")))?;
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    Mounted::new(&bound.path, run::MEDIUM, Fs::Iso9660.name(), flags, "").map_err(failed)
}

/// Whether it is there is asked in the same way for `FILE=`.
pub(super) fn open_below(root: &Path, path: &str) -> nix::Result<File> {
    let root = open(root, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    // An absolute symlink on the partition means that partition's root, not /init's.
    let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let opened = match openat2(&root, path.as_bytes(), how) {
        // Linux before 5.6: such a symlink leads nowhere there.
        Err(Errno::ENOSYS) => nix::fcntl::openat(&root, path.as_bytes(), flags, Mode::empty()),
        opened => opened,
    };
    opened.map(File::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_may_begin_with_its_device() {
        let read = |value: &str| {
            let mut iso = IsoFile::default();
            iso.set_path(value).map(|()| (iso.path, iso.holders))
        };
        assert_eq!(read("/isos/x.iso"), Some(("isos/x.iso".into(), vec![])));
        let device = vec![Spec::Device("sda1".into())];
        assert_eq!(read("/dev/sda1/isos/x.iso"), Some(("isos/x.iso".into(), device)));
        for bad in ["", "/", "/../x.iso", "/dev/sda1", "/dev/sda1/"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_absolute_symlink_stays_on_its_partition() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("real"), "x").unwrap();
        std::os::unix::fs::symlink("/real", dir.path().join("link")).unwrap();
        assert!(open_below(dir.path(), "link").is_ok());
        assert_eq!(open_below(dir.path(), "none").unwrap_err(), Errno::ENOENT);
    }
}
