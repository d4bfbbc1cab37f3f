//! Media that give an error where they should give bytes, or give them slowly.

use anyhow::Result;
use harness::vm::{Bus, Content, Disk};

use super::{Run, Scene, rows};
use crate::{BOOT, SOON};

const ROOT: &str = "live/root.squashfs";
const PACKAGE: &str = "live/packages/01-base.tar.xz";
const NUMBERS: &[&str] = &["/dev/", "LBA ", "of root.squashfs", "3 more tries"];

rows! {
    one_read_error_of_the_manifest_is_nothing: Whole, "tiny", |s| s.unreadable(Bus::Virtio, "live/manifest", 0, Some(1)), "" => Booting(&[]);
    three_read_errors_of_the_manifest_are_nothing: Always, "tiny", |s| s.unreadable(Bus::Virtio, "live/manifest", 0, Some(3)), "" => Booting(&["reading it again"]);
    an_unreadable_manifest_is_named: Always, "tiny", |s| s.unreadable(Bus::Virtio, "live/manifest", 0, None), ""
        => In("E_READ", &["/dev/vda", "LBA ", "of manifest"]);
    two_read_errors_of_a_layer_that_is_checked_are_nothing: Whole, "tiny", |s| s.unreadable(Bus::Virtio, ROOT, 550, Some(2)), "live.check=full" => Booting(&[]);
    an_unreadable_layer_is_named_when_it_is_checked: Always, "tiny", |s| s.unreadable(Bus::Virtio, ROOT, 550, None), "live.check=full" => In("E_READ", NUMBERS);
    an_unreadable_layer_is_named_when_it_is_copied: Whole, "tiny", |s| s.unreadable(Bus::Virtio, ROOT, 1000, None), "live.toram" => In("E_READ", NUMBERS);
    an_unreadable_head_of_a_layer_is_named_when_it_is_mounted: Always, "tiny", |s| s.unreadable(Bus::Virtio, ROOT, 0, None), "" => In("E_READ", NUMBERS);
    an_unreadable_disc_is_named_like_a_disk: Whole, "tiny", |s| s.unreadable(Bus::Cdrom, ROOT, 550, None), "live.check=full live.timeout=30" => In("E_READ", &["/dev/sr0", "LBA "]);
    an_unreadable_stick_is_named_like_a_disk: Whole, "tiny", |s| s.unreadable(Bus::Usb, ROOT, 550, None), "live.check=full live.timeout=30" => In("E_READ", &["/dev/sda", "LBA "]);
    two_read_errors_of_a_package_are_nothing: Whole, "ram", |s| s.unreadable(Bus::Virtio, PACKAGE, 100, Some(2)), "" => Booting(&[]);
    an_unreadable_package_is_named: Always, "ram", |s| s.unreadable(Bus::Virtio, PACKAGE, 100, None), ""
        => In("E_READ", &["LBA ", "of packages/01-base.tar.xz"]);
    a_slow_medium_is_waited_for: Always, "tiny", |s| {
        Ok(vec![slow(s, 2 << 20)])
    }, "live.toram" => Booting(&["copying to memory: "]);
}

#[test]
fn a_check_that_takes_long_is_skipped_by_enter() -> Result<()> {
    let Some(scene) = Scene::of("tiny", Run::Always)? else { return Ok(()) };
    let mut guest = scene.start(vec![slow(&scene, 1 << 19)], "live.check=full", 512)?;
    guest.expect("liveroot: checking root.squashfs: ", BOOT)?;
    guest.type_line("")?;
    guest.expect("somebody skipped the check of the medium", SOON)?;
    guest.report("root", BOOT)?;
    guest.passed(SOON)
}

#[test]
fn a_check_that_cannot_read_all_is_gone_on_from_when_somebody_says_so() -> Result<()> {
    let Some(scene) = Scene::of("tiny", Run::Whole)? else { return Ok(()) };
    let disks = scene.unreadable(Bus::Virtio, ROOT, 1000, None)?;
    let mut guest = scene.start(disks, "live.check=full live.emergency=shell", 512)?;
    guest.wait("the prompt", BOOT, |text| text.contains("liveroot> ").then_some(()))?;
    guest.type_line("continue")?;
    guest.expect("going on with a medium that failed its check", SOON)?;
    guest.report("root", BOOT)?;
    guest.passed(SOON)
}

fn slow(scene: &Scene, bytes_per_second: u64) -> Disk {
    Disk { bus: Bus::Usb, content: Content::Slow { file: scene.image.iso.clone(), bytes_per_second } }
}
