//! Which kmods few boots load.

use std::collections::BTreeSet;

use init::contract::initramfs;

use super::catalog::{Catalog, Kmod, KmodId};
use super::select::Selection;

/// What only a file system's superblock or a name on the command line asks for:
/// neither a device nor the root that every boot mounts.
pub(super) fn seldom_loaded(catalog: &Catalog, selection: &Selection) -> BTreeSet<KmodId> {
    let mut often: BTreeSet<KmodId> = BTreeSet::new();
    let root = initramfs::ROOT_KMODS.iter().flat_map(|name| catalog.lookup(name));
    let asked = selection.iter().map(|(id, _)| id).filter(|&id| devices_ask_for(catalog.get(id)));
    for id in root.chain(asked) {
        let kmod = catalog.get(id);
        often.extend(kmod.deps.iter().chain(&kmod.pre).chain([&id]));
        often.extend(kmod.pre.iter().flat_map(|&pre| &catalog.get(pre).deps));
    }
    selection.iter().map(|(id, _)| id).filter(|id| !often.contains(id)).collect()
}

/// A device's alias has its bus in front; `devname:` is udev's, for nodes.
fn devices_ask_for(kmod: &Kmod) -> bool {
    let of_device = |alias: &String| alias.contains(':') && !alias.starts_with("devname:");
    kmod.info.aliases.iter().any(of_device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::fake::kernel;
    use crate::kernel::{Asked, select};
    use tree::Provenance;

    #[test]
    fn what_neither_a_device_nor_every_root_asks_for_is_seldom_loaded() {
        let kernel = kernel(
            &[
                ("fs/squashfs.ko", &["alias=fs-squashfs"]),
                ("fs/xfs.ko", &["alias=fs-xfs", "depends=crc"]),
                ("fs/btrfs.ko", &["alias=devname:btrfs-control", "depends=raid6"]),
                ("lib/crc.ko", &[]),
                ("lib/raid6.ko", &[]),
                ("lib/soft.ko", &[]),
                ("drivers/nvme.ko", &["alias=pci:v*d*", "depends=crc", "softdep=pre: soft"]),
            ],
            &[],
        );
        let catalog = Catalog::scan(&kernel).unwrap();
        let asked = Asked::all(&["squashfs", "xfs", "btrfs", "nvme"], &Provenance::new("test"));
        let selection = select(&catalog, &asked).unwrap();
        let names: Vec<&str> =
            seldom_loaded(&catalog, &selection).into_iter().map(|id| catalog.get(id).name.as_str()).collect();
        assert_eq!(names, ["xfs", "btrfs", "raid6"]);
    }
}
