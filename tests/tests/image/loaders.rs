//! Loaders that want kernel and initramfs in the ESP: the image has them once.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use harness::builder::{Image, succeed};
use harness::oracle::Tool;
use tempfile::TempDir;

/// For directories, tables, partition tables and what is rounded up.
const OVERHEAD: u64 = 1 << 20;

/// The ESP's files, unpacked by mtools.
struct Esp {
    dir: TempDir,
}

impl Esp {
    fn of(image: &Image) -> Result<Option<Self>> {
        let Some(mcopy) = Tool::find("mcopy")? else { return Ok(None) };
        let iso = fs::read(&image.iso)?;
        // The second entry of the GPT: UEFI specification 5.3.3.
        let entry = &iso[1024 + 128..1024 + 256];
        let first = u64::from_le_bytes(entry[32..40].try_into()?);
        ensure!(first > 0, "{} has no ESP", image.iso.display());
        let dir = tempfile::tempdir()?;
        let at = format!("{}@@{}", image.iso.display(), first * 512);
        succeed(mcopy.command().args(["-s", "-n", "-Q", "-i", &at, "::"]).arg(dir.path()))?;
        Ok(Some(Self { dir }))
    }

    fn file(&self, path: &str) -> Result<Vec<u8>> {
        fs::read(self.dir.path().join(path)).with_context(|| format!("the ESP's {path}"))
    }
}

fn files(dir: &Path, into: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() { files(&path, into)? } else { into.push(path) }
    }
    Ok(())
}

/// The image is no larger than everything that is in it, each content once, and
/// little around it. `embedded` bytes of the ESP's files are files of the ISO.
fn holds_nothing_twice(image: &Image, esp: &Esp, embedded: u64) -> Result<()> {
    let mut paths = Vec::new();
    files(image.files(), &mut paths)?;
    files(esp.dir.path(), &mut paths)?;
    let mut contents = BTreeMap::new();
    for path in paths {
        contents.insert(fs::read(&path)?, path);
    }
    let unique: u64 = contents.keys().map(|content| content.len() as u64).sum::<u64>() - embedded;
    let size = fs::metadata(&image.iso)?.len();
    ensure!(size <= unique + OVERHEAD, "{size} bytes hold {unique} bytes of content");
    Ok(())
}

#[test]
fn systemd_boot_shares_kernel_and_initramfs_with_the_iso() -> Result<()> {
    let Some(image) = Image::of("systemd-boot")? else { return Ok(()) };
    let Some(esp) = Esp::of(&image)? else { return Ok(()) };
    for path in ["boot/vmlinuz", "boot/initramfs.img"] {
        ensure!(esp.file(path)? == fs::read(image.file(path)?)?, "{path} differs between ISO and ESP");
    }
    let menu = String::from_utf8(esp.file("loader/entries/entry1.conf")?)?;
    ensure!(menu.starts_with("title Test\n") && menu.contains("\noptions console=ttyS0 "), "{menu}");
    holds_nothing_twice(&image, &esp, 0)
}

#[test]
fn a_unified_kernel_image_has_its_parts_where_objdump_and_the_iso_find_them() -> Result<()> {
    let (Some(image), Some(objdump)) = (Image::of("uki")?, Tool::find("objdump")?) else { return Ok(()) };
    let Some(esp) = Esp::of(&image)? else { return Ok(()) };
    let (kernel, initramfs) = (fs::read(image.file("boot/vmlinuz")?)?, fs::read(image.file("boot/initramfs.img")?)?);
    let uki = esp.file("EFI/BOOT/BOOTX64.EFI")?;
    let listing = objdump.output(&["-h"], &esp.dir.path().join("EFI/BOOT/BOOTX64.EFI"))?;
    for (name, content) in [(".initrd", &initramfs[..]), (".linux", &kernel), (".cmdline", b"console=ttyS0 panic=-1")] {
        // Idx Name Size VMA LMA File-off Algn
        let line = listing.lines().find(|line| line.split_whitespace().nth(1) == Some(name));
        let line = line.with_context(|| format!("no section {name} in:\n{listing}"))?;
        let at = usize::from_str_radix(line.split_whitespace().nth(5).context("a file offset")?, 16)?;
        ensure!(uki.get(at..at + content.len()) == Some(content), "the section {name} holds something else");
    }
    holds_nothing_twice(&image, &esp, (kernel.len() + initramfs.len()) as u64)
}
