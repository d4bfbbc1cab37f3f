//! The RAM system: packages over rootfs, no switch_root, the medium free.

use anyhow::Result;
use harness::builder::Image;
use harness::vm::{Attach, Firmware, Guest};

use crate::{BOOT, SOON, check_status, start, start_with};

macro_rules! rows {
    ($($name:ident: $attach:expr;)*) => {$(
        #[test]
        fn $name() -> Result<()> {
            is_not_taken_for_another($attach)
        }
    )*};
}

rows! {
    a_cdrom_with_another_label_is_left_alone: Attach::Cdrom;
    a_virtio_disk_with_another_label_is_left_alone: Attach::Virtio;
    a_usb_stick_with_another_label_is_left_alone: Attach::Usb;
}

/// What a guest whose order is "report" says of itself.
pub(crate) fn reached_its_init(guest: &Guest) -> Result<()> {
    assert_eq!(guest.report("root", BOOT)?, "rootfs", "something was mounted over the kernel's own root");
    assert_eq!(guest.report("media", SOON)?, "0", "the medium is still mounted");
    // TMPFS_MAGIC of linux/magic.h: a ramfs would have no size limit.
    assert_eq!(guest.report("magic", SOON)?, "1021994");
    assert!(guest.report("pid1", SOON)?.ends_with("/toybox"), "PID 1 is not the distribution's init");
    // A switch_root deletes the initramfs that it came from.
    assert_eq!(guest.report("first-program", SOON)?, "/init");
    assert_eq!(guest.report("packages", SOON)?, "first second");
    assert_eq!(guest.report("last", SOON)?, "second", "packages are extracted in the manifest's order");
    check_status(guest)
}

fn is_not_taken_for_another(attach: Attach) -> Result<()> {
    let Some(image) = Image::of("ram")? else { return Ok(()) };
    let guest = start_with(&image, attach, "console=ttyS0 live.medium=LABEL=NOPE live.timeout=5")?;
    let fault = guest.expect("E_NO_MEDIUM ", BOOT)?;
    assert!(fault.contains("NOPE"), "the fault does not say what was looked for: {fault}");
    guest.expect("Devices:", SOON)?;
    let device = match attach {
        Attach::Cdrom => "sr0",
        Attach::Virtio => "vda",
        Attach::Usb | Attach::UsbLater | Attach::Absent => "sda",
    };
    guest.wait("the rescue screen to name the device", SOON, |text| {
        let screen = &text[text.find("Devices:")?..];
        screen.lines().find(|line| line.contains(device) && line.contains("TEST_RAM")).map(drop)
    })?;
    Ok(())
}

#[test]
fn it_lives_on_a_tmpfs_where_that_was_asked_for() -> Result<()> {
    let Some(image) = Image::of("ram")? else { return Ok(()) };
    let mut guest = start_with(&image, Attach::Virtio, "console=ttyS0 panic=-1 live.ram=tmpfs")?;
    assert_eq!(guest.report("root", BOOT)?, "tmpfs");
    assert_eq!(guest.report("media", SOON)?, "0", "the medium is still mounted");
    assert_eq!(guest.report("first-program", SOON)?, "", "the initramfs is still there");
    assert_eq!(guest.report("user-namespace", SOON)?, "yes");
    assert_eq!(guest.report("packages", SOON)?, "first second");
    check_status(&guest)?;
    guest.passed(SOON)
}

#[test]
fn the_system_goes_on_when_its_medium_is_pulled() -> Result<()> {
    let Some(image) = Image::of("ram")? else { return Ok(()) };
    let mut guest = start(&image, Firmware::Bios, Attach::Usb, "report-removal")?;
    guest.report("waiting", BOOT)?;
    guest.pull()?;
    assert_eq!(guest.report("unreadable", BOOT)?, "0", "files that cannot be read any more");
    guest.passed(SOON)
}
