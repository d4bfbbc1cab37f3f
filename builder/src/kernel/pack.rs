//! Kmods that few boots load are stored packed: the kernel need not unpack them
//! before /init, /init not check their bytes, and the memory that an initramfs
//! takes at its largest is what the smallest machines do not have.

use std::collections::BTreeSet;
use std::io;

use init::contract::initramfs;
use tree::{Content, TreePath};

use super::catalog::{Catalog, Kmod, KmodId};
use super::decompress;
use super::select::Selection;

/// Less than this is not worth a second codec.
const WORTH: u64 = 64 << 10;

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

/// The kmod as it is stored, and where. Of one that is packed already, the
/// distribution's own bytes.
pub(super) fn stored(kmod: &Kmod, packed: bool, level: u32) -> io::Result<(TreePath, Content)> {
    if packed && kmod.path.as_bytes() != plain_path(&kmod.path).as_bytes() {
        return Ok((kmod.path.clone(), kmod.content.clone()));
    }
    let path = plain_path(&kmod.path);
    let plain = decompress::plain(&kmod.content)?;
    if !packed || plain.len() < WORTH {
        return Ok((path, plain));
    }
    let bytes = zstd::bulk::compress(&plain.read_all(plain.len())?, level as i32)?;
    let path = TreePath::new([path.as_bytes(), b".zst"].concat()).expect("a longer name is one");
    Ok((path, bytes.into()))
}

fn plain_path(path: &TreePath) -> TreePath {
    let bytes = path.as_bytes();
    let end = [".gz", ".xz", ".zst"].iter().find_map(|end| bytes.strip_suffix(end.as_bytes()));
    TreePath::new(end.unwrap_or(bytes)).expect("a prefix of a path is one")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::fake;
    use crate::kernel::fake::{kernel, path};
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

    #[test]
    fn a_packed_kmod_comes_out_as_it_was_and_the_distribution_s_packing_is_kept() {
        let mut large = fake::kmod(&["alias=fs-xfs"]);
        large.resize(WORTH as usize, 0);
        let theirs = zstd::bulk::compress(&large, 7).unwrap();
        let files: [(&str, &[u8]); 3] =
            [("a.ko", &large), ("b.ko.zst", &theirs), ("c.ko", &fake::kmod(&["alias=fs-xfs"]))];
        let mut kernel = kernel(&[], &[]);
        for (name, bytes) in files {
            let at = path(&format!("kernel/fs/{name}"));
            kernel.modules.insert_file(at, 0o644, bytes.to_vec().into(), Provenance::new("test")).unwrap();
        }
        let catalog = Catalog::scan(&kernel).unwrap();
        let stored = |name: &str, packed| {
            let (path, content) = stored(catalog.get(catalog.find(name).unwrap()), packed, 1).unwrap();
            (path.to_string(), content.read_all(1 << 20).unwrap())
        };
        let (path, bytes) = stored("a", true);
        assert_eq!(path, "/kernel/fs/a.ko.zst");
        assert!(bytes.len() < 4096 && init::decompress::kmod(&bytes, large.len()).unwrap() == large);
        assert_eq!(stored("b", true), ("/kernel/fs/b.ko.zst".into(), theirs.clone()));
        assert_eq!(stored("b", false), ("/kernel/fs/b.ko".into(), large.clone()));
        assert_eq!(stored("c", true).0, "/kernel/fs/c.ko", "too small to be worth it");
    }
}
