//! The other machine: its kernel, its /init and its boot loader, under TCG.

use std::time::Duration;

use anyhow::Result;
use harness::builder::Image;
use harness::oracle::Tool;
use harness::vm::{Accel, Arch, Attach, Firmware, Machine};

use crate::{SOON, check_status};

/// Every instruction is translated, those of the firmware too.
const BOOT: Duration = Duration::from_mins(4);

#[test]
fn boots_from_a_cdrom() -> Result<()> {
    // Its /init and its toybox were built with this.
    let Some(_) = Tool::find("aarch64-linux-gnu-gcc")? else { return Ok(()) };
    let Some(image) = Image::of("aarch64")? else { return Ok(()) };
    let machine = Machine::new(&image.iso, Attach::Cdrom).with_firmware(Firmware::Uefi);
    let guest = Machine { arch: Arch::Aarch64, ..machine }.start(Accel::Tcg)?;
    assert_eq!(guest.report("machine", BOOT)?, "aarch64");
    assert_eq!(guest.report("root", SOON)?, "rootfs");
    assert!(guest.report("pid1", SOON)?.ends_with("/toybox"), "PID 1 is not the distribution's init");
    assert_eq!(guest.report("packages", SOON)?, "first second");
    check_status(&guest)
}
