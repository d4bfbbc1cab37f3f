//! Which of the disks seen so far is the medium: a pure choice.

use std::fmt;

use super::{IsoFile, Spec};
use crate::contract::{BootId, params, run};
use crate::devices::Disk;
use crate::facts::ImageFacts;
use crate::superblock::Superblock;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Best first.
    pub specs: Vec<Spec>,
    /// The build that this /init is of.
    pub boot_id: Option<BootId>,
    /// The medium is this file on a disk, relative to its root.
    pub iso: Option<String>,
    /// Nobody named a medium: one of another build is not taken, whatever
    /// its label.
    pub ours_only: bool,
    /// The second one, with packages.
    pub is_set: bool,
}

impl Wanted {
    pub(crate) fn new(named: &[Spec], facts: Option<&ImageFacts>) -> Self {
        let boot_id = facts.and_then(|facts| facts.boot_id);
        let label = facts.map(|facts| Spec::Label(facts.label.clone().into()));
        let baked = boot_id.map(Spec::Id).into_iter().chain(label);
        let specs = if named.is_empty() { baked.collect() } else { named.to_vec() };
        Self { specs, boot_id, iso: None, ours_only: named.is_empty() && boot_id.is_some(), is_set: false }
    }

    /// The partition that holds an ISO file, and not yet the medium.
    pub(crate) fn holder(iso: &IsoFile, facts: Option<&ImageFacts>) -> Self {
        let boot_id = facts.and_then(|facts| facts.boot_id);
        let specs = if iso.holders.is_empty() { vec![Spec::File(iso.path.clone())] } else { iso.holders.clone() };
        Self { specs, boot_id, iso: Some(iso.path.clone()), ours_only: boot_id.is_some(), is_set: false }
    }

    /// A second medium, of whatever build.
    pub(crate) fn set(named: &Spec) -> Self {
        Self { specs: vec![named.clone()], boot_id: None, iso: None, ours_only: false, is_set: true }
    }

    /// What a user names it with.
    pub(super) fn param(&self) -> &'static str {
        if self.is_set { params::PACKAGES } else { params::MEDIUM }
    }

    /// Where it is mounted.
    pub(super) fn target(&self) -> &'static str {
        if self.is_set { run::SET } else { run::MEDIUM }
    }

    /// The place of the best spec that says it is this one.
    fn place(&self, disk: &Disk) -> Option<usize> {
        let found = disk.found().filter(|_| disk.bad.is_none())?;
        if self.ours_only && found.boot_id.is_some_and(|id| Some(id) != self.boot_id) {
            return None;
        }
        self.specs.iter().position(|spec| spec.names(disk))
    }

    pub(super) fn named_by(&self, disk: &Disk) -> Option<Spec> {
        self.place(disk).map(|at| self.specs[at].clone())
    }

    /// A label that somebody may have meant: alike but for case, cut short
    /// (FAT keeps eleven characters), or right on another build's medium.
    pub(crate) fn nearly(&self, found: &Superblock) -> bool {
        self.specs.iter().any(|spec| match spec {
            Spec::Label(label) => {
                let (a, b) = (label.to_ascii_uppercase(), found.label.to_ascii_uppercase());
                !b.is_empty() && (a.starts_with(&b) || b.starts_with(&a))
            }
            _ => false,
        })
    }
}

impl Spec {
    /// Whether it may be this one, by all that is known without a mount.
    pub(crate) fn names(&self, disk: &Disk) -> bool {
        let found = |is: &dyn Fn(&Superblock) -> bool| disk.found().is_some_and(is);
        match self {
            Self::Id(id) => found(&|found| found.boot_id == Some(*id)),
            Self::Label(label) => found(&|found| found.label == *label),
            Self::Uuid(uuid) => found(&|found| found.uuid.eq_ignore_ascii_case(uuid)),
            Self::PartUuid(uuid) => disk.partition.uuid.eq_ignore_ascii_case(uuid),
            Self::PartLabel(label) => disk.partition.label == *label,
            Self::Device(name) => disk.name == *name,
            Self::Removable => disk.removable,
            // Only a mount tells, and every candidate is mounted.
            Self::File(_) => true,
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, spec) in self.specs.iter().enumerate() {
            write!(f, "{}{spec}", if n == 0 { "" } else { " or " })?;
        }
        Ok(())
    }
}

/// None: better wait.
///
/// A device that the first spec names is taken at once, another one only when
/// nothing is left that might be better; a partition is better than its disk,
/// because an isohybrid stick shows the same superblock on both.
pub(super) fn rank(wanted: &Wanted, disks: &[Disk]) -> Option<usize> {
    let (key, at) = disks.iter().enumerate().filter_map(|(at, disk)| Some((key(wanted, disk)?, at))).min()?;
    let best = &disks[at];
    let better_may_come = disks.iter().any(|disk| {
        disk.is_pending() && (key.0 > 0 || best.whole.is_none() && disk.whole.as_ref() == Some(&best.name))
    });
    (!better_may_come).then_some(at)
}

/// The place among the specs, our build before others, partitions before disks, and then by name, so
/// that two that are alike are chosen between in the same way at every boot.
fn key<'a>(wanted: &Wanted, disk: &'a Disk) -> Option<(usize, bool, bool, &'a str)> {
    let is_ours = wanted.boot_id.is_some() && disk.found()?.boot_id == wanted.boot_id;
    Some((wanted.place(disk)?, !is_ours, disk.whole.is_none(), disk.name.as_str()))
}

/// Another disk that is as good as the chosen one.
pub(super) fn ambiguous<'a>(wanted: &Wanted, disks: &'a [Disk], chosen: usize) -> Option<&'a str> {
    let place = wanted.place(&disks[chosen]);
    let root = |disk: &'a Disk| disk.whole.as_ref().unwrap_or(&disk.name).as_str();
    let others = disks.iter().filter(|disk| root(disk) != root(&disks[chosen]));
    others.filter(|disk| wanted.place(disk) == place).map(|disk| disk.name.as_str()).next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Mode;
    use crate::probe::Finding;
    use crate::superblock::{Fs, Partition};
    use std::time::{Duration, Instant};

    const OURS: BootId = BootId::new([1; 16]);
    const THEIRS: BootId = BootId::new([2; 16]);

    fn disk(path: &str, label: &str, boot_id: Option<BootId>) -> Disk {
        let mut disk = Disk::new(&format!("/devices/x/block/{path}")).unwrap();
        let uuid = "AB-cd".to_owned();
        disk.finding = Some(Finding::Found(Superblock { fs: Fs::Iso9660, label: label.into(), uuid, boot_id, len: 0 }));
        disk
    }

    fn pending(path: &str) -> Disk {
        Disk { finding: None, ..disk(path, "", None) }
    }

    fn hanging(path: &str) -> Disk {
        Disk { since: Instant::now().checked_sub(Duration::from_secs(5)).unwrap(), ..pending(path) }
    }

    fn bad(disk: Disk) -> Disk {
        Disk { bad: Some("x".into()), ..disk }
    }

    fn facts() -> ImageFacts {
        ImageFacts { name: "a".into(), boot_id: Some(OURS), label: "A".into(), mode: Mode::Ram, params: String::new() }
    }

    #[test]
    fn the_right_one_of_many_is_taken() {
        let table: [(&str, Vec<Disk>, Option<&str>); 13] = [
            ("nothing there", vec![], None),
            ("boot-id at once", vec![pending("sda"), disk("sr0", "X", Some(OURS))], Some("sr0")),
            ("boot-id beats label", vec![disk("sda", "A", None), disk("sr0", "X", Some(OURS))], Some("sr0")),
            ("a label waits", vec![disk("sda", "A", None), pending("sr0")], None),
            ("a label when all is known", vec![disk("sda", "A", None), disk("sr0", "B", None)], Some("sda")),
            ("a label does not wait for the hung", vec![disk("sda", "A", None), hanging("sr0")], Some("sda")),
            ("another build's is not taken", vec![disk("sda", "A", Some(THEIRS))], None),
            (
                "the partition, not the disk",
                vec![disk("sda", "A", Some(OURS)), disk("sda/sda1", "A", Some(OURS))],
                Some("sda1"),
            ),
            ("a disk waits for its partitions", vec![disk("sda", "A", Some(OURS)), pending("sda/sda1")], None),
            ("but not for others'", vec![disk("sda", "A", Some(OURS)), pending("sdb/sdb1")], Some("sda")),
            ("a bad one is passed", vec![bad(disk("sda", "A", Some(OURS))), disk("sdb", "A", None)], Some("sdb")),
            ("alike ones by name", vec![disk("sdb", "A", None), disk("sda", "A", None)], Some("sda")),
            ("a label must be the whole", vec![disk("sda", "AA", None)], None),
        ];
        let wanted = Wanted::new(&[], Some(&facts()));
        for (what, disks, expected) in table {
            let taken = rank(&wanted, &disks).map(|at| disks[at].name.as_str());
            assert_eq!(taken, expected, "{what}");
        }
    }

    #[test]
    fn a_medium_that_was_named_is_taken_whatever_its_build() {
        let disks = [disk("sda", "A", Some(THEIRS)), disk("sdb", "B", Some(OURS))];
        let taken = |specs: &[Spec]| rank(&Wanted::new(specs, Some(&facts())), &disks).map(|at| disks[at].name.clone());
        assert_eq!(taken(&[Spec::Label(b"A".into())]).as_deref(), Some("sda"));
        assert_eq!(taken(&[Spec::Device("sdb".into())]).as_deref(), Some("sdb"));
        // What fits both is ours.
        assert_eq!(taken(&[Spec::Label(b"none".into()), Spec::Uuid("ab-CD".into())]).as_deref(), Some("sdb"));
        assert_eq!(taken(&[Spec::Uuid("other".into())]), None);
    }

    #[test]
    fn a_partition_is_found_by_what_its_table_calls_it() {
        let named = |path: &str, uuid: &str, label: &str| {
            let partition = Partition { uuid: uuid.into(), label: label.into() };
            Disk { partition, ..disk(path, "", None) }
        };
        let mut stick = disk("sdc/sdc1", "", None);
        stick.removable = true;
        let disks = [named("sda/sda1", "1234abcd-01", ""), named("sdb/sdb1", "", "live"), stick];
        let taken = |spec: Spec| rank(&Wanted::new(&[spec], None), &disks).map(|at| disks[at].name.clone());
        assert_eq!(taken(Spec::PartUuid("1234ABCD-01".into())).as_deref(), Some("sda1"));
        assert_eq!(taken(Spec::PartLabel("live".into())).as_deref(), Some("sdb1"));
        assert_eq!(taken(Spec::Removable).as_deref(), Some("sdc1"));
        assert_eq!(taken(Spec::PartLabel("Live".into())), None);
    }

    #[test]
    fn an_initramfs_of_no_medium_takes_any_with_its_label() {
        let wanted = Wanted::new(&[], Some(&ImageFacts { boot_id: None, ..facts() }));
        let disks = [disk("sda", "B", Some(OURS)), disk("sdb", "A", Some(THEIRS))];
        assert_eq!(rank(&wanted, &disks).map(|at| disks[at].name.as_str()), Some("sdb"));
    }

    #[test]
    fn two_that_are_alike_are_noticed_and_a_disk_with_its_partition_is_not() {
        let wanted = Wanted::new(&[], Some(&facts()));
        let two = [disk("sda", "A", None), disk("sdb", "A", None)];
        assert_eq!(ambiguous(&wanted, &two, 0), Some("sdb"));
        let one = [disk("sda", "A", None), disk("sda/sda1", "A", None)];
        assert_eq!(ambiguous(&wanted, &one, 1), None);
    }

    #[test]
    fn labels_that_nearly_fit_are_told() {
        let wanted = Wanted::new(&[Spec::Label(b"AURORA_LIVE".into())], None);
        for (label, near) in
            [("aurora_live", true), ("AURORA", true), ("AURORA_LIVE2", true), ("BOREALIS", false), ("", false)]
        {
            let Some(Finding::Found(found)) = disk("sda", label, None).finding else { unreachable!() };
            assert_eq!(wanted.nearly(&found), near, "{label}");
        }
    }
}
