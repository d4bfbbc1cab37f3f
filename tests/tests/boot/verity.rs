//! A verified image boots as it was built, and in no other way.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use harness::builder::Image;
use harness::tiny;
use harness::vm::{self, Attach, Firmware, Guest, Machine};

use crate::{BOOT, SOON, check_status, start};

const ROOT: &str = "live/root.squashfs";
const HASHES: &str = "live/root.verity";

fn image() -> Result<Option<Arc<Image>>> {
    tiny::image("verity")
}

#[test]
fn a_verified_image_runs_from_its_mapped_device() -> Result<()> {
    let Some(image) = image()? else { return Ok(()) };
    // Through the boot loader, whose entry has the root hash.
    let mut guest = start(&image, Firmware::Bios, Attach::Virtio, "report")?;
    assert_eq!(guest.report("root", BOOT)?, "overlay");
    assert_eq!(guest.report("layer", SOON)?, "/dev/dm-0");
    assert_eq!(guest.report("mapped", SOON)?, "liveroot-0");
    assert_eq!(guest.report("errors", SOON)?, "0");
    check_status(&guest)?;
    ensure!(
        guest.console.text().contains(&format!("live.verity={}", root_hash(&image)?)),
        "the entry has no root hash"
    );
    guest.passed(SOON)
}

#[test]
fn a_byte_that_is_changed_where_the_mount_reads_stops_the_boot() -> Result<()> {
    let Some(image) = image()? else { return Ok(()) };
    // The superblock's padding: squashfs alone would not notice.
    let guest = start_changed(&image, ROOT, |_| 200)?;
    let fault = guest.expect("liveroot: E_VERITY ", BOOT)?;
    assert!(fault.contains("root.squashfs: it was changed"), "{fault}");
    Ok(())
}

#[test]
fn a_byte_that_is_changed_in_the_tree_or_its_superblock_stops_the_boot() -> Result<()> {
    let Some(image) = image()? else { return Ok(()) };
    // A digest of the root's block; the salt.
    for at in [4096 + 7, 90] {
        let guest = start_changed(&image, HASHES, |_| at)?;
        let fault = guest.expect("liveroot: E_VERITY ", BOOT)?;
        assert!(fault.contains("root.squashfs: it was changed"), "byte {at}: {fault}");
    }
    Ok(())
}

#[test]
fn a_byte_that_is_changed_in_a_file_is_an_error_to_its_reader() -> Result<()> {
    let Some(image) = image()? else { return Ok(()) };
    let mut guest = start_changed(&image, ROOT, |len| len / 2)?;
    assert_eq!(guest.report("errors", BOOT)?, "1", "the file was read in spite of it");
    guest.passed(SOON)
}

#[test]
fn another_root_hash_on_the_command_line_is_refused_and_cannot_be_taken_back() -> Result<()> {
    let Some(image) = image()? else { return Ok(()) };
    let (ours, other) = (root_hash(&image)?, "0".repeat(64));
    for cmdline in [format!("live.verity={other}"), format!("live.verity={other} live.verity={ours} live.check=off")] {
        let guest = start_with(&image, &image.iso, &cmdline)?;
        let fault = guest.expect("liveroot: E_VERITY ", BOOT)?;
        assert!(fault.contains(&ours) && fault.contains(&other), "{fault}");
    }
    Ok(())
}

/// The manifest's, by its text.
fn root_hash(image: &Image) -> Result<String> {
    let manifest = fs::read_to_string(image.file("live/manifest")?)?;
    let hash = manifest.split_whitespace().find_map(|word| word.strip_prefix("verity="));
    Ok(hash.with_context(|| format!("no root hash in {manifest}"))?.into())
}

/// The image's own kernel, with a medium on which one byte of a file is
/// another. It is not told the root hash.
fn start_changed(image: &Image, file: &str, at: impl Fn(usize) -> usize) -> Result<Guest> {
    let mut iso = fs::read(&image.iso)?;
    let file = fs::read(image.file(file)?)?;
    // Files begin at sectors.
    let start = iso.chunks(2048).position(|sector| file.starts_with(&sector[..sector.len().min(file.len())]));
    iso[start.context("the file is not in the image")? * 2048 + at(file.len())] ^= 0x10;
    let dir = tempfile::tempdir()?;
    let changed = dir.path().join("changed.iso");
    fs::write(&changed, &iso)?;
    // QEMU has it open, and needs its name no longer.
    start_with(image, &changed, "")
}

fn start_with(image: &Image, iso: &Path, cmdline: &str) -> Result<Guest> {
    let kernel = image.kernel(&format!("console=ttyS0 panic=-1 {cmdline}"))?;
    let accel = vm::accel(&kernel.vmlinuz);
    Machine::new(iso, Attach::Virtio).with_kernel(kernel).start(accel)
}
