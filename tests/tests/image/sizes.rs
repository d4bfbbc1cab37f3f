//! The budgets, and what is spent of them.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Result, ensure};
use harness::builder::{Image, succeed};
use harness::oracle::Tool;

const INIT: u64 = 800 << 10;
const INITRAMFS: u64 = 6 << 20;

/// Past libtest's capture: the figures belong in every test run.
fn tell(what: &str, size: u64, budget: u64) -> Result<()> {
    writeln!(std::io::stderr(), "\nSIZE {what}: {} KiB of {} KiB", size.div_ceil(1024), budget / 1024)?;
    ensure!(size <= budget, "{what} has {size} bytes, and {budget} is its budget");
    Ok(())
}

#[test]
fn the_default_initramfs_keeps_to_its_budget() -> Result<()> {
    let Some(image) = Image::of("live")? else { return Ok(()) };
    tell("initramfs", fs::metadata(image.file("boot/initramfs.img")?)?.len(), INITRAMFS)
}

#[test]
fn init_is_static_and_keeps_to_its_budget() -> Result<()> {
    let (Some(image), Some(bsdtar)) = (Image::of("ram")?, Tool::find("bsdtar")?) else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    succeed(bsdtar.command().arg("-xf").arg(image.file("boot/initramfs.img")?).arg("-C").arg(dir.path()).arg("init"))?;
    let init = dir.path().join("init");
    ensure!(is_static(&init)?, "/init asks for an interpreter, and there is none when it runs");
    tell("/init", fs::metadata(&init)?.len(), INIT)
}

/// No program header of type `PT_INTERP`: elf(5), for little-endian ELF64.
fn is_static(program: &Path) -> Result<bool> {
    const PT_INTERP: u32 = 3;
    let elf = fs::read(program)?;
    ensure!(elf.len() > 64 && elf.starts_with(b"\x7fELF\x02\x01"), "not an ELF program");
    let word = |at: usize, len: usize| {
        elf[at..at + len].iter().rev().fold(0usize, |word, &byte| word << 8 | usize::from(byte))
    };
    let (table, size, count) = (word(32, 8), word(54, 2), word(56, 2));
    Ok((0..count).all(|n| word(table + n * size, 4) != PT_INTERP as usize))
}
