//! An initramfs that is cut or damaged: the kernel goes on with what it could
//! unpack, and /init does not.

use std::fs;

use anyhow::{Context, Result, ensure};
use harness::builder::{Image, succeed};
use harness::oracle::Tool;
use harness::vm::{self, Attach, Machine};
use harness::vmlinux;

use crate::BOOT;

/// Two points of each table in every run; LIVEROOT_DAMAGE_POINTS=50 is the whole.
const POINTS: usize = 2;

/// What /init does first of all that it does with the machine.
const PAST_THE_CHECK: &str = "liveroot: devices:";

/// The kernel's panics where /init cannot be started, or dies.
const NO_INIT: [&str; 3] = ["No working init found", "Unable to mount root fs", "Attempted to kill init"];

macro_rules! tables {
    ($($name:ident: $image:expr, $archive:expr, $damage:expr;)*) => {$(
        #[test]
        fn $name() -> Result<()> {
            never_passes($image, $archive, $damage)
        }
    )*};
}

tables! {
    // Of several archives, with packed kmods between them, and of one alone.
    a_cut_initramfs_never_passes: "live", packed, cut;
    a_flipped_initramfs_never_passes: "live", packed, flip;
    a_cut_archive_never_passes: "ram", unpacked, cut;
    a_flipped_archive_never_passes: "ram", unpacked, flip;
}

fn never_passes(
    image: &'static str,
    archive: fn(&Image) -> Result<Option<Vec<u8>>>,
    damage: fn(&[u8], usize) -> Vec<u8>,
) -> Result<()> {
    let Some(image) = Image::of(image)? else { return Ok(()) };
    let Some(whole) = archive(&image)? else { return Ok(()) };
    let points = std::env::var("LIVEROOT_DAMAGE_POINTS").ok().and_then(|points| points.parse().ok()).unwrap_or(POINTS);
    for n in 0..points {
        let at = (whole.len() - 1) * (2 * n + 1) / (2 * points);
        let console = boot(&image, &damage(&whole, at))?;
        let refused = console.contains("liveroot: E_INITRAMFS ");
        println!("{at} of {}: {}", whole.len(), if refused { "E_INITRAMFS" } else { "the kernel's panic" });
        ensure!(!console.contains(PAST_THE_CHECK), "past the check with byte {at} of {}:\n{console}", whole.len());
        // Where /init itself is what was hit there is nobody else to say it.
        let by_kernel = NO_INIT.iter().any(|panic| console.contains(panic));
        ensure!(refused || by_kernel, "no word of byte {at} of {}:\n{console}", whole.len());
    }
    Ok(())
}

#[test]
fn init_alone_says_what_is_missing() -> Result<()> {
    let Some(image) = Image::of("ram")? else { return Ok(()) };
    let Some(mut archive) = unpacked(&image)? else { return Ok(()) };
    // The length of the first entry's content, by newc's header.
    let len = usize::from_str_radix(std::str::from_utf8(&archive[54..62])?, 16)?;
    archive.truncate(len + 200);
    let console = boot(&image, &archive)?;
    let fault = console.split_once("liveroot: E_INITRAMFS ").context("no E_INITRAMFS")?.1;
    ensure!(fault.lines().next().is_some_and(|line| line.contains("/etc/live/contents")), "{fault}");
    Ok(())
}

#[test]
fn other_archives_before_and_behind_it_do_not_matter() -> Result<()> {
    let (Some(image), Some(bsdtar)) = (Image::of("ram")?, Tool::find("bsdtar")?) else { return Ok(()) };
    let Some(whole) = packed(&image)? else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    let foreign = |file: &str, zip: &[&str]| -> Result<Vec<u8>> {
        let at = dir.path().join(file);
        fs::create_dir_all(at.parent().context("a file is in a folder")?)?;
        fs::write(&at, "theirs\n")?;
        let mut pack = bsdtar.command();
        // Directories of ours with somebody else's owner.
        pack.args(["--format=newc", "--uid=1000", "--gid=1000", "-cf", "-"]).args(zip).arg("-C").arg(dir.path());
        Ok(succeed(pack.arg(file.split('/').next().unwrap_or_default()))?.stdout)
    };
    let mut image_of_three = foreign("kernel/x86/microcode/none.bin", &[])?;
    image_of_three.resize(image_of_three.len().next_multiple_of(512), 0);
    image_of_three.extend_from_slice(&whole);
    image_of_three.resize(image_of_three.len().next_multiple_of(4), 0);
    image_of_three.extend(foreign("etc/theirs", &["-z"])?);
    for bytes in [&whole, &image_of_three] {
        let console = boot(&image, bytes)?;
        ensure!(console.contains(PAST_THE_CHECK) && console.contains("liveroot: E_NO_MEDIUM "), "{console}");
    }
    Ok(())
}

fn packed(image: &Image) -> Result<Option<Vec<u8>>> {
    Ok(Some(fs::read(image.file("boot/initramfs.img")?)?))
}

/// Before compression.
fn unpacked(image: &Image) -> Result<Option<Vec<u8>>> {
    let Some(zstd) = Tool::find("zstd")? else { return Ok(None) };
    Ok(Some(succeed(zstd.command().args(["-q", "-d", "-c"]).arg(image.file("boot/initramfs.img")?))?.stdout))
}

fn cut(archive: &[u8], at: usize) -> Vec<u8> {
    archive[..at].to_vec()
}

fn flip(archive: &[u8], at: usize) -> Vec<u8> {
    let mut flipped = archive.to_vec();
    flipped[at] ^= 1 << (at % 8);
    flipped
}

/// Its whole console, up to its end: nobody answers, there is no medium of
/// that name, and `panic=-1` reboots without waiting.
fn boot(image: &Image, initramfs: &[u8]) -> Result<String> {
    let dir = tempfile::tempdir()?;
    let at = |name: &str| dir.path().join(name);
    fs::write(at("initramfs"), initramfs)?;
    let mut kernel = image.kernel("console=ttyS0 panic=-1 live.medium=LABEL=NOPE live.timeout=1")?;
    let accel = vm::accel(&kernel.vmlinuz);
    kernel.vmlinuz = vmlinux::extract(&kernel.vmlinuz, dir.path())?;
    kernel.initramfs = Some(at("initramfs"));
    let mut guest = Machine::new(&image.iso, Attach::Virtio).with_kernel(kernel).start(accel)?;
    guest.end(BOOT)?;
    Ok(guest.console.text())
}
