//! Changes that are kept: written in one boot, and there in the next.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use harness::builder::{liveroot, succeed};
use harness::oracle::Tool;
use harness::vm::{Bus, Content, Disk};

use crate::faults::{Run, Scene, other_root};
use crate::{BOOT, SOON};

/// Boots with these disks; gives what an earlier boot kept.
fn kept(scene: &Scene, disks: Vec<Disk>, cmdline: &str) -> Result<String> {
    let mut guest = scene.start(disks, cmdline, 512)?;
    let kept = guest.report("kept", BOOT)?;
    guest.passed(SOON)?;
    Ok(kept)
}

pub(crate) fn writable(bus: Bus, file: &Path) -> Disk {
    Disk { bus, content: Content::Kept(file.into()) }
}

/// A disk with ext4 on all of it.
pub(crate) fn ext4(path: PathBuf, label: &str) -> Result<Option<PathBuf>> {
    let Some(mke2fs) = Tool::find("mke2fs")? else { return Ok(None) };
    File::create(&path)?.set_len(64 << 20)?;
    succeed(mke2fs.command().args(["-q", "-t", "ext4", "-L", label]).arg(&path))?;
    Ok(Some(path))
}

#[test]
fn the_partition_that_write_makes_keeps_changes() -> Result<()> {
    let Some(scene) = Scene::of("tiny", Run::Always)? else { return Ok(()) };
    let (Some(liveroot), Some(mke2fs)) = (liveroot()?, Tool::find("mke2fs")?) else { return Ok(()) };
    let stick = scene.path("stick.img");
    File::create(&stick)?.set_len(128 << 20)?;
    succeed(Command::new(liveroot).arg("write").arg(&scene.image.iso).arg(&stick).args([
        "--yes",
        "--persist",
        "rest",
    ]))?;
    let (start, len) = partition(&stick, "live-persist")?;
    let offset = format!("offset={start}");
    succeed(
        mke2fs.command().args(["-q", "-F", "-t", "ext4", "-E", &offset]).arg(&stick).arg(format!("{}k", len >> 10)),
    )?;

    let boot = |cmdline: &str| kept(&scene, vec![writable(Bus::Usb, &stick)], cmdline);
    assert_eq!(boot("live.persist")?, "", "nothing was kept yet");
    assert_eq!(boot("live.persist=required")?, "hello");
    assert_eq!(boot("")?, "", "it was not asked for");
    assert_eq!(boot("live.persist live.persist.reset")?, "", "it was set aside");
    Ok(())
}

#[test]
fn what_was_kept_is_of_one_root_and_can_be_read_only() -> Result<()> {
    let Some(scene) = Scene::of("tiny", Run::Always)? else { return Ok(()) };
    let Some(disk) = ext4(scene.path("disk.img"), "keep")? else { return Ok(()) };
    let asked = "live.persist=LABEL=keep:/state";
    let with = |medium: Disk| vec![medium, writable(Bus::Virtio, &disk)];
    assert_eq!(kept(&scene, with(scene.whole(Bus::Virtio)), asked)?, "");
    assert_eq!(kept(&scene, with(scene.whole(Bus::Virtio)), &format!("{asked} live.persist.ro"))?, "hello");
    // Another root, over which it was not kept.
    let mut guest = scene.start(
        with(other_root(&scene, |root| Ok(fs::write(root.join("changed"), "x")?))?.remove(0)),
        asked,
        512,
    )?;
    guest.expect("was kept over another root", BOOT)?;
    assert_eq!(guest.report("kept", BOOT)?, "");
    guest.passed(SOON)
}

#[test]
fn a_file_on_a_partition_of_another_system_keeps_changes() -> Result<()> {
    let Some(scene) = Scene::of("tiny", Run::Whole)? else { return Ok(()) };
    let (Some(mkfs), Some(mcopy)) = (Tool::find("mkfs.vfat")?, Tool::find("mcopy")?) else { return Ok(()) };
    let Some(image) = ext4(scene.path("image"), "")? else { return Ok(()) };
    let disk = fat(&scene, &mkfs, &mcopy, &image)?;
    let boot = || kept(&scene, vec![scene.whole(Bus::Virtio), writable(Bus::Virtio, &disk)], WINDOWS);
    assert_eq!(boot()?, "");
    assert_eq!(boot()?, "hello");
    Ok(())
}

#[test]
fn a_file_system_with_errors_is_mended_before_changes_are_kept_on_it() -> Result<()> {
    let Some((scene, disk)) = with_errors(&[])? else { return Ok(()) };
    let mut guest = scene.start(vec![scene.whole(Bus::Virtio), writable(Bus::Virtio, &disk)], NAMED, 512)?;
    guest.expect("keep contains a file system with errors, check forced", BOOT)?;
    guest.expect(" had errors that fsck.ext4 has mended", BOOT)?;
    guest.report("root", BOOT)?;
    guest.passed(SOON)?;
    assert_eq!(state(&disk)?, "clean");
    assert_eq!(kept(&scene, vec![scene.whole(Bus::Virtio), writable(Bus::Virtio, &disk)], NAMED)?, "hello");
    Ok(())
}

/// The kernel would mount it: what is wrong is in a directory that it does not read.
#[test]
fn one_that_only_a_person_can_mend_is_not_written_to() -> Result<()> {
    let Some((scene, disk)) = with_errors(&["set_inode_field lost+found mode 0"])? else { return Ok(()) };
    let disks = || vec![scene.whole(Bus::Virtio), writable(Bus::Virtio, &disk)];
    let mut guest = scene.start(disks(), NAMED, 512)?;
    let told = guest.expect("liveroot: E_PERSIST /dev/vd", BOOT)?;
    for word in ["fsck.ext4 -p: it ended with 4", "` by hand asks", "NOTHING WILL BE KEPT"] {
        ensure!(told.contains(word), "`{word}` is not in {told}");
    }
    assert_eq!(guest.report("kept", BOOT)?, "");
    guest.passed(SOON)?;
    assert_eq!(state(&disk)?, "not clean with errors");
    // What was kept can still be used, and is not checked for that.
    let guest = scene.start(disks(), &format!("{NAMED} live.persist.ro"), 512)?;
    let told = guest.expect("liveroot: E_PERSIST ", BOOT)?;
    ensure!(!guest.console.text().contains("is checked"), "{told}");
    Ok(())
}

/// A stick that was pulled, and a file on it: each is checked by its own program.
#[test]
fn a_file_and_its_stick_are_both_mended() -> Result<()> {
    let Some((scene, image)) = with_errors(&[])? else { return Ok(()) };
    let (Some(mkfs), Some(mcopy)) = (Tool::find("mkfs.vfat")?, Tool::find("mcopy")?) else { return Ok(()) };
    let disk = fat(&scene, &mkfs, &mcopy, &image)?;
    // The reserved byte behind the drive number, where Windows NT and Linux have a bit
    // for "not unmounted".
    File::options().write(true).open(&disk)?.write_all_at(&[1], 0x25)?;
    let disks = || vec![scene.whole(Bus::Virtio), writable(Bus::Virtio, &disk)];
    let mut guest = scene.start(disks(), WINDOWS, 512)?;
    guest.expect(" had errors that fsck.vfat has mended", BOOT)?;
    guest.expect(" had errors that fsck.ext4 has mended", BOOT)?;
    assert_eq!(guest.report("kept", BOOT)?, "");
    guest.passed(SOON)?;
    assert_eq!(kept(&scene, disks(), WINDOWS)?, "hello");
    Ok(())
}

const WINDOWS: &str = "live.persist=LABEL=WINDOWS";

/// A disk of another system, with that file for what is kept.
fn fat(scene: &Scene, mkfs: &Tool, mcopy: &Tool, image: &Path) -> Result<PathBuf> {
    let disk = scene.path("fat.img");
    File::create(&disk)?.set_len(96 << 20)?;
    succeed(mkfs.command().args(["-F", "16", "-n", "WINDOWS"]).arg(&disk))?;
    succeed(mcopy.command().arg("-i").arg(&disk).arg(image).arg("::live-persist.img"))?;
    Ok(disk)
}

const NAMED: &str = "live.persist=LABEL=keep";

/// A disk that says it has errors, and has those that debugfs is told to make.
fn with_errors(made: &[&str]) -> Result<Option<(Scene, PathBuf)>> {
    if Tool::find("fsck.ext4")?.is_none() {
        return Ok(None);
    }
    let (Some(scene), Some(debugfs)) = (Scene::of("fsck", Run::Always)?, Tool::find("debugfs")?) else {
        return Ok(None);
    };
    let Some(disk) = ext4(scene.path("disk.img"), "keep")? else { return Ok(None) };
    for request in made.iter().chain(&["set_super_value state 2"]) {
        succeed(debugfs.command().args(["-w", "-R", request]).arg(&disk))?;
    }
    assert_eq!(state(&disk)?, "not clean with errors");
    Ok(Some((scene, disk)))
}

fn state(disk: &Path) -> Result<String> {
    let dumpe2fs = Tool::find("dumpe2fs")?.context("dumpe2fs stands beside debugfs")?;
    let header = dumpe2fs.output(&["-h"], disk)?;
    let state = header.lines().find_map(|line| line.strip_prefix("Filesystem state:"));
    Ok(state.context("a state")?.trim().into())
}

#[test]
fn without_a_place_the_boot_goes_on_or_stops_as_asked() -> Result<()> {
    let Some(scene) = Scene::of("tiny", Run::Always)? else { return Ok(()) };
    let guest = scene.start(vec![scene.whole(Bus::Virtio)], "live.persist=required", 512)?;
    let fault = guest.expect("liveroot: E_PERSIST ", BOOT)?;
    ensure!(fault.contains("live-persist"), "{fault}");
    drop(guest);
    let mut guest = scene.start(vec![scene.whole(Bus::Virtio)], "live.persist", 512)?;
    guest.expect("NOTHING WILL BE KEPT", BOOT)?;
    guest.report("root", BOOT)?;
    guest.passed(SOON)
}

/// Where a partition of that name is in the file, in bytes: UEFI
/// specification 2.10, clause 5.3.
fn partition(disk: &Path, name: &str) -> Result<(u64, u64)> {
    let bytes = fs::read(disk)?;
    let word =
        |at: usize| Ok::<_, anyhow::Error>(u64::from_le_bytes(bytes.get(at..at + 8).context("a GPT")?.try_into()?));
    let table = usize::try_from(word(512 + 72)?)? * 512;
    let name: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let entry = (0..128).map(|n| table + n * 128).find(|&at| bytes[at + 56..].starts_with(&name));
    let entry = entry.context("no such partition")?;
    let (first, last) = (word(entry + 32)?, word(entry + 40)?);
    Ok((first * 512, (last + 1 - first) * 512))
}
