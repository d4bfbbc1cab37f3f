//! Media on other file systems than our own images', and every way of naming one.

use std::fs::File;
use std::path::PathBuf;

use anyhow::{Context, Result};
use harness::builder::succeed;
use harness::exfat;
use harness::oracle::Tool;
use harness::vm::{Bus, Disk};

use super::{Scene, rows};

rows! {
    a_disk_of_large_sectors_boots: Always, "tiny", |s| Ok(vec![s.whole(Bus::Large)]), "" => Booting(&["medium: /dev/vda (iso9660)"]);
    files_on_a_fat_stick_boot: Always, "tiny", on_fat, "" => Booting(&["medium: /dev/sda (vfat)"]);
    files_on_an_ext4_disk_boot: Whole, "tiny", |s| on_ext4(s, ""), "" => Booting(&["medium: /dev/vda (ext4)"]);
    files_on_a_btrfs_disk_boot: Whole, "tiny", |s| made(s, "mkfs.btrfs", &["-q", "-L", "TEST_TINY", "--rootdir", "FILES", "DISK"]), ""
        => Booting(&["medium: /dev/vda (btrfs)"]);
    files_on_an_xfs_disk_boot: Whole, "tiny", on_xfs, "live.dir=/" => Booting(&["medium: /dev/vda (xfs)"]);
    files_in_a_squashfs_boot: Whole, "tiny", |s| made(s, "mksquashfs", &["FILES", "DISK", "-quiet", "-no-progress", "-noappend"]), "live.medium=/dev/vda"
        => Booting(&["medium: /dev/vda (squashfs)"]);
    files_in_an_erofs_boot: Whole, "tiny", |s| made(s, "mkfs.erofs", &["DISK", "FILES"]), "live.medium=/dev/vda"
        => Booting(&["medium: /dev/vda (erofs)"]);
    files_on_an_f2fs_disk_boot: Whole, "modules", on_f2fs, "live.medium=/dev/vda" => Booting(&["medium: /dev/vda (f2fs)"]);
    an_iso_file_on_a_disk_that_was_named_boots: Whole, "tiny", on_exfat, "live.iso=/our.iso live.iso.dev=LABEL=images"
        => Booting(&["medium: /dev/vda (exfat)"]);
    an_encrypted_disk_is_called_so: Whole, "tiny", encrypted, "live.medium=LABEL=secret" => In("E_MOUNT", &["/dev/vda: it is encrypted (LUKS)"]);
    a_medium_is_found_by_its_partition_s_label: Always, "tiny", partitioned, "live.medium=PARTLABEL=a\\x20medium" => Booting(&["medium: /dev/sda1 (ext4)"]);
    a_medium_is_found_by_its_partition_s_uuid: Whole, "tiny", partitioned, "live.medium=PARTUUID=00112233-4455-6677-8899-AABBCCDDEEFF" => Booting(&["medium: /dev/sda1 (ext4)"]);
    a_medium_is_found_by_its_uuid: Whole, "tiny", partitioned, "live.medium=UUID=ffeeddcc-bbaa-9988-7766-554433221100" => Booting(&["medium: /dev/sda1 (ext4)"]);
    a_medium_is_found_by_a_file_on_it: Whole, "tiny", partitioned, "live.medium=FILE=/live/root.squashfs" => Booting(&["medium: /dev/sda1 (ext4)"]);
    a_medium_is_found_as_what_can_be_taken_out: Whole, "tiny", partitioned, "live.medium=removable" => Booting(&["medium: /dev/sda1 (ext4)"]);
    a_medium_is_found_where_one_of_several_names_fits: Whole, "tiny", partitioned, "live.medium=LABEL=NOPE,/dev/disk/by-label/TEST_TINY" => Booting(&["medium: /dev/sda1 (ext4)"]);
}

fn tool(name: &str) -> Result<Tool> {
    Tool::find(name)?.with_context(|| format!("{name} makes this medium"))
}

/// As large as any of the file systems wants to be.
fn empty(scene: &Scene) -> Result<PathBuf> {
    let disk = scene.path("disk.img");
    File::create(&disk)?.set_len(300 << 20)?;
    Ok(disk)
}

/// By a tool that takes files along: FILES and DISK are theirs and its own.
fn made(scene: &Scene, name: &str, words: &[&str]) -> Result<Vec<Disk>> {
    let disk = empty(scene)?;
    let mut make = tool(name)?.command();
    for word in words {
        match *word {
            "FILES" => make.arg(scene.image.files()),
            "DISK" => make.arg(&disk),
            word => make.arg(word),
        };
    }
    succeed(&mut make)?;
    Ok(vec![Disk::new(Bus::Virtio, &disk)])
}

fn on_ext4(scene: &Scene, options: &str) -> Result<Vec<Disk>> {
    let uuid = "ffeeddcc-bbaa-9988-7766-554433221100";
    let mut words = vec!["-q", "-F", "-t", "ext4", "-L", "TEST_TINY", "-U", uuid, "-d", "FILES"];
    if !options.is_empty() {
        words.extend(["-E", options]);
    }
    words.extend(["DISK", "200M"]);
    made(scene, "mke2fs", &words)
}

/// A stick with a partition table around it.
fn partitioned(scene: &Scene) -> Result<Vec<Disk>> {
    let mut disks = on_ext4(scene, "offset=1048576")?;
    let words = ["-n", "1:2048:+200M", "-c", "1:a medium", "-u", "1:00112233-4455-6677-8899-AABBCCDDEEFF"];
    succeed(tool("sgdisk")?.command().args(words).arg(scene.path("disk.img")))?;
    disks[0].bus = Bus::Usb;
    Ok(disks)
}

fn on_fat(scene: &Scene) -> Result<Vec<Disk>> {
    let disk = empty(scene)?;
    succeed(tool("mkfs.vfat")?.command().args(["-F", "32", "-n", "TEST_TINY"]).arg(&disk))?;
    succeed(tool("mcopy")?.command().arg("-s").arg("-i").arg(&disk).arg(scene.image.file("live")?).arg("::"))?;
    Ok(vec![Disk::new(Bus::Usb, &disk)])
}

fn on_f2fs(scene: &Scene) -> Result<Vec<Disk>> {
    let disk = empty(scene)?;
    succeed(tool("mkfs.f2fs")?.command().arg("-q").arg(&disk))?;
    succeed(tool("sload.f2fs")?.command().arg("-f").arg(scene.image.files()).arg(&disk))?;
    Ok(vec![Disk::new(Bus::Virtio, &disk)])
}

fn on_exfat(scene: &Scene) -> Result<Vec<Disk>> {
    let disk = empty(scene)?;
    succeed(tool("mkfs.exfat")?.command().args(["-L", "images"]).arg(&disk))?;
    exfat::add(&disk, "our.iso", &scene.image.iso)?;
    Ok(vec![Disk::new(Bus::Virtio, &disk)])
}

fn encrypted(scene: &Scene) -> Result<Vec<Disk>> {
    let (disk, key) = (empty(scene)?, scene.path("key"));
    std::fs::write(&key, "secret")?;
    let mut format = tool("cryptsetup")?.command();
    format.args(["luksFormat", "-q", "--label", "secret", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"]);
    succeed(format.arg(disk.as_os_str()).arg(key))?;
    Ok(vec![Disk::new(Bus::Virtio, &disk)])
}

/// mkfs.xfs(8), `-p`: a list of what is to be in it, here with no directories.
fn on_xfs(scene: &Scene) -> Result<Vec<Disk>> {
    let list = scene.path("list");
    let file = |name| Ok(format!("{name} ---444 0 0 {}\n", scene.image.file("live")?.join(name).display()));
    let files = ["manifest", "root.squashfs"].map(file).into_iter().collect::<Result<String>>()?;
    std::fs::write(&list, format!("/\n0 0\nd--755 0 0\n{files}$\n"))?;
    let list = list.to_str().context("mkfs.xfs takes names that are text")?;
    made(scene, "mkfs.xfs", &["-q", "-L", "TEST_TINY", "-p", list, "DISK"])
}
