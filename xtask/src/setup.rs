//! Brings a machine to where the other tasks can work, saying each step first.

mod apt;
mod packages;
mod python;
mod rust;

use anyhow::{Result, bail};

use crate::run::say;

pub(crate) fn run() -> Result<()> {
    rust::add_musl_targets();
    install_packages()?;
    python::add_pycdlib();
    Ok(())
}

fn install_packages() -> Result<()> {
    let missing: Vec<_> = packages::PACKAGES.iter().filter(|package| !package.is_here()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !apt::is_here() {
        // Names differ between distributions, and a wrong guess installs the wrong thing.
        say("this is not a Debian system: install what these are called here, then run this again");
        for package in &missing {
            eprintln!("  {:<26} for {} (Debian's name: {})", package.shows(), package.purpose, package.debian);
        }
        bail!("{} programs or libraries are missing", missing.len());
    }
    apt::install(&missing.iter().map(|package| package.debian).collect::<Vec<_>>())?;
    match missing.iter().find(|package| !package.is_here()) {
        Some(package) => bail!("{} was installed, but there is still no {}", package.debian, package.shows()),
        None => Ok(()),
    }
}
