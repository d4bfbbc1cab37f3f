//! Media that are not what they were when they were made, or not ours.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use harness::builder::succeed;
use harness::medium::Edit;
use harness::oracle::Tool;
use harness::vm::{Bus, Disk};

use super::{Scene, rows};

const ROOT: &str = "live/root.squashfs";

rows! {
    a_medium_cut_in_half_is_not_mounted: Always, "tiny", |s| cut(s, 1, 2), "" => In("E_TRUNCATED", &["it has ", "should have "]);
    a_medium_without_its_end_is_not_mounted: Whole, "tiny", |s| cut(s, 99, 100), "" => In("E_TRUNCATED", &["it has ", "should have "]);
    a_disc_cut_in_half_is_not_mounted: Whole, "ram", |s| Ok(vec![Disk { bus: Bus::Cdrom, ..cut(s, 1, 2)?.remove(0) }]), "live.timeout=30" => In("E_TRUNCATED", &["/dev/sr0"]);
    a_layer_that_is_short_is_named: Whole, "tiny", |s| s.edited(b"TEST_TINY", true, |edit| {
        Ok(fs::OpenOptions::new().write(true).open(edit.file("root.squashfs"))?.set_len(5 << 20)?)
    }), "" => In("E_TRUNCATED", &["root.squashfs", "it has 5242880 bytes"]);
    a_layer_that_is_missing_is_named: Whole, "tiny", |s| s.edited(b"TEST_TINY", true, |edit| Ok(fs::remove_file(edit.file("root.squashfs"))?)), ""
        => In("E_TRUNCATED", &["root.squashfs"]);
    a_flipped_bit_of_a_layer_is_noticed: Always, "tiny", |s| flipped(s, ROOT, 4 << 20), "live.check=full" => In("E_DIGEST", &["root.squashfs", "SHA-256"]);
    a_flipped_bit_of_a_layer_is_told_of_and_booted_with: Whole, "tiny", |s| flipped(s, ROOT, 4 << 20), "live.check=warn"
        => Booting(&["root.squashfs: its SHA-256 is ", "; going on with it", "liveroot: check: degraded"]);
    a_flipped_bit_of_a_copied_layer_is_noticed: Whole, "tiny", |s| flipped(s, ROOT, 4 << 20), "live.toram" => In("E_DIGEST", &["root.squashfs"]);
    a_flipped_bit_of_a_package_is_noticed: Always, "ram", |s| flipped(s, "live/packages/01-base.tar.xz", 5000), "" => In("E_DIGEST", &["01-base.tar.xz"]);
    a_flipped_bit_of_the_manifest_is_noticed: Whole, "tiny", |s| flipped(s, "live/manifest", 60), "" => In("E_MANIFEST", &["digest"]);
    a_missing_manifest_is_noticed: Whole, "tiny", |s| s.edited(b"TEST_TINY", true, |edit| Ok(fs::remove_file(edit.file("manifest"))?)), ""
        => In("E_MANIFEST", &["live/manifest", "No such file"]);
    a_manifest_of_another_age_is_refused: Whole, "tiny", |s| s.edited(b"TEST_TINY", true, |edit| edit.manifest(|line| line.replace("-manifest 1.", "-manifest 2."))), ""
        => In("E_MANIFEST", &["2.", "different ages"]);
    a_layer_of_noise_is_no_squashfs: Whole, "tiny", |s| s.edited(b"TEST_TINY", true, |edit| {
        fs::write(edit.file("root.squashfs"), vec![7; 1 << 20])?;
        edit.sign("root.squashfs")
    }), "" => In("E_LAYER", &["root.squashfs"]);
    a_package_of_noise_is_named: Whole, "ram", |s| s.edited(b"TEST_RAM", true, |edit| {
        fs::write(edit.file("packages/02-first.tar.xz"), vec![7; 4096])?;
        edit.sign("packages/02-first.tar.xz")
    }), "" => In("E_PACKAGE", &["02-first.tar.xz"]);
    a_package_that_climbs_is_refused: Always, "ram", |s| hostile(s, "../../etc/passwd", b'0'), "" => In("E_PACKAGE", &["02-first.tar.xz", "../../etc/passwd"]);
    a_package_with_a_device_is_refused: Whole, "ram", |s| hostile(s, "dev/disk", b'4'), "" => In("E_PACKAGE", &["dev/disk"]);
    another_label_is_no_matter_where_the_boot_id_is_ours: Whole, "tiny", |s| s.edited(b"OTHER", true, |_| Ok(())), "" => Booting(&[]);
    our_label_alone_is_not_enough: Always, "tiny", |s| s.edited(b"TEST_TINY", true, |edit| {
        edit.manifest(|line| if line.starts_with("boot-id ") { format!("boot-id {}", "0".repeat(32)) } else { line.into() })
    }), "" => In("E_MANIFEST", &["it is of build 0000"]);
    // Whether the second is told of depends on which probe ends first.
    two_that_are_alike_do_no_harm: Always, "tiny", |s| Ok(vec![s.whole(Bus::Virtio), s.whole(Bus::Virtio)]), "" => Booting(&[]);
    a_hostile_label_is_escaped: Always, "tiny", |s| s.edited(b"\x1b[2J%s\n$(reboot)", false, |_| Ok(())), ""
        => In("E_NO_MEDIUM", &[]);
    a_root_without_an_init_is_not_entered: Always, "tiny", |s| other_root(s, |root| Ok(fs::remove_file(root.join("sbin/init"))?)), ""
        => In("E_NO_INIT", &["/sbin/init is not there"]);
    an_init_of_another_machine_is_not_entered: Always, "tiny", |s| other_root(s, |root| {
        let mut elf = vec![0; 120];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        elf[18] = 243; // EM_RISCV
        Ok(fs::write(root.join("sbin/init"), elf)?)
    }), "" => In("E_NO_INIT", &["another machine"]);
    an_init_without_its_interpreter_is_not_entered: Whole, "tiny", |s| other_root(s, |root| {
        Ok(fs::write(root.join("sbin/init"), "#!/no/shell\n")?)
    }), "" => In("E_NO_INIT", &["/no/shell is not there"]);
    a_changed_root_is_not_the_root_hash_s: Whole, "verity", |s| flipped(s, ROOT, 200), "" => In("E_VERITY", &["it was changed"]);
}

fn cut(scene: &Scene, part: usize, of: usize) -> Result<Vec<Disk>> {
    Ok(vec![scene.changed(Bus::Virtio, |bytes| {
        bytes.truncate(bytes.len() / of * part / 2048 * 2048);
        Ok(())
    })?])
}

fn flipped(scene: &Scene, file: &str, at: usize) -> Result<Vec<Disk>> {
    let at = scene.offset(file)? + at;
    Ok(vec![scene.changed(Bus::Virtio, |bytes| {
        bytes[at] ^= 0x10;
        Ok(())
    })?])
}

/// The medium with another root in its squashfs.
pub(crate) fn other_root(scene: &Scene, change: impl FnOnce(&Path) -> Result<()>) -> Result<Vec<Disk>> {
    let (unpack, pack) = (Tool::find("unsquashfs")?, Tool::find("mksquashfs")?);
    let (unpack, pack) = unpack.zip(pack).context("squashfs-tools make these media")?;
    scene.edited(b"TEST_TINY", true, |edit| {
        let (layer, root) = (edit.file("root.squashfs"), scene.path("root"));
        succeed(unpack.command().arg("-no-progress").arg("-d").arg(&root).arg(&layer))?;
        change(&root)?;
        fs::remove_file(&layer)?;
        succeed(pack.command().arg(&root).arg(&layer).args(["-quiet", "-no-progress", "-comp", "zstd"]))?;
        edit.sign("root.squashfs")
    })
}

/// The medium with a package of one entry.
fn hostile(scene: &Scene, name: &str, kind: u8) -> Result<Vec<Disk>> {
    // POSIX.1-2024, pax, ustar interchange format.
    let mut header = [0; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[100..108].copy_from_slice(b"0000644\0");
    header[124..136].copy_from_slice(b"00000000000\0");
    header[156] = kind;
    header[257..265].copy_from_slice(b"ustar\x0000");
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    ensure!(sum < 0o1_000_000, "a check sum of six digits");
    let package = "packages/02-first.tar.xz";
    scene.edited(b"TEST_RAM", true, |edit: &Edit| {
        fs::write(edit.file(package), [&header[..], &[0; 1024]].concat())?;
        edit.sign(package)
    })
}
