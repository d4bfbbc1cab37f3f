//! The image as a file on a partition, as the menu of a multi-boot stick
//! starts it: kernel and initramfs come from the menu, and the name of the
//! file is all that /init is told.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use harness::builder::{Image, succeed};
use harness::oracle::Tool;
use harness::tiny;
use harness::vm::{self, Attach, Guest, Machine};

use crate::{BOOT, SOON, check_status};

#[test]
fn an_iso_file_on_a_partition_boots_the_ram_system() -> Result<()> {
    let Some(image) = Image::of("ram")? else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    let Some(disk) = disk_with(&image, dir.path())? else { return Ok(()) };
    let mut guest = start(&image, &disk, "iso-scan/filename=/isos/ram.iso")?;
    assert_eq!(guest.report("root", BOOT)?, "rootfs");
    assert_eq!(guest.report("media", SOON)?, "0", "the medium or its partition is still mounted");
    assert_eq!(guest.report("packages", SOON)?, "first second");
    check_status(&guest)?;
    guest.passed(SOON)
}

#[test]
fn a_file_that_is_nowhere_is_named_at_the_deadline() -> Result<()> {
    let Some(image) = Image::of("ram")? else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    let Some(disk) = disk_with(&image, dir.path())? else { return Ok(()) };
    let guest = start(&image, &disk, "findiso=/isos/other.iso live.timeout=5")?;
    let fault = guest.expect("liveroot: E_", BOOT)?;
    assert!(fault.contains("/dev/vda: it has no /isos/other.iso"), "{fault}");
    Ok(())
}

/// As it stands on a disk that Windows is on.
#[test]
fn an_iso_file_on_ntfs_boots() -> Result<()> {
    let (Some(mkfs), Some(ntfscp)) = (Tool::find("mkfs.ntfs")?, Tool::find("ntfscp")?) else { return Ok(()) };
    let Some(image) = tiny::image_of_debian_13("ntfs")? else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    let disk = dir.path().join("disk.img");
    File::create(&disk)?.set_len(fs::metadata(&image.iso)?.len() + (32 << 20))?;
    succeed(mkfs.command().args(["--force", "--fast", "--label", "WINDOWS"]).arg(&disk))?;
    succeed(ntfscp.command().arg("--force").args([&disk, &image.iso]).arg("live.iso"))?;
    let kernel = image.vmlinux("console=ttyS0 panic=-1 findiso=/live.iso")?;
    let accel = vm::accel(&image.file("boot/vmlinuz")?);
    let mut guest = Machine::new(&disk, Attach::Virtio).with_kernel(kernel).start(accel)?;
    assert_eq!(guest.report("root", BOOT)?, "overlay");
    guest.passed(SOON)?;
    let text = guest.console.text();
    ensure!(text.contains("liveroot: medium: /dev/vda "), "{text}");
    Ok(())
}

fn start(image: &Image, disk: &Path, cmdline: &str) -> Result<Guest> {
    let kernel = image.kernel(&format!("console=ttyS0 {cmdline}"))?;
    let accel = vm::accel(&kernel.vmlinuz);
    Machine::new(disk, Attach::Virtio).with_kernel(kernel).start(accel)
}

/// An ext4 disk that has the image among its files.
fn disk_with(image: &Image, dir: &Path) -> Result<Option<PathBuf>> {
    let Some(mke2fs) = Tool::find("mke2fs")? else { return Ok(None) };
    let (files, disk) = (dir.join("files"), dir.join("disk.img"));
    fs::create_dir_all(files.join("isos"))?;
    let len = fs::copy(&image.iso, files.join("isos/ram.iso"))?;
    let size = format!("{}K", (len >> 10) * 2);
    succeed(mke2fs.command().args(["-q", "-t", "ext4", "-d"]).arg(&files).arg(&disk).arg(size))?;
    Ok(Some(disk))
}
