//! The tray of an optical drive.

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use crate::log::{info, warn};
use crate::sys;

/// Opens it from a process of its own: motors take their time, and the boot
/// has none to give. What is no optical drive has no tray.
pub(crate) fn eject(name: &str) {
    if !name.starts_with("sr") {
        return;
    }
    info!("opening the tray of /dev/{name}");
    let open = || {
        // Who sees it closed knows as much as a message could say.
        let _ = open_tray(name);
        0
    };
    if let Err(e) = sys::fork(open) {
        warn!("the tray stays closed: {}", e.desc());
    }
}

/// Nothing, where there is none.
pub(crate) fn open_tray(name: &str) -> nix::Result<()> {
    if !name.starts_with("sr") {
        return Ok(());
    }
    let path = ["/dev/", name].concat();
    let drive = open(path.as_str(), OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC, Mode::empty())?.into();
    match sys::cdrom_eject(&drive) {
        // Somebody's root: the kernel keeps the tray closed, and the drive does as it is told.
        Err(Errno::EBUSY) => sys::scsi_eject(&drive),
        done => done,
    }
}
