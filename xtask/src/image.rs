//! Building with the builder of this checkout.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use crate::{root, run, target, toybox};

/// What compiles the C of an /init for aarch64.
const AARCH64_COMPILER: &str = "aarch64-linux-gnu-gcc";

/// The `liveroot` of this checkout, with our toybox embedded. The profile is
/// the tests' own, whose dependencies are optimised: one build of them serves all.
pub(crate) struct Builder {
    program: PathBuf,
    cache: PathBuf,
    toybox: PathBuf,
    /// The machines beside this one that it carries an /init for.
    inits: &'static str,
}

impl Builder {
    pub(crate) fn build() -> Result<Self> {
        let toybox = toybox::build()?;
        let inits = if run::find(AARCH64_COMPILER).is_some() { "aarch64" } else { "" };
        let builder = Self { program: target().join("debug/liveroot"), cache: target().join("cache"), toybox, inits };
        run::run(builder.environment(run::cargo().args(["build", "--package", "liveroot"])))?;
        Ok(builder)
    }

    /// What a program that builds the builder or runs it finds things by.
    pub(crate) fn environment<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("LIVEROOT_BIN", &self.program);
        command.env("LIVEROOT_TEST_KERNEL_DEB", self.cache.join("kernels/linux-image-amd64.deb"));
        command.env("LIVEROOT_CACHE", &self.cache).env("LIVEROOT_TOYBOX", &self.toybox);
        command.env("LIVEROOT_INIT_FOR", self.inits)
    }

    /// What the aarch64 image of the tests is made of, beside packages; nothing
    /// without a compiler for it.
    pub(crate) fn prepare_aarch64(&self) -> Result<()> {
        if self.inits.is_empty() {
            return Ok(());
        }
        toybox::build_for_aarch64(&self.toybox).map(drop)
    }

    /// Into the cache: the tests themselves need no network.
    pub(crate) fn fetch(&self, profile: &str) -> Result<()> {
        let mut command = Command::new(&self.program);
        run::run(self.environment(command.current_dir(root()).args(["fetch", profile])))
    }

    pub(crate) fn image(&self, profile: &str, append: &str, image: &Path) -> Result<()> {
        if let Some(dir) = image.parent() {
            std::fs::create_dir_all(dir)?;
        }
        let mut command = Command::new(&self.program);
        command.current_dir(root()).args(["build", profile, "--fetch", "--append", append, "-o"]).arg(image);
        run::run(self.environment(&mut command))
    }

    /// On this terminal, which is the guest's until it ends.
    pub(crate) fn boot(&self, image: &Path) -> Result<()> {
        let status = Command::new(&self.program).arg("boot").arg(image).status()?;
        ensure!(status.success(), "liveroot boot ended with {status}");
        Ok(())
    }
}
