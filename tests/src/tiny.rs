//! A root that is made in a moment: toybox, a PID 1 that reports, and one file
//! that is most of it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};

use crate::builder::{Image, root};
use crate::oracle::or_skip;

const BIG: usize = 8 << 20;

/// An image of one of the profiles whose root it is.
pub fn image(profile: &'static str) -> Result<Option<Arc<Image>>> {
    // One root, for all that want it.
    static MADE: Mutex<Option<bool>> = Mutex::new(None);
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let is_there = match *made {
        Some(is_there) => is_there,
        None => *made.insert(make_root()?.is_some()),
    };
    drop(made);
    if is_there { Image::of(profile) } else { Ok(None) }
}

/// The same for a profile with the kernel of Debian 13.
pub fn image_of_debian_13(profile: &'static str) -> Result<Option<Arc<Image>>> {
    const PACKAGE: &str = "LIVEROOT_TEST_KERNEL_DEB_6_12";
    let package = std::env::var_os(PACKAGE).map(PathBuf::from).filter(|package| package.exists());
    let what = format!("kernel of Debian 13 ({PACKAGE})");
    let Some(package) = or_skip(package, &what, "`cargo xtask test` fetches it")? else { return Ok(None) };
    let link = root().join("target/test-images/linux-image-trixie.deb");
    fs::create_dir_all(link.parent().unwrap_or(&link))?;
    if link.is_symlink() {
        fs::remove_file(&link)?;
    }
    symlink(fs::canonicalize(package)?, &link)?;
    image(profile)
}

/// Puts it where the profiles take it from.
fn make_root() -> Result<Option<()>> {
    let toybox = std::env::var_os("LIVEROOT_TOYBOX").map(PathBuf::from);
    let Some(toybox) = or_skip(toybox, "toybox (LIVEROOT_TOYBOX)", "`cargo xtask test` sets that")? else {
        return Ok(None);
    };
    let dir = root().join("target/test-images/tiny-root");
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    for name in ["bin", "sbin", "usr/bin", "usr/sbin"] {
        fs::create_dir_all(dir.join(name))?;
    }
    fs::copy(root().join("tests/roots/tiny/sbin/init"), dir.join("sbin/init"))?;
    fs::copy(&toybox, dir.join("bin/toybox"))?;
    let list = fs::read_to_string(toybox.with_extension("applets")).context("toybox's list of commands")?;
    for command in list.split_whitespace().filter(|command| Path::new(command) != Path::new("sbin/init")) {
        symlink("/bin/toybox", dir.join(command))?;
    }
    fs::write(dir.join("big"), noise(BIG))?;
    Ok(Some(()))
}

/// Bytes that no codec makes smaller, the same each time.
fn noise(len: usize) -> Vec<u8> {
    let mut seed = 1_u64;
    let mut next = || {
        // Knuth's MMIX generator; its high bits are the good ones.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}
