//! The live system: a squashfs under a writable overlay, the root switched.

use anyhow::Result;
use harness::builder::Image;
use harness::vm::{self, Attach, Guest, Machine};

use crate::{BOOT, SOON, check_status};

/// What a guest whose order is "report" says of itself.
pub(crate) fn reached_its_init(guest: &Guest) -> Result<()> {
    assert_eq!(guest.report("root", BOOT)?, "overlay");
    assert!(guest.report("pid1", SOON)?.ends_with("/systemd"), "PID 1 is not systemd");
    assert_eq!(guest.report("failed", SOON)?, "", "units of the distribution failed");
    assert_eq!(guest.report("written", SOON)?, "hello");
    // Refused to processes in a chroot: the root must have been switched for real.
    assert_eq!(guest.report("unshare", SOON)?, "0");
    check_status(guest)
}

/// The twin: the same kernel and /init, beside a medium that is not theirs.
#[test]
fn a_medium_of_another_build_is_left_alone() -> Result<()> {
    let (Some(ram), Some(live)) = (Image::of("ram")?, Image::of("live")?) else { return Ok(()) };
    let kernel = live.kernel("console=ttyS0 live.timeout=5")?;
    let accel = vm::accel(&kernel.vmlinuz);
    let guest = Machine::new(&ram.iso, Attach::Virtio).with_kernel(kernel).start(accel)?;
    guest.console.expect("E_NO_MEDIUM ", BOOT)?;
    Ok(())
}
