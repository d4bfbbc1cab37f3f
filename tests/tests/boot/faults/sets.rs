//! Packages on a second medium: they come over the first one's, and what is wrong
//! with it is told by the parameter and the device.

use std::fs;

use anyhow::{Context, Result};
use harness::builder::succeed;
use harness::medium::Edit;
use harness::oracle::Tool;
use harness::vm::{Bus, Disk};

use super::{Run, Scene, check_words, rows};
use crate::{BOOT, SOON, check_status};

const PACKAGE: &str = "packages/01-more.tar.xz";
/// Larger than three of the blocks that it is packed in.
const BIG: u32 = 13 << 20;

// Which of two disks is vda is the kernel's to say, and not the same each time.
rows! {
    a_second_medium_that_is_missing_is_named: Always, "ram", |s| Ok(vec![s.whole(Bus::Virtio)]), "live.packages=LABEL=EXTRA"
        => In("E_NO_MEDIUM", &["live.packages=LABEL=EXTRA: ", "within 5 s"]);
    a_damaged_package_of_a_second_medium_is_noticed: Always, "ram", |s| second(s, |edit| {
        let mut bytes = fs::read(edit.file(PACKAGE))?;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
        Ok(fs::write(edit.file(PACKAGE), bytes)?)
    }), "live.packages=LABEL=EXTRA" => In("E_DIGEST", &["live.packages=LABEL=EXTRA (/dev/vd", "): packages/01-more.tar.xz: its SHA-256 is"]);
    a_short_package_of_a_second_medium_is_noticed: Whole, "ram", |s| second(s, |edit| {
        Ok(fs::OpenOptions::new().write(true).open(edit.file(PACKAGE))?.set_len(5000)?)
    }), "live.packages=LABEL=EXTRA" => In("E_TRUNCATED", &["live.packages=LABEL=EXTRA (/dev/vd", "): packages/01-more.tar.xz: it has 5000 bytes"]);
    a_changed_manifest_of_a_second_medium_is_noticed: Always, "ram", |s| second(s, |edit| {
        let text = fs::read_to_string(edit.file("manifest"))?;
        Ok(fs::write(edit.file("manifest"), text.replace("unpacked=1", "unpacked=2"))?)
    }), "live.packages=LABEL=EXTRA" => In("E_MANIFEST", &["live.packages=LABEL=EXTRA: ", "manifest of /dev/vd", "its digest does not match"]);
    a_second_medium_of_layers_has_no_packages: Whole, "ram", |s| second(s, |edit| {
        edit.manifest(|line| line.replace("mode ram", "mode overlay"))
    }), "live.packages=LABEL=EXTRA" => In("E_MODE", &["live.packages=LABEL=EXTRA (/dev/vd", "overlay mode"]);
}

#[test]
fn packages_of_a_second_medium_come_over_the_first_one_s() -> Result<()> {
    let Some(scene) = Scene::of("ram", Run::Always)? else { return Ok(()) };
    let disks = second(&scene, |_| Ok(()))?;
    let mut guest = scene.start(disks, "live.packages=LABEL=EXTRA live.layers=-first", 512)?;
    assert_eq!(guest.report("packages", BOOT)?, "more second");
    assert_eq!(guest.report("last", SOON)?, "more");
    assert_eq!(guest.report("media", SOON)?, "0", "a medium is still mounted");
    check_status(&guest)?;
    check_words(&guest.console.text(), &["liveroot: packages: /dev/vd", "01-more.tar.xz: 3 entries, 13 MiB"])?;
    guest.passed(SOON)
}

/// The image, and beside it a disc of another build with one package in several
/// blocks, whose last entries are behind a large one.
fn second(scene: &Scene, change: impl FnOnce(&Edit) -> Result<()>) -> Result<Vec<Disk>> {
    let edit = Edit::of(&scene.image)?.context("xorriso makes these media")?;
    let part = format!("part {PACKAGE} size=0 unpacked=16000000 sha256={} required", "0".repeat(64));
    edit.manifest(|line| match line.split(' ').next() {
        Some("part") => String::new(),
        Some("boot-id") => format!("boot-id {}\n{part}", "0".repeat(32)),
        _ => line.to_owned(),
    })?;
    let tree = scene.path("tree");
    fs::create_dir_all(tree.join("etc/test-packages"))?;
    fs::write(tree.join("big"), (0..BIG).map(|n| (n.wrapping_mul(2_654_435_761) >> 17) as u8).collect::<Vec<_>>())?;
    fs::write(tree.join("etc/test-last"), "more")?;
    fs::write(tree.join("etc/test-packages/more"), "")?;
    let (tar, xz) = (Tool::find("tar")?.context("GNU tar makes it")?, Tool::find("xz")?.context("xz packs it")?);
    let archive = scene.path("more.tar");
    let mut pack = tar.command();
    pack.args(["--owner=0", "--group=0", "-cf"]).arg(&archive).arg("-C").arg(&tree);
    succeed(pack.args(["big", "etc/test-last", "etc/test-packages/more"]))?;
    fs::write(edit.file(PACKAGE), succeed(xz.command().args(["-0", "--block-size=4MiB", "-c"]).arg(archive))?.stdout)?;
    edit.sign(PACKAGE)?;
    change(&edit)?;
    edit.iso(b"EXTRA", false, &scene.path("second.iso"))?;
    Ok(vec![scene.whole(Bus::Virtio), Disk::new(Bus::Virtio, &scene.path("second.iso"))])
}
