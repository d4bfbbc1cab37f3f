//! The boot matrix: each loader, by each firmware that starts it, from each
//! attachment, as far as the distribution's own init.

use anyhow::Result;
use harness::builder::Image;
use harness::vm::{Attach, Firmware};

use crate::{SOON, overlay, ram, start};

/// When a cell runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Run {
    Always,
    /// Not by `cargo xtask test --quick`.
    Whole,
}

macro_rules! cells {
    ($($name:ident: $image:literal, $firmware:ident, $attach:ident, $run:ident;)*) => {$(
        #[test]
        fn $name() -> Result<()> {
            cell($image, Firmware::$firmware, Attach::$attach, Run::$run)
        }
    )*};
}

cells! {
    isolinux_from_a_cdrom_to_ram: "ram", Bios, Cdrom, Always;
    isolinux_from_a_stick_to_ram: "ram", Bios, Usb, Whole;
    isolinux_from_a_disk_to_ram: "ram", Bios, Virtio, Whole;
    isolinux_from_a_cdrom_to_an_overlay: "live", Bios, Cdrom, Whole;
    isolinux_from_a_stick_to_an_overlay: "live", Bios, Usb, Always;
    isolinux_from_a_disk_to_an_overlay: "live", Bios, Virtio, Whole;
    grub_from_a_cdrom_to_ram: "ram", Uefi, Cdrom, Whole;
    grub_from_a_stick_to_ram: "ram", Uefi, Usb, Whole;
    grub_from_a_disk_to_ram: "ram", Uefi, Virtio, Whole;
    grub_from_a_cdrom_to_an_overlay: "live", Uefi, Cdrom, Always;
    grub_from_a_stick_to_an_overlay: "live", Uefi, Usb, Whole;
    grub_from_a_disk_to_an_overlay: "live", Uefi, Virtio, Whole;
    bios_grub_from_a_cdrom: "grub", Bios, Cdrom, Whole;
    bios_grub_from_a_stick: "grub", Bios, Usb, Always;
    signed_grub_from_a_cdrom: "grub", Uefi, Cdrom, Whole;
    signed_grub_from_a_stick: "grub", Uefi, Usb, Whole;
    systemd_boot_from_a_cdrom: "systemd-boot", Uefi, Cdrom, Always;
    systemd_boot_from_a_stick: "systemd-boot", Uefi, Usb, Whole;
    uki_from_a_cdrom: "uki", Uefi, Cdrom, Whole;
    uki_from_a_stick: "uki", Uefi, Usb, Always;
}

fn cell(image: &'static str, firmware: Firmware, attach: Attach, run: Run) -> Result<()> {
    if run == Run::Whole && std::env::var_os("LIVEROOT_QUICK").is_some() {
        return harness::oracle::skip("it is no part of --quick");
    }
    let Some(built) = Image::of(image)? else { return Ok(()) };
    let mut guest = start(&built, firmware, attach, "report")?;
    match image {
        "live" => overlay::reached_its_init(&guest)?,
        _ => ram::reached_its_init(&guest)?,
    }
    guest.passed(SOON)
}
