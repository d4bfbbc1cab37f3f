//! Machines with little memory: they boot, or say what they need and have. In less
//! than 96 MiB Debian's kernel, of which 46 stay in use, has no room for the
//! initramfs.

use std::time::Instant;

use anyhow::{Result, ensure};
use harness::vm::{self, Attach, Bus, Ended, Machine};

use super::{Run, Scene, tell};
use crate::{BOOT, SOON};

/// MiB in which every image here has room, and must boot.
const ROOMY: u32 = 192;

macro_rules! sizes {
    ($($name:ident: $run:ident, $image:literal, $mib:literal, $cmdline:literal;)*) => {$(
        #[test]
        fn $name() -> Result<()> {
            boots_or_says_why(stringify!($name), Run::$run, $image, $mib, $cmdline)
        }
    )*};
}

sizes! {
    ram_in_96: Always, "small-ram", 96, "";
    ram_as_by_default_in_96: Always, "usual", 96, "";
    ram_in_104: Whole, "small-ram", 104, "";
    ram_in_128: Whole, "small-ram", 128, "";
    ram_in_144: Whole, "small-ram", 144, "";
    ram_in_160: Whole, "ram", 160, "";
    ram_in_192: Whole, "ram", 192, "";
    ram_in_256: Whole, "ram", 256, "";
    ram_in_384: Whole, "ram", 384, "";
    ram_in_1024: Whole, "ram", 1024, "";
    ram_on_a_tmpfs_in_96: Whole, "small-ram", 96, "live.ram=tmpfs";
    ram_on_a_tmpfs_in_192: Whole, "ram", 192, "live.ram=tmpfs";
    toram_in_96: Always, "tiny", 96, "live.toram";
    toram_in_104: Whole, "tiny", 104, "live.toram";
    toram_in_112: Whole, "tiny", 112, "live.toram";
    toram_in_128: Whole, "tiny", 128, "live.toram";
    toram_in_144: Whole, "tiny", 144, "live.toram";
    toram_in_160: Whole, "tiny", 160, "live.toram";
    toram_in_192: Whole, "tiny", 192, "live.toram";
    toram_in_256: Whole, "tiny", 256, "live.toram";
    toram_in_1024: Whole, "tiny", 1024, "live.toram";
}

fn boots_or_says_why(name: &str, run: Run, image: &'static str, mib: u32, cmdline: &str) -> Result<()> {
    let Some(scene) = Scene::of(image, run)? else { return Ok(()) };
    let begun = Instant::now();
    // As boot loaders start it: the kernel has to unpack itself too.
    let kernel = scene.image.kernel(&format!("console=ttyS0 panic=-1 {cmdline}"))?;
    let accel = vm::accel(&kernel.vmlinuz);
    let machine = Machine::new(&scene.image.iso, Attach::Absent).with_kernel(kernel);
    let machine = machine.with_disks(vec![scene.whole(Bus::Virtio)]);
    let mut guest = Machine { memory_mib: mib, ..machine }.start(accel)?;
    // Whichever way: it comes to an end by itself.
    let ended = guest.end(BOOT)?;
    let text = guest.console.text();
    ensure!(!text.contains("Kernel panic") && !text.contains("deadlocked on memory"), "{text}");
    if ended == Ended::Passed {
        return tell(name, "boots", begun);
    }
    let fault = guest.expect("liveroot: E_NO_MEMORY ", SOON)?;
    ensure!(mib < ROOMY, "{mib} MiB are enough for it: {fault}");
    ensure!(fault.starts_with("needs ") && fault.contains(" MiB, has "), "the numbers are missing: {fault}");
    tell(name, &format!("E_NO_MEMORY {fault}"), begun)
}
