//! What a system in memory saves is there at its next boot, and a save that was
//! cut gives way to the one before it.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use harness::builder::succeed;
use harness::oracle::Tool;
use harness::vm::{Bus, Content, Disk, Guest};

use crate::faults::{Run, Scene};
use crate::handover::{is_off, shows};
use crate::persist::writable;
use crate::{BOOT, SOON};

#[test]
fn a_save_is_there_at_the_next_boot_and_one_that_was_cut_gives_way() -> Result<()> {
    let Some(scene) = Scene::of("ram", Run::Always)? else { return Ok(()) };
    let Some(stick) = Stick::new(&scene)? else { return Ok(()) };

    assert_eq!(kept(&mut stick.boot(&scene, "live.save=LABEL=KEEP")?)?, "", "nothing was saved yet");
    assert_eq!(kept(&mut stick.boot(&scene, "live.save=LABEL=KEEP:/live live.ram=tmpfs")?)?, "x");

    let save = stick.take("save.tar.gz", &scene)?;
    let tar = Tool::find("tar")?.context("GNU tar reads saves")?;
    let listed = String::from_utf8(succeed(tar.command().arg("-tzf").arg(&save))?.stdout)?;
    ensure!(listed.lines().any(|line| line == "root/kept"), "{listed}");
    OpenOptions::new().write(true).open(&save)?.set_len(fs::metadata(&save)?.len() / 2)?;
    stick.put(&save)?;

    let mut guest = stick.boot(&scene, "live.save=LABEL=KEEP live.save.at=shutdown")?;
    guest.expect("save.tar.gz is damaged", BOOT)?;
    assert_eq!(kept(&mut guest)?, "x", "the one before the one that was cut");
    ensure!(fs::read(stick.take("save.tar.gz.bad", &scene)?)? == fs::read(&save)?, "it is not set aside");
    stick.take("save.tar.gz.1", &scene).map(drop)
}

macro_rules! rows {
    ($($name:ident: $run:ident, $image:literal, $mib:literal, $tool:literal $words:expr;)*) => {$(
        #[test]
        fn $name() -> Result<()> {
            a_save_outlives_a_power_cut(Run::$run, $image, $mib, $tool, &$words)
        }
    )*};
}

rows! {
    what_was_saved_on_fat_outlives_a_power_cut: Always, "ram", 64, "mkfs.vfat" ["-n", "KEEP"];
    what_was_saved_on_exfat_outlives_a_power_cut: Whole, "ram", 64, "mkfs.exfat" ["-L", "KEEP"];
    what_was_saved_on_ext4_outlives_a_power_cut: Whole, "ram", 64, "mkfs.ext4" ["-q", "-L", "KEEP"];
    what_was_saved_on_xfs_outlives_a_power_cut: Whole, "ram", 300, "mkfs.xfs" ["-q", "-L", "KEEP"];
    what_was_saved_on_btrfs_outlives_a_power_cut: Whole, "ram", 128, "mkfs.btrfs" ["-q", "-L", "KEEP"];
    what_was_saved_on_f2fs_outlives_a_power_cut: Whole, "f2fs", 64, "mkfs.f2fs" ["-q", "-l", "KEEP"];
}

/// On a partition as large as its file system wants it. Saves when the system stops; the
/// next save is cut in its middle, and the boot after that has the first one.
fn a_save_outlives_a_power_cut(run: Run, image: &'static str, mib: u64, tool: &str, words: &[&str]) -> Result<()> {
    const CMDLINE: &str = "live.save=LABEL=KEEP live.save.at=shutdown";
    let Some(scene) = Scene::of(image, run)? else { return Ok(()) };
    let Some(mkfs) = Tool::find(tool)? else { return Ok(()) };
    let disk = scene.path("disk.img");
    File::create(&disk)?.set_len(mib << 20)?;
    succeed(mkfs.command().args(words).arg(&disk))?;
    let boot = |order| {
        let disks = vec![scene.whole(Bus::Virtio), writable(Bus::Virtio, &disk)];
        let guest = scene.start_with(disks, CMDLINE, 512, order)?;
        if order == "none" {
            shows(&guest, "~/ # ")?;
        }
        Ok::<_, anyhow::Error>(guest)
    };

    let mut guest = boot("none")?;
    guest.type_line("echo first > /root/kept; poweroff")?;
    shows(&guest, "entries are saved on /dev/")?;
    is_off(&mut guest)?;
    drop(guest);

    let mut guest = boot("none")?;
    // Noise, which takes as much room in the save as in the system.
    guest.type_line("dd if=/dev/urandom of=/root/noise bs=1M count=32 2> /dev/null; echo second > /root/kept")?;
    guest.type_line("/usr/sbin/live-save &")?;
    guest.type_line("for n in $(seq 200); do [ -s /run/live/saved/live/.save.new ] && break; sleep 0.1; done")?;
    guest.type_line("killall -STOP live-save; sync")?;
    guest.type_line(
        "echo \"$(cat /sys/class/dmi/id/product_serial) half=$(ls -A /run/live/saved/live | tr '\\n' ' ')\"",
    )?;
    assert_eq!(guest.report("half", BOOT)?.trim(), ".save.new save.tar.gz", "the save is not in its middle");
    ensure!(!guest.console.text().contains("entries are saved"), "there was nothing to cut");
    drop(guest);

    let mut guest = boot("report")?;
    assert_eq!(kept(&mut guest)?, "first");
    ensure!(!guest.console.text().contains("is damaged"), "half a save was under the name of a whole one");
    Ok(())
}

#[test]
fn without_a_place_to_save_the_boot_goes_on_and_says_so() -> Result<()> {
    let Some(scene) = Scene::of("ram", Run::Whole)? else { return Ok(()) };
    let guest = scene.start(vec![scene.whole(Bus::Virtio)], "live.save live.timeout=5", 512)?;
    guest.expect("NOTHING IS SAVED", BOOT)?;
    assert_eq!(guest.report("packages", BOOT)?, "first second");
    Ok(())
}

/// What an earlier boot saved; this one saves one more letter.
fn kept(guest: &mut Guest) -> Result<String> {
    let kept = guest.report("kept", BOOT)?;
    let saved = guest.report("saved", BOOT)?;
    ensure!(saved.contains("entries are saved on /dev/"), "{saved}");
    guest.passed(SOON)?;
    Ok(kept)
}

/// FAT, as sticks have it.
struct Stick {
    file: PathBuf,
    mcopy: Tool,
}

impl Stick {
    fn new(scene: &Scene) -> Result<Option<Self>> {
        let (Some(mkfs), Some(mcopy)) = (Tool::find("mkfs.vfat")?, Tool::find("mcopy")?) else { return Ok(None) };
        let file = scene.path("stick.img");
        File::create(&file)?.set_len(64 << 20)?;
        succeed(mkfs.command().args(["-n", "KEEP"]).arg(&file))?;
        Ok(Some(Self { file, mcopy }))
    }

    fn boot(&self, scene: &Scene, cmdline: &str) -> Result<Guest> {
        let stick = Disk { bus: Bus::Virtio, content: Content::Kept(self.file.clone()) };
        scene.start(vec![scene.whole(Bus::Virtio), stick], cmdline, 512)
    }

    fn take(&self, name: &str, scene: &Scene) -> Result<PathBuf> {
        let taken = scene.path(name);
        let from = format!("::live/{name}");
        succeed(self.mcopy.command().arg("-o").arg("-i").arg(&self.file).arg(from).arg(&taken))?;
        Ok(taken)
    }

    fn put(&self, file: &Path) -> Result<()> {
        succeed(self.mcopy.command().arg("-o").arg("-i").arg(&self.file).arg(file).arg("::live/")).map(drop)
    }
}
