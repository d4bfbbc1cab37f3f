//! UEFI with Microsoft's keys: shim, GRUB and the kernel are started because
//! they are signed, and for no other reason.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result};
use harness::builder::Image;
use harness::vm::{self, Attach, Firmware, Machine};

use crate::{BOOT, ram, start};

#[test]
fn signed_loaders_and_a_signed_kernel_start() -> Result<()> {
    let Some(image) = Image::of("grub")? else { return Ok(()) };
    let guest = start(&image, Firmware::SecureBoot, Attach::Cdrom, "report")?;
    // Such a kernel lets nobody write to ports, so the guest cannot end itself
    // in the way of the others.
    ram::reached_its_init(&guest)?;
    assert!(guest.console.text().contains("Secure boot enabled"), "the kernel saw no Secure Boot");
    Ok(())
}

#[test]
fn a_kernel_that_was_changed_in_one_byte_does_not() -> Result<()> {
    let Some(image) = Image::of("grub")? else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    let changed = dir.path().join("changed.iso");
    fs::copy(&image.iso, &changed)?;
    flip_a_byte_of(&image.file("boot/vmlinuz")?, &changed)?;
    let accel = vm::accel(&image.file("boot/vmlinuz")?);
    let machine = Machine::new(&changed, Attach::Cdrom).with_firmware(Firmware::SecureBoot);
    let guest = machine.start(accel)?;
    guest.expect("bad shim signature", BOOT)?;
    assert!(!guest.console.text().contains("liveroot: "), "it was started all the same");
    Ok(())
}

#[test]
fn an_unsigned_kernel_image_does_not() -> Result<()> {
    let Some(image) = Image::of("uki")? else { return Ok(()) };
    let guest = start(&image, Firmware::SecureBoot, Attach::Cdrom, "report")?;
    let refused = |text: &str| ["Access Denied", "Security Violation"].into_iter().find(|word| text.contains(word));
    guest.wait("the firmware's refusal", BOOT, |text| refused(text).map(drop))?;
    assert!(!guest.console.text().contains("liveroot: "), "it was started all the same");
    Ok(())
}

/// In the middle of the kernel, wherever in the image that stands.
fn flip_a_byte_of(kernel: &Path, iso: &Path) -> Result<()> {
    const SECTOR: usize = 2048;
    let (kernel, image) = (fs::read(kernel)?, fs::read(iso)?);
    let found = image.chunks(SECTOR).position(|sector| sector == &kernel[..SECTOR]);
    let at = found.context("the kernel does not stand in the image")? * SECTOR + kernel.len() / 2;
    let file = OpenOptions::new().write(true).open(iso)?;
    Ok(file.write_all_at(&[!image[at]], at as u64)?)
}
