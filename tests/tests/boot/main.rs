//! Whole boots, each a row: image × firmware × attachment × order, or command line. What
//! the guest tells carries a token of its boot, and it ends QEMU with a code of
//! its own (harness::vm), so that no accident passes for success.

mod aarch64;
mod damaged;
mod faults;
mod handover;
mod initramfs;
mod iso_file;
mod isofs;
mod layers;
mod matrix;
mod modules;
mod overlay;
mod packages;
mod persist;
mod ram;
mod save;
mod secure_boot;
mod squashfs;
mod stick;
mod unpacking;
mod ventoy;
mod verity;
mod waiting;

use std::time::Duration;

use anyhow::{Result, ensure};
use harness::builder::Image;
use harness::vm::{self, Attach, Firmware, Guest, Machine};
use serde_json::Value;

/// For a whole boot, under TCG, on a busy machine.
const BOOT: Duration = Duration::from_mins(4);
/// For what follows at once.
const SOON: Duration = Duration::from_secs(30);

/// Boots the image as firmware does, boot loader and all.
fn start(image: &Image, firmware: Firmware, attach: Attach, order: &'static str) -> Result<Guest> {
    let accel = vm::accel(&image.file("boot/vmlinuz")?);
    Machine::new(&image.iso, attach).with_firmware(firmware).with_order(order).start(accel)
}

/// Boots the image's kernel with a command line of ours, the medium being there too.
fn start_with(image: &Image, attach: Attach, cmdline: &str) -> Result<Guest> {
    let kernel = image.kernel(cmdline)?;
    let accel = vm::accel(&kernel.vmlinuz);
    Machine::new(&image.iso, attach).with_kernel(kernel).start(accel)
}

/// The report's copy of /run/live/status: every state went well.
fn check_status(guest: &Guest) -> Result<()> {
    let text = guest.report("status", SOON)?;
    let status: Value = serde_json::from_str(&text)?;
    ensure!(status["fault"].is_null(), "a fault in {text}");
    let states = status["states"].as_array().map(Vec::as_slice).unwrap_or_default();
    let ends: Vec<(&str, &str)> =
        states.iter().filter_map(|state| Some((state["state"].as_str()?, state["end"].as_str()?))).collect();
    for wanted in ["early", "cmdline", "console", "devices", "medium", "check", "root", "configure", "preflight"] {
        ensure!(ends.contains(&(wanted, "ok")), "the state {wanted} did not end well: {text}");
    }
    Ok(())
}
