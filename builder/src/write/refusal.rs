//! Why a device is not written to. All the reasons there are, so that nobody
//! runs into them one by one.

use std::path::{Path, PathBuf};

use super::disk::{DevId, Disk};
use super::uses::{Purpose, Use};
use crate::progress::bytes;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("it is a partition: name the disk, /dev/{0}")]
    Partition(String),
    #[error("it is an optical drive: burn the image with a burning program")]
    Optical,
    #[error("it is read-only: sticks and cards may have a switch for that")]
    ReadOnly,
    #[error("the running system's root is on it")]
    HoldsRoot,
    #[error("the image is on it")]
    HoldsImage,
    #[error("it is mounted on {}: `umount` it first", .0.display())]
    Mounted(PathBuf),
    #[error("it is used as swap: `swapoff` it first")]
    Swap,
    #[error("it cannot be taken out, so it may be this machine's own; --force if it is the one that is meant")]
    NotRemovable,
    #[error("it has {}, and {} are needed", bytes(*.has), bytes(*.need))]
    TooSmall { has: u64, need: u64 },
}

/// `image` is the device that the image's file system is on.
pub(super) fn refusals(disk: &Disk, uses: &[Use], image: DevId, need: u64, force: bool) -> Vec<Refusal> {
    if let Some(whole) = &disk.whole {
        return vec![Refusal::Partition(whole.clone())];
    }
    let mut found = Vec::new();
    let mut when = |is: bool, refusal: Refusal| {
        if is && !found.contains(&refusal) {
            found.push(refusal);
        }
    };
    when(disk.optical, Refusal::Optical);
    when(disk.read_only, Refusal::ReadOnly);
    when(disk.devices.contains(&image), Refusal::HoldsImage);
    for Use { purpose, .. } in uses.iter().filter(|found| disk.devices.contains(&found.device)) {
        when(
            true,
            match purpose {
                Purpose::Mounted(point) if point == Path::new("/") => Refusal::HoldsRoot,
                Purpose::Mounted(point) => Refusal::Mounted(point.clone()),
                Purpose::Swap => Refusal::Swap,
            },
        );
    }
    when(!disk.removable && !force, Refusal::NotRemovable);
    when(disk.len < need, Refusal::TooSmall { has: disk.len, need });
    found
}

#[cfg(test)]
mod tests {
    use super::super::disk::fake;
    use super::*;

    const HERE: DevId = DevId(8, 16);
    const ELSEWHERE: DevId = DevId(8, 0);
    const MIB: u64 = 1 << 20;

    fn mounted(device: DevId, point: &str) -> Use {
        Use { device, purpose: Purpose::Mounted(point.into()) }
    }

    #[test]
    fn each_reason_is_found_and_force_is_about_one_of_them_only() {
        let stick: &[(&str, &str)] = &[("removable", "1")];
        let swap = Use { device: HERE, purpose: Purpose::Swap };
        let media = Refusal::Mounted("/media/a".into());
        for (files, uses, image, need, force, expected) in [
            (stick, &[mounted(ELSEWHERE, "/")][..], ELSEWHERE, 100 * MIB, false, &[][..]),
            (&[], &[], ELSEWHERE, MIB, false, &[Refusal::NotRemovable]),
            (&[], &[], ELSEWHERE, MIB, true, &[]),
            (stick, &[mounted(HERE, "/")], ELSEWHERE, MIB, true, &[Refusal::HoldsRoot]),
            (stick, &[mounted(HERE, "/media/a"), swap], ELSEWHERE, MIB, true, &[media, Refusal::Swap]),
            (stick, &[], HERE, MIB, true, &[Refusal::HoldsImage]),
            (&[("removable", "1"), ("ro", "1")], &[], ELSEWHERE, MIB, true, &[Refusal::ReadOnly]),
            (&[("removable", "1"), ("device/type", "5")], &[], ELSEWHERE, MIB, true, &[Refusal::Optical]),
            (stick, &[], ELSEWHERE, 101 * MIB, true, &[Refusal::TooSmall { has: 100 * MIB, need: 101 * MIB }]),
        ] {
            let disk = fake::disk("pci/block/sdb", files);
            assert_eq!(refusals(&disk, uses, image, need, force), expected, "{files:?} {uses:?}");
        }
        let partition = fake::disk("pci/block/sdb/sdb1", &[("partition", "1"), ("removable", "1")]);
        assert_eq!(refusals(&partition, &[], ELSEWHERE, MIB, true), [Refusal::Partition("sdb".into())]);
    }
}
