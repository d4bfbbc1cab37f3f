//! The `@sets` of `kernel.modules`: rules over the kernel's own directories
//! and aliases, so that a kernel newer than this table brings its new drivers
//! into the right sets by itself. Files stand only where a directory would
//! bring too much; one that a kernel lacks, or has built in, is passed over.
//!
//! Sizes decided what is left out of `@live`: Debian's 6.1 makes it 4.8 MB of
//! zstd -19, where f2fs would add 350 KB and the drivers of RAID controllers,
//! which no medium is behind, 700 KB (they are `@raid`).

use super::catalog::Kmod;
use super::pattern::path_matches;

/// A kmod belongs to a set when one of its rules takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The reason that every kmod it takes is given.
    pub why: &'static str,
    /// Paths as in a profile, blanks between them.
    paths: &'static str,
    /// Aliases of which it must have one, blanks between them; empty: any kmod
    /// there. They tell drivers of hardware from helpers, which follow as
    /// dependencies where they are needed, and PCs' drivers from boards'.
    aliases: &'static str,
}

impl Rule {
    pub fn takes(&self, kmod: &Kmod) -> bool {
        let has = |wanted: &str| kmod.info.aliases.iter().any(|alias| init::glob::matches(wanted, alias));
        self.paths.split_ascii_whitespace().any(|pattern| path_matches(pattern, kmod.path.as_bytes()))
            && (self.aliases.is_empty() || self.aliases.split_ascii_whitespace().any(has))
    }
}

/// The rules of `@name`.
pub fn rules(name: &str) -> Option<&'static [Rule]> {
    SETS.iter().find(|(set, _)| *set == name).map(|(_, rules)| *rules)
}

/// What a user may write behind `@`.
pub fn names() -> impl Iterator<Item = &'static str> {
    SETS.iter().map(|(name, _)| *name).chain(["host"])
}

const SETS: &[(&str, &[Rule])] = &[("live", LIVE), ("net", NET), ("crypto", CRYPTO), ("raid", RAID)];

/// What a generic PC needs from power-on to a mounted root on any medium, with
/// a keyboard for the rescue shell.
const LIVE: &[Rule] = &[
    Rule { why: "SATA and PATA controllers", paths: "kernel/drivers/ata", aliases: "pci:*" },
    Rule {
        why: "NVMe disks, also behind Intel's VMD",
        paths: "kernel/drivers/nvme/host/nvme.ko kernel/drivers/pci/controller/vmd.ko",
        aliases: "",
    },
    Rule { why: "USB host controllers", paths: "kernel/drivers/usb/host", aliases: "pci:* acpi*:*" },
    Rule { why: "USB4 and Thunderbolt docks", paths: "kernel/drivers/thunderbolt", aliases: "pci:*" },
    Rule {
        why: "USB sticks, disks and built-in card readers",
        paths: "kernel/drivers/usb/storage/usb-storage.ko kernel/drivers/usb/storage/uas.ko \
                kernel/drivers/usb/storage/ums-realtek.ko",
        aliases: "",
    },
    Rule { why: "SD and eMMC hosts", paths: "kernel/drivers/mmc/host", aliases: "pci:* acpi*:* platform:rtsx*" },
    Rule { why: "SD cards and eMMC", paths: "kernel/drivers/mmc/core/mmc_block.ko", aliases: "" },
    Rule {
        why: "disks of QEMU and of clouds",
        paths: "kernel/drivers/virtio/virtio_pci.ko kernel/drivers/virtio/virtio_mmio.ko \
                kernel/drivers/block/virtio_blk.ko kernel/drivers/scsi/virtio_scsi.ko",
        aliases: "",
    },
    Rule {
        why: "disks and keyboard of Hyper-V",
        paths: "kernel/drivers/hv/hv_vmbus.ko kernel/drivers/scsi/hv_storvsc.ko kernel/drivers/hid/hid-hyperv.ko \
                kernel/drivers/input/serio/hyperv-keyboard.ko",
        aliases: "",
    },
    Rule {
        why: "disks and keyboard of Xen",
        paths: "kernel/drivers/block/xen-blkfront.ko kernel/drivers/scsi/xen-scsifront.ko \
                kernel/drivers/input/misc/xen-kbdfront.ko",
        aliases: "",
    },
    Rule {
        why: "disks of VMware and VirtualBox",
        paths: "kernel/drivers/scsi/vmw_pvscsi.ko kernel/drivers/message/fusion/mptspi.ko \
                kernel/drivers/message/fusion/mptsas.ko",
        aliases: "",
    },
    Rule {
        why: "disks and CDs of all the above",
        paths: "kernel/drivers/scsi/sd_mod.ko kernel/drivers/scsi/sr_mod.ko",
        aliases: "",
    },
    Rule {
        why: "the rootfs image",
        paths: "kernel/drivers/block/loop.ko kernel/fs/squashfs kernel/fs/erofs kernel/fs/overlayfs \
                kernel/drivers/md/dm-verity.ko",
        aliases: "",
    },
    Rule { why: "the hash of a verified rootfs image", paths: "kernel/crypto kernel/arch", aliases: "crypto-sha256" },
    Rule { why: "CDs and DVDs", paths: "kernel/fs/isofs kernel/fs/udf", aliases: "" },
    Rule {
        why: "sticks that other systems wrote",
        paths: "kernel/fs/fat/vfat.ko kernel/fs/exfat kernel/fs/ntfs3",
        aliases: "",
    },
    Rule { why: "what Ventoy says through UEFI", paths: "kernel/fs/efivarfs", aliases: "" },
    Rule {
        why: "persistence, and images on a disk",
        paths: "kernel/fs/ext4 kernel/fs/xfs kernel/fs/btrfs",
        aliases: "",
    },
    Rule {
        why: "keyboards",
        paths: "kernel/drivers/hid/usbhid kernel/drivers/hid/hid-generic.ko kernel/drivers/hid/i2c-hid \
                kernel/drivers/input/keyboard/atkbd.ko kernel/drivers/input/serio/i8042.ko",
        aliases: "",
    },
    Rule {
        why: "keyboards that hid-generic leaves to their own drivers",
        paths: "kernel/drivers/hid/hid-apple.ko kernel/drivers/hid/hid-belkin.ko \
                kernel/drivers/hid/hid-cherry.ko kernel/drivers/hid/hid-chicony.ko \
                kernel/drivers/hid/hid-ezkey.ko kernel/drivers/hid/hid-holtek-kbd.ko \
                kernel/drivers/hid/hid-keytouch.ko kernel/drivers/hid/hid-lenovo.ko \
                kernel/drivers/hid/hid-logitech.ko kernel/drivers/hid/hid-logitech-dj.ko \
                kernel/drivers/hid/hid-microsoft.ko kernel/drivers/hid/hid-samsung.ko \
                kernel/drivers/hid/hid-sunplus.ko",
        aliases: "",
    },
    Rule {
        why: "buses that keyboards of laptops are on",
        paths: "kernel/drivers/mfd/intel-lpss* kernel/drivers/pinctrl/intel \
                kernel/drivers/i2c/busses/i2c-designware-*",
        aliases: "pci:* acpi*:* platform:*",
    },
];

const NET: &[Rule] = &[
    Rule { why: "wired network cards", paths: "kernel/drivers/net/ethernet", aliases: "pci:*" },
    Rule { why: "network adapters on USB", paths: "kernel/drivers/net/usb", aliases: "usb:*" },
    Rule {
        why: "network of virtual machines",
        paths: "kernel/drivers/net/virtio_net.ko kernel/drivers/net/vmxnet3 kernel/drivers/net/hyperv \
                kernel/drivers/net/xen-netfront.ko",
        aliases: "",
    },
    Rule { why: "packet sockets, which DHCP needs", paths: "kernel/net/packet/af_packet.ko", aliases: "" },
];

const CRYPTO: &[Rule] = &[
    Rule {
        why: "encrypted disks",
        paths: "kernel/drivers/md/dm-crypt.ko kernel/drivers/md/dm-integrity.ko",
        aliases: "",
    },
    Rule {
        why: "ciphers and hashes of LUKS",
        paths: "kernel/crypto kernel/arch",
        aliases: "crypto-aes crypto-xts crypto-cbc crypto-essiv crypto-sha1 crypto-sha256 crypto-sha512 \
                  crypto-hmac crypto-authenc",
    },
    Rule {
        why: "ciphers as cryptsetup asks for them",
        paths: "kernel/crypto/af_alg.ko kernel/crypto/algif_skcipher.ko kernel/crypto/algif_hash.ko",
        aliases: "",
    },
];

/// For roots on the disks of an installed system.
const RAID: &[Rule] = &[
    Rule {
        why: "software RAID",
        paths: "kernel/drivers/md/raid*.ko kernel/drivers/md/linear.ko kernel/drivers/md/multipath.ko",
        aliases: "",
    },
    Rule {
        why: "volumes of LVM",
        paths: "kernel/drivers/md/dm-mod.ko kernel/drivers/md/dm-raid.ko kernel/drivers/md/dm-mirror.ko \
                kernel/drivers/md/dm-snapshot.ko kernel/drivers/md/dm-thin-pool.ko kernel/drivers/md/dm-cache.ko \
                kernel/drivers/md/dm-cache-smq.ko kernel/drivers/md/dm-writecache.ko",
        aliases: "",
    },
    Rule {
        why: "RAID and SAS controllers",
        paths: "kernel/drivers/scsi/mpt3sas kernel/drivers/scsi/mpi3mr kernel/drivers/scsi/megaraid \
                kernel/drivers/scsi/smartpqi kernel/drivers/scsi/hpsa.ko kernel/drivers/scsi/aacraid \
                kernel/drivers/scsi/arcmsr kernel/drivers/scsi/isci kernel/drivers/scsi/mvsas \
                kernel/drivers/scsi/pm8001 kernel/drivers/scsi/3w-*.ko",
        aliases: "pci:*",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_paths_of_the_kernel_and_a_reason_of_its_own() {
        let mut whys: Vec<&str> = Vec::new();
        for rule in SETS.iter().flat_map(|(_, rules)| *rules) {
            assert!(!rule.why.is_empty() && !whys.contains(&rule.why), "{}", rule.why);
            whys.push(rule.why);
            assert!(!rule.paths.is_empty(), "{}", rule.why);
            for path in rule.paths.split_ascii_whitespace() {
                assert!(path.starts_with("kernel/") && !path.ends_with('/'), "{path}");
            }
        }
    }
}
