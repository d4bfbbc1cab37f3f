//! `liveroot cat`

use std::ffi::OsString;
use std::io;

use anyhow::{Context, Result};
use builder::opened::{follow, locate};
use clap::Args;

#[derive(Debug, Args)]
pub(super) struct Cat {
    /// Files in images: x.iso:/live/manifest, x.iso/live/root.squashfs:/etc/os-release
    #[arg(value_name = "PLACE", required = true)]
    places: Vec<OsString>,
}

impl Cat {
    pub(super) fn run(&self) -> Result<()> {
        for place in &self.places {
            let location = locate(place)?;
            let tree = &location.image().opened.tree;
            let name = || place.display().to_string();
            let path = follow(tree, location.path.as_bytes(), true).with_context(name)?;
            let content = tree.get(&path).and_then(|item| item.content().cloned());
            let content = content.with_context(|| format!("{}: is no file", name()))?;
            match io::copy(&mut content.open()?, &mut io::stdout().lock()) {
                // Who reads it has seen enough.
                Err(e) if e.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                copied => copied.with_context(name)?,
            };
        }
        Ok(())
    }
}
