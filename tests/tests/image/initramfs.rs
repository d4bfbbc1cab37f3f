//! The cpio archive, by GNU cpio and bsdtar.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use harness::builder::{Image, succeed};
use harness::oracle::Tool;

use crate::cut;

/// GNU cpio takes no compressed archive.
fn unpacked(image: &Image, zstd: &Tool, dir: &Path) -> Result<PathBuf> {
    let archive = dir.join("initramfs.cpio");
    succeed(zstd.command().args(["-q", "-d", "-o"]).arg(&archive).arg(image.file("boot/initramfs.img")?))?;
    Ok(archive)
}

#[test]
fn cpio_and_bsdtar_list_the_same_archive() -> Result<()> {
    let (Some(image), Some(zstd)) = (Image::of("ram")?, Tool::find("zstd")?) else { return Ok(()) };
    let (Some(cpio), Some(bsdtar)) = (Tool::find("cpio")?, Tool::find("bsdtar")?) else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    let archive = unpacked(&image, &zstd, dir.path())?;

    let theirs = cpio.output(&["-it", "--quiet", "-F"], &archive)?;
    let names = |listing: &str| listing.lines().map(|name| name.trim_end_matches('/').to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&theirs), names(&bsdtar.output(&["-tf"], &archive)?));
    assert_eq!(names(&bsdtar.output(&["-tf"], &image.file("boot/initramfs.img")?)?), names(&theirs));

    // The kernel runs /init from an archive that broke off: it must stand first.
    assert_eq!(theirs.lines().next(), Some("init"));
    for name in ["dev/console", "dev/null", "etc/live/image", "etc/live/kmods", "bin/sh"] {
        assert!(theirs.lines().any(|line| line == name), "no {name} in:\n{theirs}");
    }
    Ok(())
}

#[test]
fn the_consoles_are_nodes_and_everything_is_roots() -> Result<()> {
    let (Some(image), Some(bsdtar)) = (Image::of("ram")?, Tool::find("bsdtar")?) else { return Ok(()) };
    let listing = bsdtar.output(&["--numeric-owner", "-tvf"], &image.file("boot/initramfs.img")?)?;
    let line = |name: &str| {
        let found = listing.lines().find(|line| line.split_ascii_whitespace().next_back() == Some(name));
        found.unwrap_or_default().split_ascii_whitespace().take(5).collect::<Vec<_>>().join(" ")
    };
    // Linux's admin-guide/devices.txt: without these two the first messages are lost.
    assert_eq!(line("dev/console"), "crw------- 1 0 0 5,1");
    assert_eq!(line("dev/null"), "crw-rw-rw- 1 0 0 1,3");
    assert!(line("init").starts_with("-rwxr-xr-x 1 0 0 "), "{}", line("init"));
    let owners = |line: &str| line.split_ascii_whitespace().skip(2).take(2).collect::<Vec<_>>() == ["0", "0"];
    let strange: Vec<&str> = listing.lines().filter(|line| !owners(line)).collect();
    assert_eq!(strange, Vec::<&str>::new());
    Ok(())
}

#[test]
fn every_parent_stands_before_its_children() -> Result<()> {
    let (Some(image), Some(bsdtar)) = (Image::of("ram")?, Tool::find("bsdtar")?) else { return Ok(()) };
    let listing = bsdtar.output(&["-tf"], &image.file("boot/initramfs.img")?)?;
    let mut seen = std::collections::HashSet::new();
    for name in listing.lines().map(|name| name.trim_end_matches('/')) {
        if let Some((parent, _)) = name.rsplit_once('/') {
            // The kernel drops an entry whose directory is not there yet.
            ensure!(seen.contains(parent), "{name} stands before {parent}");
        }
        seen.insert(name);
    }
    Ok(())
}

#[test]
fn a_cut_archive_is_seen_to_be_cut() -> Result<()> {
    let (Some(image), Some(zstd), Some(cpio)) = (Image::of("ram")?, Tool::find("zstd")?, Tool::find("cpio")?) else {
        return Ok(());
    };
    let dir = tempfile::tempdir()?;
    let cut = cut(&unpacked(&image, &zstd, dir.path())?, dir.path())?;
    assert!(cpio.output(&["-it", "--quiet", "-F"], &cut).is_err());
    Ok(())
}
