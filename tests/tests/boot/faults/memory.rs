//! Machines with little memory: they boot, or say what they need and have. With
//! less than this, the kernel is out of memory before it has unpacked the initramfs.

use std::time::Instant;

use anyhow::{Result, ensure};
use harness::vm::Bus;

use super::{Run, Scene, tell};
use crate::{BOOT, SOON};

macro_rules! sizes {
    ($($name:ident: $run:ident, $image:literal, $mib:literal, $cmdline:literal;)*) => {$(
        #[test]
        fn $name() -> Result<()> {
            boots_or_says_why(stringify!($name), Run::$run, $image, $mib, $cmdline)
        }
    )*};
}

sizes! {
    ram_in_160: Always, "ram", 160, "";
    ram_in_192: Whole, "ram", 192, "";
    ram_in_256: Whole, "ram", 256, "";
    ram_in_384: Whole, "ram", 384, "";
    ram_in_1024: Whole, "ram", 1024, "";
    ram_on_a_tmpfs_in_192: Whole, "ram", 192, "live.ram=tmpfs";
    toram_in_160: Always, "tiny", 160, "live.toram";
    toram_in_192: Whole, "tiny", 192, "live.toram";
    toram_in_256: Whole, "tiny", 256, "live.toram";
    toram_in_1024: Whole, "tiny", 1024, "live.toram";
}

fn boots_or_says_why(name: &str, run: Run, image: &'static str, mib: u32, cmdline: &str) -> Result<()> {
    let Some(scene) = Scene::of(image, run)? else { return Ok(()) };
    let begun = Instant::now();
    let mut guest = scene.start(vec![scene.whole(Bus::Virtio)], cmdline, mib)?;
    // Whichever way: it comes to an end by itself.
    let ended = guest.end(BOOT)?;
    let text = guest.console.text();
    ensure!(!text.contains("Kernel panic") && !text.contains("deadlocked on memory"), "{text}");
    if ended == harness::vm::Ended::Passed {
        return tell(name, "boots", begun);
    }
    let fault = guest.console.expect("liveroot: E_NO_MEMORY ", SOON)?;
    ensure!(fault.starts_with("needs ") && fault.contains(" MiB, has "), "the numbers are missing: {fault}");
    tell(name, &format!("E_NO_MEMORY {fault}"), begun)
}
