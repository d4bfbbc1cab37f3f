//! A distribution's kernel package: every one of its kmods.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use builder::deb;
use builder::elf::HostSysroot;
use builder::kernel::depmod::{Config, index};
use builder::kernel::{Asked, Catalog, Kernel, KmodForm, Packing, Selection, select, stage};
use init::kmods::KmodIndex;
use tree::{Provenance, TreePath};

use crate::depmod::assert_equal_to_depmod;
use crate::modprobe::{assert_order_of_modprobe, relative};
use crate::{or_skip, tool};

/// Names the package: 70 MB are not for a repository.
const PACKAGE: &str = "LIVEROOT_TEST_KERNEL_DEB";

struct Sample {
    kernel: Kernel,
    catalog: Catalog,
}

fn sample() -> Option<&'static Sample> {
    static SAMPLE: OnceLock<Option<Sample>> = OnceLock::new();
    let load = || {
        let package = std::env::var_os(PACKAGE).map(PathBuf::from).filter(|package| package.is_file());
        let package = or_skip(package, "kernel package (LIVEROOT_TEST_KERNEL_DEB; `cargo xtask test` fetches it)")?;
        let from = Provenance::new("package");
        let kernel = Kernel::from_tree(&deb::load(&package, &from).unwrap(), &from).unwrap();
        let catalog = Catalog::scan(&kernel).unwrap();
        Some(Sample { kernel, catalog })
    };
    SAMPLE.get_or_init(load).as_ref()
}

/// lib/modules/RELEASE of the sample below a directory, as depmod wants it.
pub(crate) fn unpack(kernel: &Kernel, below: &Path) {
    let dir = below.join("lib/modules").join(&kernel.release);
    for item in kernel.modules.walk() {
        let path = dir.join(item.path.to_string().trim_start_matches('/'));
        match item.content() {
            Some(content) => drop(io::copy(&mut content.open().unwrap(), &mut File::create(path).unwrap()).unwrap()),
            None => fs::create_dir_all(path).unwrap(),
        }
    }
}

fn modules_dir(kernel: &Kernel) -> TreePath {
    TreePath::new(format!("lib/modules/{}", kernel.release)).unwrap()
}

fn live(sample: &Sample) -> Selection {
    select(&sample.catalog, &Asked::all(&["@live"], &Provenance::new("profile"))).unwrap()
}

/// One unpacked copy serves both tests: it is 400 MB.
fn usual(archive: &str) -> Packing {
    Packing { form: KmodForm::Auto, strip: false, archive: archive.parse().unwrap() }
}

#[test]
fn indexes_and_loading_order_equal_those_of_depmod_and_modprobe() {
    let (Some(depmod), Some(modprobe), Some(sample)) = (tool("depmod"), tool("modprobe"), sample()) else { return };
    let scratch = tempfile::tempdir().unwrap();
    unpack(&sample.kernel, scratch.path());
    let indexes = index(&HostSysroot::new(scratch.path()), &modules_dir(&sample.kernel), &Config::default()).unwrap();
    assert_equal_to_depmod(&depmod, scratch.path(), &sample.kernel.release, &indexes);
    assert_order_of_modprobe(&modprobe, scratch.path(), &sample.catalog);
}

/// One of each kind that a set is for. Built in is as good. Debian builds no ntfs3.
const KINDS: &[(&str, &str)] = &[
    (
        "@live",
        "ahci ata_piix nvme vmd xhci_pci ehci_pci ohci_pci uhci_hcd thunderbolt usb_storage uas sdhci_pci sdhci_acpi \
         mmc_block rtsx_pci_sdmmc virtio_pci virtio_blk virtio_scsi hv_storvsc hv_vmbus hyperv_keyboard xen_blkfront \
         xen_kbdfront vmw_pvscsi mptspi mptsas sd_mod sr_mod loop squashfs overlay erofs isofs udf vfat exfat \
         ext4 xfs btrfs dm_verity sha256_generic crc32c_generic nls_cp437 nls_ascii nls_utf8 nls_iso8859_1 usbhid \
         hid_generic i2c_hid_acpi hid_hyperv atkbd i8042",
    ),
    ("@net", "e1000e igb r8169 tg3 virtio_net vmxnet3 hv_netvsc xen_netfront r8152 cdc_ether af_packet"),
    ("@crypto", "dm_crypt dm_integrity aesni_intel xts cbc essiv sha256_generic sha512_generic hmac algif_skcipher"),
    ("@raid", "raid0 raid1 raid10 raid456 dm_mod dm_raid dm_mirror dm_snapshot dm_thin_pool mpt3sas megaraid_sas hpsa"),
];

#[test]
fn every_set_has_what_it_is_for() {
    let Some(sample) = sample() else { return };
    let mut lacking = Vec::new();
    for (set, names) in KINDS {
        let selection = select(&sample.catalog, &Asked::all(&[set], &Provenance::new("profile"))).unwrap();
        let is_there = |name: &str| {
            sample.catalog.find(name).is_some_and(|id| selection.contains(id)) || sample.catalog.builtin.has(name)
        };
        lacking.extend(names.split_whitespace().filter(|name| !is_there(name)).map(|name| format!("{name} in {set}")));
    }
    assert!(lacking.is_empty(), "{}", lacking.join(", "));
}

#[test]
fn the_live_set_is_small_and_has_nothing_that_boots_no_pc() {
    let Some(sample) = sample() else { return };
    let live = live(sample);
    let elsewhere = ["sound", "drivers/gpu", "drivers/net", "drivers/media", "drivers/infiniband", "net"];
    for (id, reason) in live.iter() {
        let path = relative(&sample.catalog.get(id).path);
        let foreign = elsewhere.iter().any(|dir| path.starts_with(&format!("kernel/{dir}/")));
        assert!(!foreign, "{path} is in @live: {reason}");
    }
    let staged = stage(&sample.kernel, &sample.catalog, &live, usual("zstd:19")).unwrap();
    let mut all = staged.index.into_bytes();
    for item in staged.tree.walk() {
        all.extend(item.content().map(|content| content.read_all(1 << 24).unwrap()).unwrap_or_default());
    }
    let packed = zstd::bulk::compress(&all, 19).unwrap().len();
    // Of the 6 MiB that the whole default initramfs may have.
    assert!(packed < 5 << 20, "@live is {packed} bytes, {} unpacked", all.len());
}

#[test]
fn the_index_of_the_live_set_is_complete() {
    let Some(sample) = sample() else { return };
    let staged = stage(&sample.kernel, &sample.catalog, &live(sample), usual("zstd:1")).unwrap();
    let index = KmodIndex::parse(&staged.index).unwrap();
    assert_eq!(index.release, sample.kernel.release);
    for kmod in &index.kmods {
        let path = format!("lib/modules/{}/{}", index.release, kmod.path);
        assert!(staged.tree.contains(&TreePath::new(&path).unwrap()), "{path}");
        let known = sample.catalog.get(sample.catalog.find(kmod.name).unwrap());
        assert_eq!(kmod.deps.len(), known.deps.len(), "{}: everything it needs is staged", kmod.name);
    }
    assert!(index.builtin.contains(&"atkbd"));
    assert!(sample.catalog.warnings.is_empty(), "{:?}", sample.catalog.warnings);
}
