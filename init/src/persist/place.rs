//! Which partition keeps changes: a pure choice.

use crate::contract::medium::PERSIST_PARTLABEL;
use crate::devices::Disk;
use crate::medium::Spec;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// Its place among the disks.
    Disk(usize),
    /// One that may be it has not answered yet, if it ever does.
    Wait,
    None,
}

/// One that was named, or a partition for it on the disk that the medium is
/// on. A disc has none: then on whatever disk there is one.
pub(super) fn choose(disks: &[Disk], medium: &str, named: Option<&Spec>) -> Choice {
    let root = |disk: &Disk| disk.whole.clone().unwrap_or_else(|| disk.name.clone());
    let own = disks.iter().find(|disk| disk.name == medium).map(root);
    let on_disc = medium.starts_with("sr");
    let wanted = named.cloned().unwrap_or_else(|| Spec::PartLabel(PERSIST_PARTLABEL.into()));
    let may_be = |disk: &&Disk| named.is_some() || on_disc || Some(root(disk)) == own;

    let found = disks.iter().enumerate().filter(|(_, disk)| may_be(disk) && !disk.is_pending() && wanted.names(disk));
    // Of several the first by name: the same at every boot.
    if let Some((at, _)) = found.min_by(|(_, a), (_, b)| a.name.cmp(&b.name)) {
        return Choice::Disk(at);
    }
    if disks.iter().any(|disk| may_be(&disk) && disk.finding.is_none()) { Choice::Wait } else { Choice::None }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::probe::Finding;
    use crate::superblock::Partition;
    use crate::worker::PATIENCE;

    fn disk(path: &str, partlabel: &str) -> Disk {
        let mut disk = Disk::new(&format!("/devices/x/block/{path}")).unwrap();
        disk.finding = Some(Finding::Unknown);
        disk.partition = Partition { uuid: String::new(), label: partlabel.into() };
        disk
    }

    fn pending(path: &str) -> Disk {
        Disk { finding: None, ..disk(path, "") }
    }

    #[test]
    fn the_medium_s_own_disk_keeps_changes_and_others_only_where_they_are_named() {
        let (own, other) = (disk("sda/sda3", PERSIST_PARTLABEL), disk("sdb/sdb1", PERSIST_PARTLABEL));
        let medium = disk("sda/sda1", "");
        let since = Instant::now().checked_sub(2 * PATIENCE).unwrap();
        let slow = Disk { since, ..pending("sda/sda3") };
        let by_name = Spec::Device("sdb1".into());
        let rows = [
            ("on the same disk", vec![other.clone(), medium.clone(), own.clone()], "sda1", None, Choice::Disk(2)),
            ("not on another", vec![other.clone(), medium.clone()], "sda1", None, Choice::None),
            ("named", vec![other.clone(), medium.clone()], "sda1", Some(&by_name), Choice::Disk(0)),
            ("one that is to come", vec![medium.clone(), pending("sda/sda3")], "sda1", None, Choice::Wait),
            ("one that is slow to answer", vec![medium.clone(), slow], "sda1", None, Choice::Wait),
            ("another disk's is not waited for", vec![medium, pending("sdb/sdb1")], "sda1", None, Choice::None),
            ("beside a disc", vec![disk("sr0", ""), other], "sr0", None, Choice::Disk(1)),
            ("the whole disk is the medium", vec![disk("sda", ""), own], "sda", None, Choice::Disk(1)),
            ("nothing", vec![], "sda", None, Choice::None),
        ];
        for (what, disks, medium, named, expected) in rows {
            assert_eq!(choose(&disks, medium, named), expected, "{what}");
        }
    }
}
