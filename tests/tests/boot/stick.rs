//! A stick that `liveroot write` made: larger than the image, with a partition
//! behind it.

use std::fs::File;
use std::process::Command;

use anyhow::Result;
use harness::builder::{Image, liveroot, succeed};
use harness::vm::{self, Attach, Firmware, Machine};

use crate::{SOON, ram};

#[test]
fn a_written_stick_starts_by_a_bios() -> Result<()> {
    a_written_stick_starts_by(Firmware::Bios)
}

#[test]
fn a_written_stick_starts_by_uefi() -> Result<()> {
    a_written_stick_starts_by(Firmware::Uefi)
}

fn a_written_stick_starts_by(firmware: Firmware) -> Result<()> {
    let (Some(image), Some(liveroot)) = (Image::of("ram")?, liveroot()?) else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    let stick = dir.path().join("stick.img");
    File::create(&stick)?.set_len(256 << 20)?;
    succeed(Command::new(liveroot).arg("write").arg(&image.iso).arg(&stick).args(["--yes", "--persist", "rest"]))?;
    let accel = vm::accel(&image.file("boot/vmlinuz")?);
    let mut guest = Machine::new(&stick, Attach::Usb).with_firmware(firmware).start(accel)?;
    ram::reached_its_init(&guest)?;
    guest.passed(SOON)
}
