//! `cargo xtask try`: from a checkout to a shell.

use anyhow::Result;

use crate::image::Builder;
use crate::run::say;
use crate::{setup, target};

pub(crate) fn try_ram() -> Result<()> {
    setup::run()?;
    let image = target().join("try/ram.iso");
    let builder = Builder::build()?;
    builder.image("profiles/ram.toml", "console=ttyS0", &image)?;
    say("booting it; leave with `poweroff` inside, or with Ctrl-A X from outside");
    builder.boot(&image)
}
