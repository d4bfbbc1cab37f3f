//! The live system: a squashfs under a writable overlay, the root switched.

use anyhow::Result;
use harness::builder::Image;
use harness::vm::{self, Attach, Machine};

use crate::{BOOT, SOON, check_status, start};

macro_rules! rows {
    ($($name:ident: $attach:expr;)*) => {$(
        #[test]
        fn $name() -> Result<()> {
            reaches_its_init($attach)
        }
    )*};
}

rows! {
    boots_from_a_cdrom: Attach::Cdrom;
    boots_from_a_virtio_disk: Attach::Virtio;
    boots_from_a_usb_stick: Attach::Usb;
}

fn reaches_its_init(attach: Attach) -> Result<()> {
    let Some(image) = Image::of("live")? else { return Ok(()) };
    let mut guest = start(&image, attach, "report")?;
    assert_eq!(guest.report("root", BOOT)?, "overlay");
    assert!(guest.report("pid1", SOON)?.ends_with("/systemd"), "PID 1 is not systemd");
    assert_eq!(guest.report("failed", SOON)?, "", "units of the distribution failed");
    assert_eq!(guest.report("written", SOON)?, "hello");
    // Refused to processes in a chroot: the root must have been switched for real.
    assert_eq!(guest.report("unshare", SOON)?, "0");
    check_status(&guest)?;
    guest.passed(SOON)
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
