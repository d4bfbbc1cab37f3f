//! What we write, read by the field's own tools: each must see what the image
//! was made of, and must see damage where we did some.

#[cfg(feature = "cdfs-oracle")]
mod cdfs;
mod hybrid;
mod initramfs;
mod iso;
mod loaders;
mod programs;
mod sizes;
mod squashfs;

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use anyhow::Result;

/// A copy that lacks the last third: the negative twin of every oracle's test.
fn cut(file: &Path, dir: &Path) -> Result<PathBuf> {
    let copy = dir.join("cut");
    fs::copy(file, &copy)?;
    let whole = fs::metadata(file)?.len();
    OpenOptions::new().write(true).open(&copy)?.set_len(whole / 3 * 2)?;
    Ok(copy)
}
