//! Devices that never answer, that come late, that are many.

use std::fs::File;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::vm::{Bus, Content, Disk, Guest};

use super::{Run, Scene, WAITED, stopped, tell};
use crate::waiting::{stamp, taken_after_its_node};
use crate::{BOOT, SOON};

#[test]
fn a_hung_stick_is_told_of_at_the_deadline() -> Result<()> {
    hung_alone("a_hung_stick_is_told_of_at_the_deadline", Bus::Usb)
}

#[test]
fn a_hung_disk_is_told_of_at_the_deadline() -> Result<()> {
    hung_alone("a_hung_disk_is_told_of_at_the_deadline", Bus::Virtio)
}

#[test]
fn a_hung_stick_is_not_in_the_way_of_a_disk() -> Result<()> {
    hung_beside("a_hung_stick_is_not_in_the_way_of_a_disk", Bus::Usb, Bus::Virtio)
}

#[test]
fn a_hung_disk_is_not_in_the_way_of_a_disc() -> Result<()> {
    hung_beside("a_hung_disk_is_not_in_the_way_of_a_disc", Bus::Virtio, Bus::Cdrom)
}

/// It hangs before the kernel looks for its devices, and not before: firmware
/// would wait for it for ever.
fn start_with_hung(scene: &Scene, hung: Bus, mut disks: Vec<Disk>, cmdline: &str) -> Result<Guest> {
    let nothing = scene.path("nothing");
    File::create(&nothing)?.set_len(64 << 20)?;
    disks.insert(0, Disk::new(hung, &nothing));
    let mut guest = scene.start(disks, cmdline, 512)?;
    guest.expect("Linux version", BOOT)?;
    guest.hang(0)?;
    Ok(guest)
}

fn hung_alone(name: &str, hung: Bus) -> Result<()> {
    let Some(scene) = Scene::of("tiny", Run::Always)? else { return Ok(()) };
    let begun = Instant::now();
    let guest = start_with_hung(&scene, hung, vec![], "live.timeout=5")?;
    let (after, policy) = stopped(&guest, "E_TIMEOUT", &["does not answer"])?;
    ensure!((4.0..=10.0).contains(&after), "the deadline was 5 s, and it came after {after:.1} s");
    tell(name, &format!("E_TIMEOUT after {after:.1} s, then {policy}"), begun)
}

fn hung_beside(name: &str, hung: Bus, medium: Bus) -> Result<()> {
    let Some(scene) = Scene::of("tiny", Run::Always)? else { return Ok(()) };
    let begun = Instant::now();
    let guest = start_with_hung(&scene, hung, vec![scene.whole(medium)], "")?;
    guest.report("root", BOOT)?;
    tell(name, "boots", begun)
}

/// The right disc is known by its boot-id: the wrong one has the same label.
#[test]
fn a_disc_is_noticed_in_a_tray_that_was_empty_and_another_in_its_place() -> Result<()> {
    let Some(scene) = Scene::of("tiny", Run::Always)? else { return Ok(()) };
    let begun = Instant::now();
    let wrong = scene.edited(b"TEST_TINY", false, |_| Ok(()))?;
    let Content::File(wrong) = &wrong[0].content else { unreachable!("it is one") };
    let manifest = std::fs::read_to_string(scene.image.file("live/manifest")?)?;
    let id = manifest.lines().find_map(|line| line.strip_prefix("boot-id ")).context("a manifest without a boot-id")?;
    let tray = Disk { bus: Bus::Cdrom, content: Content::Empty };
    let cmdline = format!("live.medium=ID={id} live.timeout=0 live.log=debug");
    let mut guest = scene.start(vec![tray], &cmdline, 512)?;
    guest.expect("liveroot: sr0: Probed { finding: Empty", WAITED)?;
    guest.insert(0, wrong)?;
    guest.expect("liveroot: sr0: Probed { finding: Found(", WAITED)?;
    guest.insert(0, &scene.image.iso)?;
    let medium = guest.expect("liveroot: medium: /dev/", WAITED)?;
    ensure!(medium.starts_with("sr0 "), "{medium}");
    guest.report("root", BOOT)?;
    guest.passed(SOON)?;
    tell("a_disc_is_noticed_in_a_tray_that_was_empty_and_another_in_its_place", "boots", begun)
}

/// Until then the prompt says all there is to say about why there is none.
#[test]
fn a_stick_that_is_plugged_in_at_the_prompt_boots_on_retry() -> Result<()> {
    let Some(scene) = Scene::of("tiny", Run::Always)? else { return Ok(()) };
    let begun = Instant::now();
    let mut disks = scene.edited(b"TEST_TINY", false, |_| Ok(()))?;
    disks.push(Disk::new(Bus::Unserved, &scene.image.iso));
    let cmdline = "live.timeout=5 live.medium=LABEL=test_tiny,removable live.emergency=shell";
    let mut guest = scene.start_late_beside(disks, cmdline)?;
    let screen = guest.wait("the prompt", BOOT, |text| Some(text.split_once("liveroot> ")?.0.to_owned()))?;
    for word in [
        "E_NO_MEDIUM no medium with LABEL=test_tiny or removable within 5 s",
        "/dev/vda has the label TEST_TINY; to take it, boot with live.medium=/dev/",
        "no kmod in this image for pci:v00001000d00000012",
    ] {
        ensure!(screen.contains(word), "`{word}` is not in {screen}");
    }
    guest.plug()?;
    guest.expect("[sda] Attached SCSI", BOOT)?;
    guest.type_line("retry")?;
    guest.report("root", BOOT)?;
    guest.passed(SOON)?;
    tell("a_stick_that_is_plugged_in_at_the_prompt_boots_on_retry", "boots", begun)
}

macro_rules! late {
    ($($name:ident: $run:ident, $seconds:literal;)*) => {$(
        #[test]
        fn $name() -> Result<()> {
            late(stringify!($name), Run::$run, $seconds)
        }
    )*};
}

late! {
    a_stick_at_once_is_taken_at_once: Whole, 0;
    a_stick_after_a_second_is_taken_at_once: Whole, 1;
    a_stick_after_five_seconds_is_taken_at_once: Always, 5;
    a_stick_after_fifteen_seconds_is_taken_at_once: Whole, 15;
    a_stick_after_twenty_nine_seconds_is_taken_at_once: Whole, 29;
}

fn late(name: &str, run: Run, seconds: u64) -> Result<()> {
    let Some(scene) = Scene::of("tiny", run)? else { return Ok(()) };
    let begun = Instant::now();
    let mut guest = scene.start_late("live.timeout=40")?;
    let taken = taken_after_its_node(&mut guest, Duration::from_secs(seconds))?;
    ensure!(taken <= 0.5, "the medium was mounted {taken:.2} s after its node was there");
    guest.report("root", BOOT)?;
    guest.passed(SOON)?;
    tell(name, &format!("mounted {taken:.2} s after its node"), begun)
}

#[test]
fn twenty_disks_of_junk_are_not_in_the_way() -> Result<()> {
    let Some(scene) = Scene::of("tiny", Run::Always)? else { return Ok(()) };
    let begun = Instant::now();
    let junk = scene.path("junk");
    // What no file system's magic is in.
    std::fs::write(&junk, vec![0x5a; 4 << 20])?;
    let after_its_node = |count| {
        let mut disks: Vec<Disk> = (1..count).map(|_| Disk::new(Bus::Virtio, &junk)).collect();
        disks.push(scene.whole(Bus::Virtio));
        let mut guest = scene.start(disks, "", 512)?;
        guest.report("root", BOOT)?;
        guest.passed(SOON)?;
        let log = guest.console.text();
        let medium = guest.expect("liveroot: medium: /dev/", SOON)?;
        let disk: String = medium.chars().take_while(char::is_ascii_lowercase).collect();
        Ok::<_, anyhow::Error>(stamp(&log, "liveroot: medium: /dev/")? - stamp(&log, &format!("[{disk}] "))?)
    };
    let (alone, among) = (after_its_node(1)?, after_its_node(20)?);
    ensure!(among <= alone + 0.5, "with one disk {alone:.2} s after its node, with twenty {among:.2} s");
    let found = format!("found {alone:.2} s after its node alone, {among:.2} s among 20");
    tell("twenty_disks_of_junk_are_not_in_the_way", &found, begun)
}
