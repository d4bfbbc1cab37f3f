//! The tray of an optical drive.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;

use nix::fcntl::OFlag;

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
        let path = format!("/dev/{name}");
        let drive = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path);
        // Who sees it closed knows as much as a message could say.
        let _ = drive.map(|drive| sys::cdrom_eject(&drive));
        0
    };
    if let Err(e) = sys::fork(open) {
        warn!("the tray stays closed: {}", e.desc());
    }
}
