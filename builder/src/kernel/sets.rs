//! The `@sets` of `kernel.modules`: rules over the kernel's own directories
//! and aliases, so that a kernel newer than this table brings its new drivers
//! into the right sets by itself. Names stand only where neither tells.

use super::catalog::Kmod;
use super::pattern::path_matches;

/// A kmod belongs to a set when one of its rules takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Paths as in a profile; any of them.
    pub paths: &'static [&'static str],
    /// Aliases it must have one of; empty: any kmod there.
    pub aliases: &'static [&'static str],
    /// Goes into the reason of every kmod this rule takes.
    pub why: &'static str,
}

impl Rule {
    pub fn takes(&self, kmod: &Kmod) -> bool {
        let has = |wanted: &&str| kmod.info.aliases.iter().any(|alias| init::glob::matches(wanted, alias));
        self.paths.iter().any(|pattern| path_matches(pattern, kmod.path.as_bytes()))
            && (self.aliases.is_empty() || self.aliases.iter().any(has))
    }
}

const fn all(paths: &'static [&'static str], why: &'static str) -> Rule {
    Rule { paths, aliases: &[], why }
}

const fn bound(paths: &'static [&'static str], aliases: &'static [&'static str], why: &'static str) -> Rule {
    Rule { paths, aliases, why }
}

/// What a generic PC needs from power-on to a mounted root on any medium, with
/// a keyboard for the rescue shell.
const LIVE: &[Rule] = &[
    bound(&["kernel/drivers/ata"], &["pci:*"], "SATA and PATA controllers"),
    all(&["kernel/drivers/nvme/host/nvme.ko"], "NVMe disks"),
    bound(&["kernel/drivers/usb/host"], &["pci:*", "acpi*:*"], "USB host controllers"),
    all(&["kernel/drivers/usb/storage/usb-storage.ko", "kernel/drivers/usb/storage/uas.ko"], "USB sticks and disks"),
    bound(&["kernel/drivers/mmc/host"], &["pci:*", "acpi*:*", "platform:rtsx*"], "SD and eMMC slots"),
    all(&["kernel/drivers/mmc/core/mmc_block.ko"], "SD cards and eMMC"),
    all(
        &[
            "kernel/drivers/block/virtio_blk.ko",
            "kernel/drivers/scsi/virtio_scsi.ko",
            "kernel/drivers/virtio/virtio_pci.ko",
            "kernel/drivers/virtio/virtio_mmio.ko",
        ],
        "disks of QEMU, KVM and clouds",
    ),
    all(
        &[
            "kernel/drivers/hv/hv_vmbus.ko",
            "kernel/drivers/scsi/hv_storvsc.ko",
            "kernel/drivers/hid/hid-hyperv.ko",
            "kernel/drivers/input/serio/hyperv-keyboard.ko",
            "kernel/drivers/pci/controller/pci-hyperv.ko",
        ],
        "disks and keyboard of Hyper-V",
    ),
    all(
        &[
            "kernel/drivers/block/xen-blkfront.ko",
            "kernel/drivers/scsi/xen-scsifront.ko",
            "kernel/drivers/input/misc/xen-kbdfront.ko",
        ],
        "disks and keyboard of Xen",
    ),
    all(
        &[
            "kernel/drivers/scsi/vmw_pvscsi.ko",
            "kernel/drivers/message/fusion/mptspi.ko",
            "kernel/drivers/message/fusion/mptsas.ko",
        ],
        "disks of VMware and VirtualBox",
    ),
    all(&["kernel/drivers/scsi/sd_mod.ko", "kernel/drivers/scsi/sr_mod.ko"], "SCSI disks, and CDs"),
    all(
        &["kernel/drivers/block/loop.ko", "kernel/fs/squashfs", "kernel/fs/overlayfs", "kernel/fs/erofs"],
        "the rootfs image",
    ),
    all(&["kernel/drivers/md/dm-verity.ko"], "a verified rootfs image"),
    all(&["kernel/fs/isofs", "kernel/fs/udf"], "CDs and DVDs"),
    all(&["kernel/fs/fat/vfat.ko", "kernel/fs/exfat", "kernel/fs/ntfs3"], "sticks from other systems"),
    all(
        &[
            "kernel/fs/nls/nls_cp437.ko",
            "kernel/fs/nls/nls_ascii.ko",
            "kernel/fs/nls/nls_iso8859-1.ko",
            "kernel/fs/nls/nls_utf8.ko",
        ],
        "file names on FAT and Joliet",
    ),
    all(&["kernel/fs/ext4", "kernel/fs/xfs", "kernel/fs/btrfs", "kernel/fs/f2fs"], "persistence, and images on a disk"),
    all(
        &[
            "kernel/drivers/hid/usbhid",
            "kernel/drivers/hid/hid-generic.ko",
            "kernel/drivers/hid/i2c-hid",
            "kernel/drivers/input/keyboard/atkbd.ko",
            "kernel/drivers/input/serio/i8042.ko",
        ],
        "keyboards",
    ),
];

const NET: &[Rule] = &[bound(&["kernel/drivers/net/ethernet"], &["pci:*"], "wired network cards")];

const SETS: &[(&str, &[Rule])] = &[("live", LIVE), ("net", NET)];

/// The rules of `@name`.
pub fn rules(name: &str) -> Option<&'static [Rule]> {
    SETS.iter().find(|(set, _)| *set == name).map(|(_, rules)| *rules)
}

pub fn names() -> impl Iterator<Item = &'static str> {
    SETS.iter().map(|(name, _)| *name)
}
