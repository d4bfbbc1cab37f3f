//! The live system: a squashfs under a writable overlay, the root switched.

use std::fs::File;

use anyhow::Result;
use harness::builder::Image;
use harness::tiny;
use harness::vm::{self, Attach, Bus, Disk, Guest, Machine};

use crate::faults::{Run, Scene};
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

#[test]
fn it_goes_on_from_memory_when_its_medium_is_pulled() -> Result<()> {
    let Some(image) = Image::of("live")? else { return Ok(()) };
    let kernel = image.kernel("console=ttyS0 live.toram")?;
    let accel = vm::accel(&kernel.vmlinuz);
    let machine = Machine::new(&image.iso, Attach::Usb).with_kernel(kernel).with_order("report-removal");
    let mut guest = Machine { cpus: 2, ..machine }.start(accel)?;
    assert_eq!(guest.report("media", BOOT)?, "0", "the medium is still mounted");
    guest.report("waiting", SOON)?;
    guest.pull()?;
    assert_eq!(guest.report("unreadable", BOOT)?, "0", "files that cannot be read any more");
    guest.passed(SOON)
}

#[test]
fn a_medium_that_is_pulled_under_its_system_is_told_of() -> Result<()> {
    let Some(image) = tiny::image("tiny")? else { return Ok(()) };
    for (policy, kernel) in [("reboot:1", "reboot: Restarting system"), ("poweroff", "reboot: Power down")] {
        let kernel_line = image.vmlinux(&format!("console=ttyS0 live.emergency={policy}"))?;
        let accel = vm::accel(&image.file("boot/vmlinuz")?);
        let machine = Machine::new(&image.iso, Attach::Usb).with_kernel(kernel_line).with_order("report-pulled");
        let mut guest = machine.start(accel)?;
        guest.report("waiting", BOOT)?;
        guest.pull()?;
        let fault = guest.expect("liveroot: E_PULLED ", SOON)?;
        assert!(fault.contains("/dev/sda was pulled"), "{fault}");
        guest.wait("the policy", SOON, |text| text.contains(kernel).then_some(()))?;
    }
    Ok(())
}

/// The kernel waits for that disk before it reboots: what is done then is done from
/// the system's root, where its /proc is.
#[test]
fn a_medium_that_is_pulled_beside_a_hung_disk_is_the_end_by_force() -> Result<()> {
    let Some(scene) = Scene::of("tiny", Run::Whole)? else { return Ok(()) };
    let hung = scene.path("hung");
    File::create(&hung)?.set_len(64 << 20)?;
    let image = &scene.image;
    let kernel = image.vmlinux("console=ttyS0 live.emergency=reboot")?;
    let machine = Machine::new(&image.iso, Attach::Usb).with_kernel(kernel).with_order("report-pulled");
    let machine = Machine { disks: vec![Disk::new(Bus::Virtio, &hung)], ..machine };
    let mut guest = machine.start(vm::accel(&image.file("boot/vmlinuz")?))?;
    guest.expect("Linux version", BOOT)?;
    guest.hang(0)?;
    // Its last word before a sync, which has no end there.
    guest.report("kept", BOOT)?;
    guest.pull()?;
    guest.expect("liveroot: E_PULLED ", SOON)?;
    guest.expect("sysrq: Resetting", BOOT)?;
    Ok(())
}

#[test]
fn a_copy_that_memory_has_no_room_for_is_refused_or_left_out() -> Result<()> {
    let Some(image) = Image::of("live")? else { return Ok(()) };
    for (asked, outcome) in [("yes", "toram: failed "), ("auto", "going on from the medium")] {
        let kernel = image.kernel(&format!("console=ttyS0 live.toram={asked}"))?;
        let accel = vm::accel(&kernel.vmlinuz);
        let machine = Machine { memory_mib: 256, ..Machine::new(&image.iso, Attach::Virtio).with_kernel(kernel) };
        let guest = machine.start(accel)?;
        let fault = guest.expect("E_NO_MEMORY needs ", BOOT)?;
        assert!(fault.contains(" MiB of memory"), "the numbers are missing: {fault}");
        guest.wait(outcome, SOON, |text| text.contains(outcome).then_some(()))?;
    }
    Ok(())
}

/// The twin: the same kernel and /init, beside a medium that is not theirs.
#[test]
fn a_medium_of_another_build_is_left_alone() -> Result<()> {
    let (Some(ram), Some(live)) = (Image::of("ram")?, Image::of("live")?) else { return Ok(()) };
    let kernel = live.kernel("console=ttyS0 live.timeout=5")?;
    let accel = vm::accel(&kernel.vmlinuz);
    let guest = Machine::new(&ram.iso, Attach::Virtio).with_kernel(kernel).start(accel)?;
    guest.expect("E_NO_MEDIUM ", BOOT)?;
    Ok(())
}
