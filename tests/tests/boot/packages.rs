//! Packages of ram mode that are squashfs images, and those that are left out,
//! named, or no good.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use harness::builder::succeed;
use harness::medium::Edit;
use harness::oracle::Tool;
use harness::vm::Disk;

use crate::faults::{Run, Scene};
use crate::{BOOT, SOON};

#[test]
fn an_image_is_copied_where_it_is_named_and_a_bad_one_is_done_without() -> Result<()> {
    let Some(scene) = Scene::of("ram", Run::Always)? else { return Ok(()) };
    let mut guest = scene.start(with_images(&scene)?, "live.layers=more,-first", 512)?;
    assert_eq!(guest.report("packages", BOOT)?, "more second");
    assert_eq!(guest.report("media", SOON)?, "0", "the medium is still mounted");
    let status = guest.report("status", SOON)?;
    assert!(status.contains("packages/bad.sfs: its SHA-256 is"), "{status}");
    guest.passed(SOON)
}

fn with_images(scene: &Scene) -> Result<Vec<Disk>> {
    scene.edited(b"TEST_RAM", true, |edit| {
        let part = |path: &str, word: &str| {
            format!("part {path} size=0 unpacked=65536 sha256={} optional {word}", "0".repeat(64))
        };
        let (more, bad) = ("packages/more.tcz", "packages/bad.sfs");
        let lines = format!("{}\n{}", part(more, "extra"), part(bad, ""));
        edit.manifest(|line| if line.starts_with("mode ") { format!("{line}\n{lines}") } else { line.to_owned() })?;
        for path in [more, bad] {
            pack(edit, &scene.path(path), path)?;
            edit.sign(path)?;
        }
        let mut bytes = fs::read(edit.file(bad))?;
        *bytes.last_mut().context("an empty image")? ^= 1;
        Ok(fs::write(edit.file(bad), bytes)?)
    })
}

/// A squashfs that brings a file with its own name.
fn pack(edit: &Edit, from: &Path, path: &str) -> Result<()> {
    let pack = Tool::find("mksquashfs")?.context("squashfs-tools make this package")?;
    let packages = from.join("etc/test-packages");
    fs::create_dir_all(&packages)?;
    let name = from.file_stem().context("a path with a name")?;
    fs::write(packages.join(name), "from an image")?;
    let packing = ["-quiet", "-no-progress", "-comp", "zstd", "-noappend", "-all-root"];
    succeed(pack.command().arg(from).arg(edit.file(path)).args(packing)).map(drop)
}
