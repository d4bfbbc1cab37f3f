//! Which modaliases are on the way to a disk: they come first, and are worth a
//! line when nothing serves them.

/// PCI storage and serial bus controllers and SD hosts (classes 01, 0C and 0805), USB
/// storage, and the buses that carry disks alone.
pub(crate) fn leads_to_disks(modalias: &str) -> bool {
    match modalias.split_once(':') {
        Some(("pci", rest)) => ["bc01", "bc0C", "bc08sc05"].iter().any(|class| rest.contains(class)),
        Some(("usb", rest)) => rest.contains("ic08"),
        Some(("virtio", rest)) => rest.starts_with("d00000002") || rest.starts_with("d00000008"),
        Some((bus, _)) => matches!(bus, "scsi" | "mmc" | "nvme" | "vmbus" | "xen" | "fs"),
        None => false,
    }
}

/// What a device will ask for that says so only later. The kernel gives a stick a
/// second to settle (usb-storage's `delay_use`), and nearly all are disks.
pub(super) fn foreseen(modalias: &str) -> Option<&'static str> {
    (modalias.starts_with("usb:") && leads_to_disks(modalias)).then_some("scsi:t-0x00")
}

/// Of an alias: the driver reads disks while it asks its devices. One that hangs in
/// that would hang libata's ports too, if it did so beside them: they wait for
/// whatever else was begun before them.
pub(super) fn reads_disks(glob: &str) -> bool {
    let bus = glob.split(':').next().unwrap_or_default();
    matches!(bus, "virtio" | "scsi" | "mmc" | "vmbus" | "xen")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_to_disks_is_told_from_the_rest_and_a_stick_foretells_one() {
        for (modalias, leads, foretells) in [
            ("pci:v00008086d00002922sv0sd0bc01sc06i01", true, false),
            ("pci:v00001217d00008620sv0sd0bc08sc05i01", true, false),
            ("pci:v00008086d00001237sv0sd0bc06sc00i00", false, false),
            ("virtio:d00000002v00001AF4", true, false),
            ("virtio:d00000001v00001AF4", false, false),
            ("usb:v46F4p0001d0000dc00dsc00dp00ic08isc06ip50in00", true, true),
            ("usb:v0627p0001d0000dc00dsc00dp00ic03isc01ip01in00", false, false),
            ("acpi:PNP0303:", false, false),
            ("nonsense", false, false),
        ] {
            assert_eq!((leads_to_disks(modalias), foreseen(modalias).is_some()), (leads, foretells), "{modalias}");
        }
    }

    #[test]
    fn drivers_of_disks_are_told_from_those_of_their_controllers() {
        for (glob, reads) in [("virtio:d00000002v*", true), ("scsi:t-0x00*", true), ("pci:v*bc01sc06i01*", false)] {
            assert_eq!(reads_disks(glob), reads, "{glob}");
        }
    }
}
