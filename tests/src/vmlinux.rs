//! The kernel without its own decompressor, which QEMU starts by its PVH entry:
//! under TCG that is at /init in a third of the time.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use crate::oracle::Tool;

/// Takes it out of a bzImage in xz, by the offsets of the x86 boot protocol's
/// header (Documentation/arch/x86/boot.rst); another one is given back as it is.
pub fn extract(vmlinuz: &Path, dir: &Path) -> Result<PathBuf> {
    let image = fs::read(vmlinuz)?;
    let word = |at: usize| {
        let bytes = image.get(at..at + 4).context("a kernel that is too short")?;
        Ok::<usize, anyhow::Error>(bytes.iter().rev().fold(0, |word, &byte| word << 8 | usize::from(byte)))
    };
    // setup_sects, payload_offset, payload_length; 4 bytes behind it are its size.
    let start = ((word(0x1f1)? & 0xff) + 1) * 512 + word(0x248)?;
    let payload = image.get(start..start + word(0x24c)?.saturating_sub(4)).unwrap_or_default();
    let Some(xz) = Tool::find("xz")?.filter(|_| payload.starts_with(b"\xfd7zXZ\0")) else {
        return Ok(vmlinuz.to_owned());
    };
    let (packed, vmlinux) = (dir.join("vmlinux.xz"), dir.join("vmlinux"));
    fs::write(&packed, payload)?;
    let mut unpack = xz.command();
    unpack.arg("-dc").stdin(File::open(&packed)?).stdout(File::create(&vmlinux)?).stderr(Stdio::inherit());
    ensure!(unpack.status()?.success(), "xz does not unpack what {} holds", vmlinuz.display());
    Ok(vmlinux)
}
