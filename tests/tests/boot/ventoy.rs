//! An ISO file on a stick that Ventoy starts: it says in the machine's firmware which one
//! it is, and the command line says nothing.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context, Result};
use harness::builder::{Image, succeed};
use harness::exfat;
use harness::oracle::Tool;
use harness::tiny;
use harness::vm::{self, Attach, Bus, Disk, Firmware, Handed, Machine};

use crate::{BOOT, SOON};

/// What Ventoy calls itself.
const GUID: [u8; 16] = *b"  www.ventoy.net";
/// Of the stick's first sector.
const SIGNATURE: u32 = 0x5eed_1234;
const PARTITION: u64 = 1 << 20;
const ISO: &str = "Our image.iso";

#[test]
fn an_iso_file_that_ventoy_names_in_an_acpi_table_boots() -> Result<()> {
    boots(Firmware::Bios, Handed::AcpiTable(*b"VTOY", os_param()))
}

#[test]
fn an_iso_file_that_ventoy_names_in_an_efi_variable_boots() -> Result<()> {
    boots(Firmware::Uefi, Handed::Variable("VentoyOsParam", GUID, os_param()))
}

fn boots(firmware: Firmware, handed: Handed) -> Result<()> {
    let (Some(image), Some(mkfs)) = (tiny::image("tiny")?, Tool::find("mkfs.exfat")?) else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    let stick = dir.path().join("stick.img");
    make_stick(&image, &mkfs, dir.path(), &stick)?;
    let cmdline = "console=ttyS0 panic=-1";
    // UEFI starts what it has as a file alone.
    let kernel = if firmware == Firmware::Bios { image.vmlinux(cmdline)? } else { image.kernel(cmdline)? };
    let accel = vm::accel(&image.file("boot/vmlinuz")?);
    let machine = Machine::new(&image.iso, Attach::Absent).with_firmware(firmware).with_kernel(kernel);
    let machine = machine.with_disks(vec![Disk::new(Bus::Usb, &stick)]);
    let mut guest = Machine { handed: Some(handed), ..machine }.start(accel)?;
    guest.report("root", BOOT)?;
    guest.passed(SOON)?;
    let text = guest.console.text();
    for word in [&format!("started by Ventoy from /{ISO}"), "liveroot: medium: /dev/sda1 "] {
        assert!(text.contains(word), "`{word}` is not in {text}");
    }
    Ok(())
}

/// ventoy.net, "Ventoy Compatible": the bytes of it sum to nothing.
fn os_param() -> Vec<u8> {
    let mut bytes = vec![0; 512];
    bytes[..16].copy_from_slice(&GUID);
    bytes[41] = 1;
    bytes[45..46 + ISO.len()].copy_from_slice(format!("/{ISO}").as_bytes());
    bytes[481..485].copy_from_slice(&SIGNATURE.to_le_bytes());
    bytes[16] = bytes.iter().fold(0_u8, |sum, &byte| sum.wrapping_sub(byte));
    bytes
}

/// With the image in its first partition, which is exFAT as Ventoy makes it.
fn make_stick(image: &Image, mkfs: &Tool, dir: &Path, stick: &Path) -> Result<()> {
    let size = fs::metadata(&image.iso)?.len() + (16 << 20);
    let partition = dir.join("partition");
    File::create(&partition)?.set_len(size)?;
    succeed(mkfs.command().args(["-L", "Ventoy"]).arg(&partition))?;
    exfat::add(&partition, ISO, &image.iso)?;

    let mut disk = File::create(stick)?;
    let mut table = [0; 512];
    table[440..444].copy_from_slice(&SIGNATURE.to_le_bytes());
    // Type 7: exFAT, or NTFS.
    table[450] = 7;
    let sectors = |bytes: u64| u32::try_from(bytes / 512).context("too large for such a table");
    table[454..458].copy_from_slice(&sectors(PARTITION)?.to_le_bytes());
    table[458..462].copy_from_slice(&sectors(size)?.to_le_bytes());
    table[510..].copy_from_slice(&[0x55, 0xaa]);
    disk.write_all(&table)?;
    disk.seek(SeekFrom::Start(PARTITION))?;
    std::io::copy(&mut File::open(partition)?, &mut disk)?;
    Ok(())
}
