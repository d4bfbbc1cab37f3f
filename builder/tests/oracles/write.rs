//! Sticks, as files and as loop devices, judged by sgdisk and sfdisk.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use builder::progress::{Progress, Show};
use builder::write::{Persist, Prepared, Refusal, Request, WriteError};
use iso::{Boot, EfiImage, Image, SystemArea, VolumeId};
use tempfile::TempDir;
use tree::{Content, Provenance, Tree, TreePath};

use super::{or_skip, output, tool};

const MIB: u64 = 1 << 20;

/// A folder with `image.iso`, which has a GPT and something for an ESP.
fn image_dir() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut tree = Tree::new();
    let bytes: Vec<u8> = (0..3 * MIB).map(|n| (n / 2048) as u8).collect();
    tree.insert_file(TreePath::new("data").unwrap(), 0o644, Content::from(bytes), Provenance::new("a test")).unwrap();
    let boot = Boot { bios: None, efi: Some(EfiImage::Appended(Content::from(vec![0xEF; MIB as usize]))) };
    let image = Image {
        boot: Some(boot),
        system_area: SystemArea::Gpt { start: None },
        ..Image::new(&tree, VolumeId::new("STICK").unwrap(), 0)
    };
    let mut file = File::create(dir.path().join("image.iso")).unwrap();
    iso::layout(&image).unwrap().write(&mut file, &mut |_| ()).unwrap();
    dir
}

/// A stick of that size with something old everywhere on it.
fn stick(dir: &TempDir, len: u64) -> PathBuf {
    let path = dir.path().join("stick.img");
    fs::write(&path, vec![0xAA; len as usize]).unwrap();
    path
}

fn prepare(dir: &TempDir, target: &Path, persist: Option<Persist>) -> Result<Prepared, WriteError> {
    let request = Request { image: dir.path().join("image.iso"), target: target.into(), persist, force: false };
    Prepared::new(&request)
}

fn refusals(prepared: Result<Prepared, WriteError>) -> Vec<Refusal> {
    match prepared.unwrap_err() {
        WriteError::Refused { refusals, .. } => refusals,
        other => panic!("{other}"),
    }
}

fn silent() -> Progress {
    Progress::new(Show::Nothing)
}

/// What both say of a disk they have nothing to complain about.
fn check_with_partition_tools(disk: &Path) {
    for (name, words) in [("sgdisk", &["-v"][..]), ("sfdisk", &["-V"])] {
        let Some(program) = tool(name) else { continue };
        let said = output(Command::new(program).args(words).arg(disk)).to_ascii_lowercase();
        assert!(said.contains("no problems found") || said.contains("no errors detected"), "{name}: {said}");
        for complaint in ["warning", "caution", "not used"] {
            assert!(!said.contains(complaint), "{name}: {said}");
        }
    }
}

#[test]
fn a_stick_larger_than_the_image_has_a_table_of_its_own_size() {
    let dir = image_dir();
    // Not a multiple of anything but sectors.
    let target = stick(&dir, 20 * MIB + 3 * 512);
    let prepared = prepare(&dir, &target, None).unwrap();
    assert!(prepared.losses.contains("a file"), "{}", prepared.losses);
    prepared.write(&silent()).unwrap();
    check_with_partition_tools(&target);

    let (image, stick) = (fs::read(dir.path().join("image.iso")).unwrap(), fs::read(&target).unwrap());
    assert_eq!(stick.len() as u64, 20 * MIB + 3 * 512, "the target keeps its size");
    // From the descriptors to the backup table of the image itself nothing is touched.
    assert!(image[16 * 2048..] == stick[16 * 2048..image.len()]);
}

#[test]
fn a_partition_for_what_is_kept_stands_behind_the_image_and_has_nothing_old_in_it() {
    for (persist, len) in [(Persist::Bytes(16 * MIB), 16 * MIB), (Persist::Rest, 25 * MIB)] {
        let dir = image_dir();
        let target = stick(&dir, 32 * MIB);
        let prepared = prepare(&dir, &target, Some(persist)).unwrap();
        assert!(prepared.notes.iter().any(|note| note.contains("live-persist")), "{:?}", prepared.notes);
        prepared.write(&silent()).unwrap();
        check_with_partition_tools(&target);
        let stick = fs::read(&target).unwrap();
        let found = iso::read::Iso::open(Content::from(stick.clone())).unwrap().partitions().unwrap().gpt.unwrap();
        let added = found.partitions.last().unwrap();
        assert_eq!((added.number, added.name.as_str()), (3, "live-persist"));
        assert_eq!((added.last + 1 - added.first) * 512, len);
        assert_eq!(added.kind.to_string(), "0fc63daf-8483-4772-8e79-3d69d8477de4");
        let start = added.first as usize * 512;
        assert!(stick[start..start + MIB as usize].iter().all(|&byte| byte == 0));
    }
}

#[test]
fn what_does_not_fit_is_refused_before_a_byte_is_written() {
    let dir = image_dir();
    let len = fs::metadata(dir.path().join("image.iso")).unwrap().len();
    let target = stick(&dir, len - 512);
    assert_eq!(refusals(prepare(&dir, &target, None)), [Refusal::TooSmall { has: len - 512, need: len }]);
    let target = stick(&dir, len + 16 * MIB);
    let asked = prepare(&dir, &target, Some(Persist::Bytes(16 * MIB)));
    assert!(matches!(refusals(asked)[..], [Refusal::TooSmall { .. }]));
    assert!(fs::read(&target).unwrap().iter().all(|&byte| byte == 0xAA));

    prepare(&dir, &stick(&dir, len), None).unwrap().write(&silent()).unwrap();
    let (image, stick) = (fs::read(dir.path().join("image.iso")).unwrap(), fs::read(&target).unwrap());
    // The MBR's cylinders are told in another way.
    assert!(image[512..] == stick[512..], "on a stick of the image's own size nothing has to be moved");
}

#[test]
fn other_files_than_images_and_targets_are_refused() {
    let dir = image_dir();
    let image = dir.path().join("image.iso");
    let target = stick(&dir, 20 * MIB);
    assert_eq!(refusals(prepare(&dir, &image, None)), [Refusal::HoldsImage]);
    assert!(matches!(prepare(&dir, Path::new("/dev/null"), None), Err(WriteError::NotADisk(_))));
    assert!(matches!(prepare(&dir, &dir.path().join("none"), None), Err(WriteError::NoTarget(_))));

    let whole = fs::read(&image).unwrap();
    fs::write(&image, &whole[..whole.len() - 512]).unwrap();
    assert!(matches!(prepare(&dir, &target, None), Err(WriteError::CutShort { .. })));
    fs::write(&image, vec![0; 4 * MIB as usize]).unwrap();
    assert!(matches!(prepare(&dir, &target, None), Err(WriteError::Image { .. })));
    assert!(fs::read(&target).unwrap().iter().all(|&byte| byte == 0xAA));
}

/// A loop device, for as long as the test runs.
struct Loop(PathBuf);

impl Loop {
    fn over(file: &Path) -> Option<Self> {
        let losetup = tool("losetup")?;
        let made = Command::new(losetup).args(["--find", "--show"]).arg(file).output().unwrap();
        // Root alone may, and not in every container: no fault of what is tested.
        let made = made.status.success().then(|| String::from_utf8_lossy(&made.stdout).trim().into());
        or_skip(made.map(Self), "loop device to be had")
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("--detach").arg(&self.0).status();
    }
}

#[test]
fn a_disk_that_cannot_be_taken_out_is_written_to_by_force_only_and_never_while_mounted() {
    let dir = image_dir();
    let target = stick(&dir, 20 * MIB);
    let Some(disk) = Loop::over(&target) else { return };
    assert_eq!(refusals(prepare(&dir, &disk.0, None)), [Refusal::NotRemovable]);
    let request = Request { image: dir.path().join("image.iso"), target: disk.0.clone(), persist: None, force: true };

    let Some(mke2fs) = tool("mke2fs") else { return };
    output(Command::new(mke2fs).args(["-q", "-L", "PRECIOUS"]).arg(&disk.0));
    let point = dir.path().join("a point");
    fs::create_dir(&point).unwrap();
    let mounted = Command::new("mount").arg(&disk.0).arg(&point).status().is_ok_and(|status| status.success());
    if or_skip(mounted.then_some(()), "right to mount").is_some() {
        let found = Prepared::new(&request);
        output(Command::new("umount").arg(&point));
        assert_eq!(refusals(found), [Refusal::Mounted(point)]);
    }

    let prepared = Prepared::new(&request).unwrap();
    assert!(prepared.losses.contains("ext2 PRECIOUS"), "{}", prepared.losses);
    prepared.write(&silent()).unwrap();
    check_with_partition_tools(&disk.0);
    assert_eq!(fs::read(&target).unwrap()[32769..32774], *b"CD001");
}
