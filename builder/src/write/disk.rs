//! A block device, as sysfs tells of it (kernel: Documentation/ABI/stable/sysfs-block).

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use nix::sys::stat::{major, minor};

/// Major and minor number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct DevId(pub(super) u64, pub(super) u64);

impl DevId {
    pub(super) fn from_raw(raw: u64) -> Self {
        Self(major(raw), minor(raw))
    }
}

impl fmt::Display for DevId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0, self.1)
    }
}

impl FromStr for DevId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (major, minor) = text.trim_end().split_once(':').ok_or(())?;
        Ok(Self(major.parse().map_err(|_| ())?, minor.parse().map_err(|_| ())?))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Disk {
    pub(super) name: String,
    /// The disk that this is a partition of.
    pub(super) whole: Option<String>,
    /// In bytes, as the rest.
    pub(super) len: u64,
    pub(super) sector: u64,
    pub(super) read_only: bool,
    pub(super) optical: bool,
    pub(super) removable: bool,
    /// What it says it is, for people: vendor, model, bus.
    pub(super) about: String,
    pub(super) partitions: Vec<Partition>,
    /// It, its partitions, and every device that stands on one of them.
    pub(super) devices: BTreeSet<DevId>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Partition {
    pub(super) name: String,
    pub(super) start: u64,
    pub(super) len: u64,
}

/// sysfs counts in these, whatever the device's own sectors are.
const UNIT: u64 = 512;

/// The SCSI type of optical drives.
const OPTICAL: &str = "5";

impl Disk {
    /// `sys` is where sysfs is mounted.
    pub(super) fn load(sys: &Path, device: DevId) -> io::Result<Self> {
        let dir = sys.join(format!("dev/block/{device}")).canonicalize()?;
        let partition_of = dir.join("partition").exists().then(|| dir.parent().map(name)).flatten();
        let bus = Bus::of(&dir);
        let words =
            ["device/vendor", "device/model", "device/name"].map(|file| text(&dir.join(file)).unwrap_or_default());
        let about = words.into_iter().chain([bus.name().into()]).filter(|word| !word.is_empty()).collect::<Vec<_>>();
        let mut partitions = Vec::new();
        for child in children(&dir)?.filter(|child| child.join("partition").exists()) {
            let (start, len) = (number(&child.join("start"))? * UNIT, number(&child.join("size"))? * UNIT);
            partitions.push(Partition { name: name(&child), start, len });
        }
        partitions.sort_by_key(|partition| partition.start);
        let mut devices = BTreeSet::new();
        stand_on(&dir, &mut devices)?;
        Ok(Self {
            name: name(&dir),
            whole: partition_of,
            len: number(&dir.join("size"))? * UNIT,
            // A partition has no queue of its own.
            sector: number(&dir.join("queue/logical_block_size")).unwrap_or(UNIT),
            read_only: number(&dir.join("ro"))? != 0,
            optical: text(&dir.join("device/type")).as_deref() == Some(OPTICAL),
            removable: bus != Bus::Other || number(&dir.join("removable")).is_ok_and(|flag| flag != 0),
            about: about.join(" "),
            partitions,
            devices,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bus {
    Usb,
    /// A card in a slot: the `removable` flag is the slot's, which stays.
    SdCard,
    Other,
}

impl Bus {
    fn of(dir: &Path) -> Self {
        let in_usb = dir.components().any(|part| part.as_os_str().to_string_lossy().starts_with("usb"));
        match text(&dir.join("device/type")).as_deref() {
            _ if in_usb => Self::Usb,
            // The other type is MMC: a chip that is soldered in.
            Some("SD") => Self::SdCard,
            _ => Self::Other,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Usb => "USB",
            Self::SdCard => "SD card",
            Self::Other => "",
        }
    }
}

/// The device in `dir`, its partitions and, again and again, what holds them:
/// device mapper, MD.
fn stand_on(dir: &Path, devices: &mut BTreeSet<DevId>) -> io::Result<()> {
    let device = text(&dir.join("dev")).and_then(|text| text.parse().ok());
    let device = device.ok_or_else(|| io::Error::other(format!("{}: no device number", dir.display())))?;
    if !devices.insert(device) {
        return Ok(());
    }
    for child in children(dir)?.filter(|child| child.join("partition").exists()) {
        stand_on(&child, devices)?;
    }
    let holders = dir.join("holders");
    if holders.exists() {
        for holder in children(&holders)? {
            stand_on(&holder.canonicalize()?, devices)?;
        }
    }
    Ok(())
}

fn children(dir: &Path) -> io::Result<impl Iterator<Item = PathBuf>> {
    let entries: Vec<_> = fs::read_dir(dir)?.collect::<io::Result<_>>()?;
    Ok(entries.into_iter().map(|entry| entry.path()))
}

fn name(dir: &Path) -> String {
    dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn text(file: &Path) -> Option<String> {
    fs::read_to_string(file).ok().map(|text| text.trim().to_owned())
}

fn number(file: &Path) -> io::Result<u64> {
    let text = fs::read_to_string(file)?;
    text.trim().parse().map_err(|_| io::Error::other(format!("{}: no number: {text}", file.display())))
}

#[cfg(test)]
pub(super) mod fake {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A sysfs with one disk, `8:16`, in `dir`; files are paths below the
    /// disk's folder, and their text.
    pub(in crate::write) fn sysfs(dir: &Path, place: &str, files: &[(&str, &str)]) -> PathBuf {
        let disk = dir.join("devices").join(place);
        let usual = [("dev", "8:16"), ("size", "204800"), ("ro", "0"), ("removable", "0")];
        for (file, text) in usual.iter().chain(files) {
            let file = disk.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        fs::create_dir_all(dir.join("dev/block")).unwrap();
        symlink(&disk, dir.join("dev/block/8:16")).unwrap();
        disk
    }

    pub(in crate::write) fn disk(place: &str, files: &[(&str, &str)]) -> Disk {
        let dir = tempfile::tempdir().unwrap();
        sysfs(dir.path(), place, files);
        Disk::load(dir.path(), DevId(8, 16)).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::fake::*;
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn what_can_be_taken_out_is_told_by_bus_flag_or_slot() {
        for (place, files, removable, about) in [
            ("pci/ata1/block/sdb", &[("device/model", "SSD  ")][..], false, "SSD"),
            ("pci/ata1/block/sdb", &[("removable", "1\n")], true, ""),
            (
                "pci/usb2/2-1/block/sdb",
                &[("device/vendor", "SanDisk"), ("device/model", "Ultra")],
                true,
                "SanDisk Ultra USB",
            ),
            ("pci/mmc0/block/mmcblk0", &[("device/type", "SD"), ("device/name", "SC32G")], true, "SC32G SD card"),
            ("pci/mmc0/block/mmcblk0", &[("device/type", "MMC")], false, ""),
        ] {
            let disk = disk(place, files);
            assert_eq!((disk.removable, disk.about.as_str()), (removable, about), "{place} {files:?}");
            assert_eq!((disk.len, disk.sector, disk.read_only), (100 << 20, 512, false));
        }
    }

    #[test]
    fn what_stands_on_a_partition_belongs_to_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let part = [("sdb1/partition", "1"), ("sdb1/dev", "8:17"), ("sdb1/start", "2048"), ("sdb1/size", "4096")];
        let disk = sysfs(dir.path(), "pci/block/sdb", &part);
        let crypt = dir.path().join("devices/virtual/block/dm-0");
        for dir in [disk.join("sdb1/holders"), crypt.join("holders")] {
            fs::create_dir_all(dir).unwrap();
        }
        fs::write(crypt.join("dev"), "253:0\n").unwrap();
        symlink(&crypt, disk.join("sdb1/holders/dm-0")).unwrap();
        // Nothing real holds itself; a loop must end all the same.
        symlink(&crypt, crypt.join("holders/dm-0")).unwrap();
        let disk = Disk::load(dir.path(), DevId(8, 16)).unwrap();
        assert_eq!(disk.devices, BTreeSet::from([DevId(8, 16), DevId(8, 17), DevId(253, 0)]));
        assert_eq!(disk.partitions, [Partition { name: "sdb1".into(), start: 1 << 20, len: 2 << 20 }]);
    }

    #[test]
    fn a_partition_names_the_disk_it_is_of() {
        assert_eq!(disk("pci/block/sdb/sdb1", &[("partition", "1")]).whole.as_deref(), Some("sdb"));
        assert_eq!(disk("pci/block/sdb", &[]).whole, None);
    }
}
