//! Building with the builder of this checkout.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::{root, run, target, toybox};

/// The release `liveroot` of this checkout, with our toybox embedded.
pub(crate) struct Builder {
    pub(crate) program: PathBuf,
    pub(crate) cache: PathBuf,
}

impl Builder {
    pub(crate) fn build() -> Result<Self> {
        let toybox = toybox::build()?;
        run::run(run::cargo().args(["build", "--release", "--package", "liveroot"]).env("LIVEROOT_TOYBOX", toybox))?;
        Ok(Self { program: target().join("release/liveroot"), cache: target().join("cache") })
    }

    /// What a program that runs the builder finds it by.
    pub(crate) fn environment<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("LIVEROOT_BIN", &self.program).env("LIVEROOT_CACHE", &self.cache)
    }

    pub(crate) fn image(&self, profile: &str, append: &str, image: &Path) -> Result<()> {
        if let Some(dir) = image.parent() {
            std::fs::create_dir_all(dir)?;
        }
        let mut command = Command::new(&self.program);
        command.current_dir(root()).args(["build", profile, "--fetch", "--append", append, "-o"]).arg(image);
        run::run(self.environment(&mut command))
    }
}
