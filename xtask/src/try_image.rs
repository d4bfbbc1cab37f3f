//! `cargo xtask try`: from a checkout to a shell.

use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::image::Builder;
use crate::run::{self, say};
use crate::{setup, target};

pub(crate) fn try_ram() -> Result<()> {
    setup::run()?;
    let image = target().join("try/ram.iso");
    Builder::build()?.image("profiles/ram.toml", "console=ttyS0", &image)?;

    say("booting it; leave with `poweroff` inside, or with Ctrl-A X from outside");
    let mut console = run::cargo();
    console.args(["run", "--quiet", "--package", "liveroot-tests", "--bin", "console", "--"]).arg(&image);
    // The terminal is the guest's, so this one keeps our standard input.
    let status = console.stdin(Stdio::inherit()).status().context("cannot start cargo")?;
    if !status.success() {
        bail!("the virtual machine ended with {status}");
    }
    Ok(())
}
