//! What firmware looks at: partition tables, the ESP, the menus.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use harness::builder::{Image, succeed};
use harness::oracle::Tool;

/// isolinux and GRUB; GRUB and shim with signed GRUB.
const PROFILES: [&str; 2] = ["ram", "grub"];

/// The second partition, which sgdisk has to find.
fn esp(image: &Image, sgdisk: &Tool, dir: &Path) -> Result<PathBuf> {
    let about = sgdisk.output(&["-i", "2"], &image.iso)?;
    ensure!(about.contains("EFI system partition"), "the second partition is no ESP:\n{about}");
    let sector = |name: &str| -> Result<u64> {
        let line = about.lines().find_map(|line| line.strip_prefix(name)).with_context(|| about.clone())?;
        Ok(line.split_whitespace().next().context("a number")?.parse()?)
    };
    let (first, last) = (sector("First sector:")?, sector("Last sector:")?);
    ensure!(first * 512 % (1 << 20) == 0, "the ESP begins at sector {first}, which is no whole MiB");
    let mut iso = File::open(&image.iso)?;
    iso.seek(SeekFrom::Start(first * 512))?;
    let file = dir.join("esp");
    std::io::copy(&mut iso.take((last + 1 - first) * 512), &mut File::create(&file)?)?;
    Ok(file)
}

#[test]
fn partition_tables_are_in_order() -> Result<()> {
    let (Some(sgdisk), Some(sfdisk)) = (Tool::find("sgdisk")?, Tool::find("sfdisk")?) else { return Ok(()) };
    for profile in PROFILES {
        let Some(image) = Image::of(profile)? else { return Ok(()) };
        let told = sgdisk.output(&["-v"], &image.iso)?;
        assert!(told.contains("No problems found"), "{profile}: {told}");
        let told = sfdisk.output(&["-V"], &image.iso)?;
        assert!(told.contains("No errors detected"), "{profile}: {told}");
    }
    Ok(())
}

#[test]
fn the_esp_is_sound_and_its_programs_are_stored_once() -> Result<()> {
    let tools = (Tool::find("sgdisk")?, Tool::find("fsck.fat")?, Tool::find("mcopy")?);
    let (Some(sgdisk), Some(fsck), Some(mcopy)) = tools else { return Ok(()) };
    for (profile, programs) in [("ram", &["BOOTX64.EFI"][..]), ("grub", &["BOOTX64.EFI", "grubx64.efi", "mmx64.efi"])] {
        let Some(image) = Image::of(profile)? else { return Ok(()) };
        let dir = tempfile::tempdir()?;
        let esp = esp(&image, &sgdisk, dir.path())?;
        fsck.output(&["-n"], &esp)?;
        let mut unique = fs::metadata(&esp)?.len();
        for program in programs {
            let from = format!("::EFI/BOOT/{program}");
            let copy = dir.path().join(program);
            succeed(mcopy.command().arg("-i").arg(&esp).args(["-n", &from]).arg(&copy))?;
            let on_iso = fs::read(image.file(&format!("EFI/BOOT/{program}"))?)?;
            assert!(fs::read(&copy)? == on_iso, "{profile}: {program} differs between the ISO and its ESP");
            unique -= on_iso.len() as u64;
        }
        ensure!(unique < 256 << 10, "{profile}: {unique} bytes of the ESP are none of its programs'");
    }
    Ok(())
}

#[test]
fn firmware_finds_one_loader_each() -> Result<()> {
    let Some(xorriso) = Tool::find("xorriso")? else { return Ok(()) };
    for profile in PROFILES {
        let Some(image) = Image::of(profile)? else { return Ok(()) };
        let mut ask = xorriso.command();
        ask.arg("-indev").arg(&image.iso).args(["-report_el_torito", "plain"]);
        let about = String::from_utf8(succeed(&mut ask)?.stdout)?;
        let loaders = about.lines().filter(|line| line.starts_with("El Torito boot img"));
        let platforms: Vec<&str> = loaders.filter_map(|line| line.split_whitespace().nth(6)).collect();
        assert_eq!(platforms, ["BIOS", "UEFI"], "{profile}: {about}");
    }
    Ok(())
}

#[test]
fn grub_can_read_its_menus() -> Result<()> {
    let (Some(check), Some(sgdisk), Some(mtype)) =
        (Tool::find("grub-script-check")?, Tool::find("sgdisk")?, Tool::find("mtype")?)
    else {
        return Ok(());
    };
    for profile in PROFILES {
        let Some(image) = Image::of(profile)? else { return Ok(()) };
        let dir = tempfile::tempdir()?;
        let esp = esp(&image, &sgdisk, dir.path())?;
        let stub = succeed(mtype.command().arg("-i").arg(&esp).arg("::boot/grub/grub.cfg"))?.stdout;
        let on_esp = dir.path().join("stub.cfg");
        fs::write(&on_esp, stub)?;
        for menu in [image.file("boot/grub/grub.cfg")?, image.file("boot/grub/loopback.cfg")?, on_esp] {
            check.output(&[], &menu)?;
            let text = fs::read_to_string(&menu)?;
            // Secure Boot allows neither.
            ensure!(!text.contains("insmod") && !text.contains("loadfont"), "{}: {text}", menu.display());
        }
    }
    Ok(())
}

#[test]
fn checkisomd5_finds_the_image_whole_and_a_changed_one_not() -> Result<()> {
    let (Some(image), Some(check)) = (Image::of("ram")?, Tool::find("checkisomd5")?) else { return Ok(()) };
    check.output(&[], &image.iso)?;
    let dir = tempfile::tempdir()?;
    let changed = dir.path().join("changed.iso");
    fs::copy(&image.iso, &changed)?;
    let mut file = fs::OpenOptions::new().write(true).open(&changed)?;
    file.seek(SeekFrom::Start(fs::metadata(&image.iso)?.len() / 2))?;
    file.write_all(b"changed")?;
    assert!(check.output(&[], &changed).is_err(), "a changed image passed");
    Ok(())
}

/// What is in it, each thing once, and 1 MiB for everything that describes it.
#[test]
fn nothing_is_in_the_image_twice() -> Result<()> {
    for profile in PROFILES {
        let Some(image) = Image::of(profile)? else { return Ok(()) };
        let mut unique = BTreeMap::new();
        let mut folders = vec![image.file("")?];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let mut bytes = Vec::new();
                    File::open(&path)?.read_to_end(&mut bytes)?;
                    unique.insert(bytes, path);
                }
            }
        }
        let payload: usize = unique.keys().map(Vec::len).sum();
        let (size, limit) = (fs::metadata(&image.iso)?.len(), payload as u64 + (1 << 20));
        writeln!(std::io::stderr(), "\nSIZE {profile}.iso: {} KiB of {} KiB", size.div_ceil(1024), limit / 1024)?;
        ensure!(size <= limit, "{profile}.iso has {size} bytes, and what is in it {payload}");
    }
    Ok(())
}
