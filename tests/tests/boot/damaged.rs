//! Media that are not what their manifest says: reported, never booted.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use harness::builder::{Image, succeed};
use harness::oracle::Tool;
use harness::vm::{self, Attach, Machine};

use crate::{BOOT, SOON};

#[test]
fn a_truncated_package_is_named_and_leaves_no_file() -> Result<()> {
    let (Some(image), Some(xorriso)) = (Image::of("ram")?, Tool::find("xorriso")?) else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    let cut = with_cut_package(&image, &xorriso, dir.path())?;
    let kernel = image.kernel("console=ttyS0")?;
    let accel = vm::accel(&kernel.vmlinuz);
    let mut guest = Machine::new(&cut, Attach::Virtio).with_kernel(kernel).start(accel)?;

    let fault = guest.expect("E_TRUNCATED ", BOOT)?;
    assert!(fault.contains("packages/03-second.tar.xz"), "the package is not named: {fault}");
    guest.wait("the rescue prompt", SOON, |text| text.contains("liveroot> ").then_some(()))?;
    guest.type_line("sh")?;
    guest.type_line("echo $((6*7)) files: $(ls /etc/test-packages /etc/test-last 2>/dev/null)")?;
    assert_eq!(guest.expect("42 files:", SOON)?.trim(), "", "files of packages after a check that failed");
    Ok(())
}

/// The same medium, made by another tool, with half of the last package.
fn with_cut_package(image: &Image, xorriso: &Tool, dir: &Path) -> Result<PathBuf> {
    let (files, iso) = (dir.join("files"), dir.join("cut.iso"));
    succeed(std::process::Command::new("cp").arg("-r").arg(image.file("live")?).arg(&files))?;
    let package = files.join("packages/03-second.tar.xz");
    let whole = fs::metadata(&package).with_context(|| package.display().to_string())?.len();
    OpenOptions::new().write(true).open(&package)?.set_len(whole / 2)?;

    let about = succeed(xorriso.command().arg("-indev").arg(&image.iso).arg("-pvd_info"))?;
    let about = String::from_utf8(about.stdout)?;
    let volume_set = about.lines().find_map(|line| line.trim().strip_prefix("Volume Set Id:"));
    let volume_set = volume_set.with_context(|| format!("xorriso tells no volume set: {about}"))?.trim();
    ensure!(!volume_set.is_empty(), "our volume set is empty");
    let mut make = xorriso.command();
    make.args(["-as", "mkisofs", "-quiet", "-R", "-V", "TEST_RAM", "-volset", volume_set, "-o"]).arg(&iso);
    succeed(make.args(["-graft-points"]).arg(format!("/live={}", files.display())))?;
    Ok(iso)
}
