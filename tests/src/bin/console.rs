//! Boots an image on this terminal: `console IMAGE.iso`.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use harness::oracle::Tool;
use harness::vm::{Accel, Attach, Machine};

fn main() -> Result<()> {
    let image = PathBuf::from(std::env::args_os().nth(1).context("usage: console IMAGE.iso")?);
    let ended_well = Machine::new(&image, Attach::Cdrom).on_this_terminal(choose_accel(&image)?)?;
    ensure!(ended_well, "QEMU ended with an error");
    Ok(())
}

/// The probe boots the image's own kernel, so that is taken out first.
fn choose_accel(image: &std::path::Path) -> Result<Accel> {
    let Some(bsdtar) = Tool::find("bsdtar")? else { return Ok(Accel::Tcg) };
    let dir = tempfile::tempdir()?;
    harness::builder::succeed(bsdtar.command().arg("-xf").arg(image).arg("-C").arg(dir.path()).arg("boot/vmlinuz"))?;
    Ok(Accel::choose(&dir.path().join("boot/vmlinuz")))
}
