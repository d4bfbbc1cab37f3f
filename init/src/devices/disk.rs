//! One block device, and what is known of it.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::Instant;

use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use crate::contract::BootId;
use crate::probe::Finding;
use crate::superblock::{Partition, Superblock};
use crate::worker::PATIENCE;

/// Made by the kernel out of memory or of other devices, and never a medium
/// that somebody put there.
const SKIPPED: &[&str] = &["loop", "ram", "zram"];

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Disk {
    /// Below /dev.
    pub name: String,
    /// Below /sys.
    pub devpath: String,
    /// Of a partition: the disk it is on.
    pub whole: Option<String>,
    /// It can be taken out, or its bus is made for that.
    pub removable: bool,
    /// What the partition table calls it.
    pub partition: Partition,
    /// When it was seen, or its medium changed.
    pub since: Instant,
    pub finding: Option<Finding>,
    /// Why it is not the medium though it looked like it.
    pub bad: Option<String>,
}

impl Disk {
    pub(crate) fn new(devpath: &str) -> Option<Self> {
        let mut names = devpath.rsplit('/');
        // cciss!c0d0 in /sys is cciss/c0d0 in /dev.
        let mut next = || names.next().map(|name| name.replace('!', "/"));
        let (name, parent) = (next()?, next()?);
        let kind = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let whole = (parent != "block").then_some(parent);
        let disk = if whole.is_some() { devpath.rsplit_once('/')?.0 } else { devpath };
        let says = fs::read_to_string(format!("/sys{disk}/removable")).unwrap_or_default();
        (!SKIPPED.contains(&kind)).then(|| Self {
            name,
            devpath: devpath.into(),
            whole,
            removable: says.trim() == "1" || matches!(bus(devpath), "usb" | "mmc"),
            partition: Partition::default(),
            since: Instant::now(),
            finding: None,
            bad: None,
        })
    }

    pub(crate) fn found(&self) -> Option<&Superblock> {
        match &self.finding {
            Some(Finding::Found(found)) => Some(found),
            _ => None,
        }
    }

    /// An answer may still come; one that has not for [`PATIENCE`] is not
    /// waited for, and is taken when it does come.
    pub(crate) fn is_pending(&self) -> bool {
        self.finding.is_none() && !self.hangs()
    }

    pub(crate) fn hangs(&self) -> bool {
        self.finding.is_none() && self.since.elapsed() >= PATIENCE
    }

    /// Bytes, as the kernel knows now.
    pub(crate) fn len(&self) -> Option<u64> {
        let sectors = fs::read_to_string(format!("/sys{}/size", self.devpath)).ok()?;
        sectors.trim().parse::<u64>().ok()?.checked_mul(512)
    }

    /// For the person who looks for their medium in the list.
    pub(crate) fn describe(&self, ours: Option<BootId>) -> String {
        let mut text = format!("/dev/{}", self.name);
        match &self.finding {
            None if self.hangs() => text += " does not answer",
            None => text += " is being looked at",
            Some(Finding::Empty) => text += " is empty",
            Some(Finding::Unknown) => text += " has no file system that /init knows",
            Some(Finding::Error(why)) => {
                let _ = write!(text, " cannot be read: {why}");
            }
            Some(Finding::Found(Superblock { fs, label, uuid, boot_id, .. })) => {
                let _ = write!(text, " {} LABEL={} UUID={uuid}", fs.name(), label.escape_ascii());
                match boot_id {
                    Some(id) if Some(*id) != ours => {
                        let _ = write!(text, " ID={id} (of another build)");
                    }
                    Some(id) => {
                        let _ = write!(text, " ID={id}");
                    }
                    None => {}
                }
            }
        }
        if !self.partition.label.is_empty() {
            let _ = write!(text, " PARTLABEL={}", self.partition.label.escape_ascii());
        }
        if !self.partition.uuid.is_empty() {
            let _ = write!(text, " PARTUUID={}", self.partition.uuid);
        }
        if let Some(len) = self.len() {
            let _ = write!(text, ", {} MiB", len >> 20);
        }
        let _ = write!(text, ", {}", bus(&self.devpath));
        if let Some(why) = &self.bad {
            let _ = write!(text, "; refused: {why}");
        }
        text
    }
}

/// From the path of its controller, the innermost that has a name here.
fn bus(devpath: &str) -> &'static str {
    let known = |name: &str| {
        ["usb", "virtio", "nvme", "mmc", "ata"]
            .into_iter()
            .find(|bus| name.strip_prefix(bus).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit())))
    };
    devpath.rsplit('/').find_map(known).unwrap_or("other bus")
}

/// Where the kernel has no devtmpfs.
pub(crate) fn make_node(name: &str) {
    let path = Path::new("/dev").join(name);
    if path.exists() {
        return;
    }
    let numbers = fs::read_to_string(format!("/sys/class/block/{}/dev", name.replace('/', "!"))).unwrap_or_default();
    let Some((major, minor)) = numbers.trim().split_once(':') else { return };
    let (Ok(major), Ok(minor)) = (major.parse(), minor.parse()) else { return };
    if let Some(parent) = path.parent() {
        // What fails here is told by the open that follows.
        let _ = fs::create_dir_all(parent);
    }
    let _ = mknod(&path, SFlag::S_IFBLK, Mode::from_bits_truncate(0o600), makedev(major, minor));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::superblock::Fs;

    #[test]
    fn disks_and_partitions_are_told_apart_and_loops_left_out() {
        let disk = |devpath: &str| Disk::new(devpath).map(|disk| (disk.name, disk.whole));
        assert_eq!(disk("/devices/pci0/virtio0/block/vda"), Some(("vda".into(), None)));
        assert_eq!(disk("/devices/x/block/sda/sda1"), Some(("sda1".into(), Some("sda".into()))));
        assert_eq!(disk("/devices/x/block/cciss!c0d0/cciss!c0d0p1").unwrap().0, "cciss/c0d0p1");
        assert_eq!(disk("/devices/virtual/block/loop0"), None);
        assert_eq!(disk("/devices/virtual/block/ram12"), None);
        assert_eq!(disk("/devices/virtual/block/dm-0").unwrap().0, "dm-0");
    }

    #[test]
    fn a_hostile_label_is_escaped_and_another_build_is_called_so() {
        let mut disk = Disk::new("/devices/pci0000:00/usb1/1-1/host2/block/sda").unwrap();
        let boot_id = Some(BootId::new([1; 16]));
        disk.finding = Some(Finding::Found(Superblock {
            fs: Fs::Vfat,
            label: b"\x1b[2J\nA".into(),
            uuid: String::new(),
            boot_id,
            len: 0,
        }));
        let text = disk.describe(Some(BootId::new([2; 16])));
        assert!(text.contains(r"LABEL=\x1b[2J\nA"), "{text}");
        assert!(text.contains("of another build") && text.contains("usb"), "{text}");
    }
}
