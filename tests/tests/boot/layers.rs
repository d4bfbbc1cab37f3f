//! Several layers, and those that are used only where they are named.

use std::fs;

use anyhow::{Context, Result};
use harness::builder::succeed;
use harness::oracle::Tool;
use harness::vm::{Bus, Disk};

use crate::faults::{Run, Scene};
use crate::{BOOT, SOON, check_status};

#[test]
fn a_layer_that_is_named_lies_over_the_others() -> Result<()> {
    let Some(scene) = Scene::of("tiny", Run::Always)? else { return Ok(()) };
    for (cmdline, extra, layers) in
        [("live.layers=more", "from the layer", 2), ("", "", 1), ("live.layers=more,-more", "", 1)]
    {
        let mut guest = scene.start(with_extra_layer(&scene)?, cmdline, 512)?;
        assert_eq!(guest.report("extra", BOOT)?, extra, "{cmdline}");
        assert_eq!(guest.report("layer", SOON)?.split_whitespace().count(), layers, "{cmdline}");
        check_status(&guest)?;
        guest.passed(SOON)?;
    }
    Ok(())
}

#[test]
fn a_layer_that_is_none_is_named() -> Result<()> {
    let Some(scene) = Scene::of("tiny", Run::Whole)? else { return Ok(()) };
    let mut guest = scene.start(with_extra_layer(&scene)?, "live.layers=mroe", 512)?;
    guest.expect("live.layers=mroe: this medium has no such part, only root more", BOOT)?;
    guest.report("root", BOOT)?;
    guest.passed(SOON)
}

#[test]
fn a_layer_of_the_profile_adds_and_takes_away() -> Result<()> {
    let Some(scene) = Scene::of("layers", Run::Always)? else { return Ok(()) };
    let menu = fs::read_to_string(scene.image.file("boot/grub/grub.cfg")?)?;
    let hashes = menu.split_whitespace().find(|word| word.starts_with("live.verity="));
    let hashes = hashes.context("the boot entries name no root hash")?;
    let mut guest = scene.start(vec![scene.whole(Bus::Virtio)], hashes, 512)?;
    assert_eq!(guest.report("extra", BOOT)?, "from the layer");
    assert_eq!(guest.report("errors", SOON)?, "1", "/big is to be gone");
    assert_eq!(guest.report("layer", SOON)?.split_whitespace().count(), 2);
    check_status(&guest)?;
    guest.passed(SOON)
}

fn with_extra_layer(scene: &Scene) -> Result<Vec<Disk>> {
    let pack = Tool::find("mksquashfs")?.context("squashfs-tools make this layer")?;
    scene.edited(b"TEST_TINY", true, |edit| {
        let (root, layer) = (scene.path("extra"), edit.file("more.squashfs"));
        fs::create_dir_all(&root)?;
        fs::write(root.join("from-extra"), "from the layer")?;
        succeed(pack.command().arg(&root).arg(&layer).args(["-quiet", "-no-progress", "-comp", "zstd", "-noappend"]))?;
        edit.manifest(|line| {
            if line.starts_with("part ") {
                format!("{line}\npart more.squashfs size=0 unpacked=0 sha256={} optional extra", "0".repeat(64))
            } else {
                line.to_owned()
            }
        })?;
        edit.sign("more.squashfs")
    })
}
