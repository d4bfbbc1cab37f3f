//! The ISO image, by xorriso, isoinfo and bsdtar.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use harness::builder::{Image, succeed};
use harness::oracle::Tool;

use crate::cut;

#[test]
fn xorriso_finds_the_volume_and_both_ways_to_boot() -> Result<()> {
    let (Some(image), Some(xorriso)) = (Image::of("ram")?, Tool::find("xorriso")?) else { return Ok(()) };
    let mut ask = xorriso.command();
    ask.arg("-indev").arg(&image.iso);
    ask.args(["-pvd_info", "-report_el_torito", "plain", "-report_system_area", "plain"]);
    let about = String::from_utf8(succeed(&mut ask)?.stdout)?;
    let field = |name: &str| -> Result<&str> {
        let line =
            about.lines().find(|line| line.starts_with(name)).with_context(|| format!("no `{name}` in:\n{about}"))?;
        Ok(line.split_once(':').map_or("", |(_, value)| value.trim()))
    };
    assert_eq!(field("Volume Id")?, "TEST_RAM");
    assert!(field("Volume Set Id")?.starts_with("LIVEROOT_"), "{about}");
    assert!(about.contains("El Torito catalog"), "{about}");
    assert!(
        about.lines().any(|line| line.starts_with("El Torito boot img") && line.contains("BIOS  y   none")),
        "{about}"
    );
    assert!(about.contains("isohybrid") && about.contains("GPT"), "nothing that boots from a stick:\n{about}");
    Ok(())
}

#[test]
fn isoinfo_lists_what_bsdtar_unpacked() -> Result<()> {
    let (Some(image), Some(isoinfo)) = (Image::of("ram")?, Tool::find("isoinfo")?) else { return Ok(()) };
    let listing = isoinfo.output(&["-R", "-f", "-i"], &image.iso)?;
    for path in ["/live/manifest", "/live/packages/03-second.tar.xz", "/boot/vmlinuz", "/boot/initramfs.img"] {
        assert!(listing.lines().any(|line| line == path), "no {path} in:\n{listing}");
        let theirs = isoinfo.command().args(["-R", "-x", path, "-i"]).arg(&image.iso).output()?;
        assert!(theirs.stdout == fs::read(image.file(&path[1..])?)?, "isoinfo and bsdtar read {path} differently");
    }
    Ok(())
}

#[test]
fn xorriso_sees_damage_that_we_do() -> Result<()> {
    let (Some(image), Some(xorriso)) = (Image::of("ram")?, Tool::find("xorriso")?) else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    let cut = cut(&image.iso, dir.path())?;
    let extract = |iso: &Path| {
        let mut xorriso = xorriso.command();
        xorriso.args(["-abort_on", "SORRY", "-osirrox", "on", "-indev"]).arg(iso).args(["-extract", "/"]);
        succeed(xorriso.arg(dir.path().join("files"))).map(drop)
    };
    extract(&image.iso)?;
    assert!(extract(&cut).is_err(), "xorriso took a cut image for a whole one");
    Ok(())
}
