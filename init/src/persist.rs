//! Persistence: changes that are kept on a partition, or in a file on one
//! whose file system cannot hold them.
//!
//! What is kept belongs to the layers it lies over: it stands below a name made
//! from theirs, so that another build's is set aside and never stacked.

mod fsck;
mod place;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::mount::MsFlags;
use sha2::{Digest, Sha256};

use crate::cmdline::{Cmdline, Persist};
use crate::contract::{medium as layout, params, run};
use crate::devices::Devices;
use crate::early::make_dir;
use crate::fault::{Code, Fault};
use crate::log::{info, warn};
use crate::loopdev;
use crate::manifest::{Hex, Part};
use crate::medium::{Medium, Spec, inside};
use crate::mounts::Mounted;
use crate::status::Status;
use crate::superblock::{self, Fs};
use place::{Choice, choose};

/// For the partitions of a disk that is there already to be looked at.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of the layers' digest that name what is kept over them.
const KEY: usize = 8;

/// Where the changes go, and what that stands on.
#[derive(Debug)]
pub(crate) struct Kept {
    /// In the order to undo them.
    pub mounts: Vec<Mounted>,
    /// Has the upper and the overlayfs's work directory.
    pub dir: PathBuf,
    /// What was kept is used, and nothing new is kept.
    pub read_only: bool,
}

/// None where it was not asked for, or can be done without: the boot goes on
/// with an upper that is lost, and says so.
pub(crate) fn open(
    medium: &Medium,
    layers: &[Part],
    cmdline: &Cmdline,
    devices: &mut Devices,
    status: &mut Status,
) -> Result<Option<Kept>, Fault> {
    if cmdline.persist == Persist::Off {
        return Ok(None);
    }
    match find(medium, layers, cmdline, devices) {
        Ok(kept) => Ok(Some(kept)),
        Err(fault) if cmdline.persist == Persist::Required => Err(fault),
        Err(fault) => {
            status.degrade(format!("{fault} ({}); NOTHING WILL BE KEPT of what changes from here on", fault.advice));
            Ok(None)
        }
    }
}

fn find(medium: &Medium, layers: &[Part], cmdline: &Cmdline, devices: &mut Devices) -> Result<Kept, Fault> {
    let failed = |why: String| {
        Fault::new(Code::Persist, why).advise(format!(
            "make a partition with `liveroot write --persist` and mkfs.ext4, or name one with {}=",
            params::PERSIST
        ))
    };
    if !cmdline.verity.is_empty() {
        return Err(failed("a root that has a root hash takes no changes that nobody verified".into()));
    }
    let named = cmdline.persist_on.as_ref();
    let at = wait(&medium.device, named, cmdline.timeout, devices).ok_or_else(|| failed(nowhere(named)))?;
    let disk = &devices.disks[at];
    let (device, fs) = (format!("/dev/{}", disk.name), disk.found().map(|found| found.fs));
    let fs = fs.ok_or_else(|| failed(format!("{device} has no file system: `mkfs.ext4 {device}` makes one")))?;
    devices.need(&[&[fs.kmod_alias()], fs.helpers()].concat());

    let flags = if cmdline.persist_ro { MsFlags::MS_RDONLY } else { MsFlags::MS_NOATIME };
    let path = cmdline.persist_dir.as_str();
    if !cmdline.persist_ro {
        fsck::mend(&device, fs)?;
    }
    let (mounts, base) = if holds_changes(fs) {
        make_dir(run::KEPT);
        let mounted = Mounted::new(&device, run::KEPT, fs.name(), flags, "").map_err(failed)?;
        let inner = Path::new(run::KEPT).join(path);
        if inner.is_file() { in_file(devices, &inner, flags, mounted)? } else { (vec![mounted], inner) }
    } else {
        make_dir(run::KEPT_HOLDER);
        let holder = Mounted::new(&device, run::KEPT_HOLDER, fs.name(), flags, "").map_err(failed)?;
        let file = if path.is_empty() { layout::PERSIST_FILE } else { path };
        in_file(devices, &Path::new(run::KEPT_HOLDER).join(file), flags, holder)?
    };
    let dir = base.join(key(layers));
    prepare(&base, &dir, cmdline).map_err(|e| failed(format!("{}: {e}", dir.display())))?;
    info!("changes are kept on {device} in {}", dir.display());
    Ok(Kept { mounts, dir, read_only: cmdline.persist_ro })
}

/// The place among the devices, once it is there, of the one that was named, or
/// of the partition for what is kept on the medium's disk.
pub(crate) fn wait(
    medium: &str,
    named: Option<&Spec>,
    timeout: Option<Duration>,
    devices: &mut Devices,
) -> Option<usize> {
    devices.search();
    let patience = timeout.filter(|_| named.is_some()).unwrap_or(PATIENCE);
    let deadline = Instant::now() + patience;
    let found = loop {
        match choose(&devices.disks, medium, named) {
            Choice::Disk(at) => break Some(at),
            // One that was named may come yet.
            Choice::None if named.is_none() => break None,
            Choice::None | Choice::Wait if Instant::now() >= deadline => break None,
            Choice::None | Choice::Wait => {}
        }
        devices.serve(&[], Some(deadline));
    };
    devices.rest();
    found
}

/// Why there was none.
pub(crate) fn nowhere(named: Option<&Spec>) -> String {
    match named {
        Some(spec) => format!("no device is {spec}"),
        None => format!("no partition with the label {} in its disk's table", layout::PERSIST_PARTLABEL),
    }
}

/// What an overlayfs wants of its upper: attributes of trusted.*, and types of
/// entries in its directories.
fn holds_changes(fs: Fs) -> bool {
    matches!(fs, Fs::Ext2 | Fs::Ext3 | Fs::Ext4 | Fs::Btrfs | Fs::Xfs | Fs::F2fs)
}

/// A file with a file system in it, on the holder that is mounted.
fn in_file(
    devices: &mut Devices,
    path: &Path,
    flags: MsFlags,
    holder: Mounted,
) -> Result<(Vec<Mounted>, PathBuf), Fault> {
    let failed = |why: String| {
        Fault::new(Code::Persist, format!("{}: {why}", path.display()))
            .advise("make it with `truncate -s 1G FILE` and `mkfs.ext4 FILE`")
    };
    let writable = !flags.contains(MsFlags::MS_RDONLY);
    let file = OpenOptions::new().read(true).write(writable).open(path).map_err(|e| failed(e.to_string()))?;
    let size = file.metadata().map_err(|e| failed(e.to_string()))?.len();
    let fs = match superblock::probe(&file, size) {
        Ok(Some(found)) if holds_changes(found.fs) => found.fs,
        Ok(_) => return Err(failed("it holds no file system that can keep changes".into())),
        Err(e) => return Err(failed(e.to_string())),
    };
    devices.need(&["loop", fs.kmod_alias()]);
    let bound = loopdev::bind_kept(&file, path.as_os_str().as_encoded_bytes(), writable).map_err(failed)?;
    if writable {
        fsck::mend(&bound.path, fs)?;
    }
    make_dir(run::KEPT);
    let mounted = Mounted::new(&bound.path, run::KEPT, fs.name(), flags, "").map_err(failed)?;
    Ok((vec![mounted, holder], run::KEPT.into()))
}

/// Another root's changes are another directory's.
fn key(layers: &[Part]) -> String {
    let mut hasher = Sha256::new();
    for layer in layers {
        hasher.update(layer.sha256);
    }
    Hex(&hasher.finalize()[..KEY]).to_string()
}

fn prepare(base: &Path, dir: &Path, cmdline: &Cmdline) -> std::io::Result<()> {
    let (upper, work) = (dir.join("upper"), dir.join("work"));
    if cmdline.persist_ro {
        return upper.metadata().map(drop);
    }
    if cmdline.persist_reset && dir.exists() {
        let aside = set_aside(dir)?;
        info!("what was kept is set aside as {}", aside.display());
    }
    if !dir.exists() {
        for other in others(base) {
            warn!("{} was kept over another root, and is left alone", other.display());
        }
    }
    for dir in [&upper, &work] {
        DirBuilder::new().recursive(true).mode(0o755).create(dir)?;
    }
    // What cannot be written now is known now, and not at the first change.
    let probe = dir.join(".write");
    File::create(&probe)?.sync_all()?;
    fs::remove_file(probe)
}

fn set_aside(dir: &Path) -> std::io::Result<PathBuf> {
    let name = |n: u32| dir.with_extension(format!("aside-{n}"));
    let free = (1..u32::MAX).map(name).find(|path| !path.exists()).unwrap_or_else(|| name(0));
    fs::rename(dir, &free)?;
    Ok(free)
}

/// Directories that an /init made for other layers.
fn others(base: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(base).into_iter().flatten().flatten();
    let mut others: Vec<PathBuf> =
        entries.map(|entry| entry.path()).filter(|path| path.join("upper").is_dir()).collect();
    others.sort_unstable();
    others
}

/// As the command line gives it: `SPEC`, `SPEC:DIR` or `/DIR`.
pub(crate) fn split(value: &str) -> Option<(Option<Spec>, String)> {
    if value.starts_with('/') && !value.starts_with("/dev/") {
        return Some((None, inside(value)?));
    }
    let (spec, dir) = value.split_once(':').unwrap_or((value, ""));
    // dracut's word for a name of its own making.
    let dir = if dir == "auto" { "" } else { dir };
    Some((Some(Spec::parse(spec)?), inside(dir)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(byte: u8) -> Part {
        let path = "root.squashfs".into();
        Part {
            path,
            size: 1,
            unpacked: 0,
            sha256: [byte; 32],
            required: true,
            privileged: false,
            extra: false,
            verity: None,
        }
    }

    #[test]
    fn every_change_of_the_layers_is_another_key() {
        let keys =
            [key(&[layer(1)]), key(&[layer(2)]), key(&[layer(1), layer(2)]), key(&[layer(2), layer(1)]), key(&[])];
        for (n, one) in keys.iter().enumerate() {
            assert!(one.len() == 2 * KEY && !keys[n + 1..].contains(one), "{keys:?}");
        }
        assert_eq!(key(&[layer(1)]), keys[0]);
    }

    #[test]
    fn a_place_is_read_in_every_form() {
        let label = || Some(Spec::Label(b"x".into()));
        for (text, expected) in [
            ("LABEL=x", Some((label(), ""))),
            ("LABEL=x:/a/b", Some((label(), "a/b"))),
            ("LABEL=x:auto", Some((label(), ""))),
            ("/dev/sda3:/kept.img", Some((Some(Spec::Device("sda3".into())), "kept.img"))),
            ("/kept", Some((None, "kept"))),
            ("/../kept", None),
            ("LABEL=x:/../a", None),
            ("nonsense", None),
        ] {
            assert_eq!(split(text), expected.map(|(spec, dir)| (spec, dir.to_owned())), "{text}");
        }
    }

    #[test]
    fn what_was_kept_is_set_aside_and_never_lost() {
        let base = tempfile::tempdir().unwrap();
        let dir = base.path().join("0011");
        let mut cmdline = Cmdline::default();
        prepare(base.path(), &dir, &cmdline).unwrap();
        fs::write(dir.join("upper/a"), "kept").unwrap();
        prepare(base.path(), &dir, &cmdline).unwrap();
        assert!(dir.join("upper/a").exists(), "it is used again");
        cmdline.persist_reset = true;
        prepare(base.path(), &dir, &cmdline).unwrap();
        assert!(!dir.join("upper/a").exists() && dir.join("work").is_dir());
        prepare(base.path(), &dir, &cmdline).unwrap();
        assert_eq!(fs::read_to_string(base.path().join("0011.aside-1/upper/a")).unwrap(), "kept");
        assert_eq!(others(base.path()).len(), 3);
        cmdline.persist_ro = true;
        assert!(prepare(base.path(), &base.path().join("2233"), &cmdline).is_err(), "there is nothing to use");
    }
}
