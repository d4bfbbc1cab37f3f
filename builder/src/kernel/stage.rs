//! A selection as files of the initramfs: the kmods, their firmware, and the
//! index from which `/init` loads them.

use std::collections::BTreeMap;
use std::io;

use init::contract::initramfs;
use init::kmods::{After, Alias, Kmod as IndexKmod, KmodIndex};
use tree::{Conflict, Provenance, Tree, TreePath};

use super::catalog::{Catalog, KmodId};
use super::form::Packing;
use super::select::Selection;
use super::{Kernel, firmware, parallel, seldom};
use crate::provenance::role::words;

#[derive(Debug)]
pub struct Staged {
    /// Rooted at `/`: lib/modules/RELEASE/kernel/… and lib/firmware/….
    pub tree: Tree,
    /// The text of [`KmodIndex`], to be put at [`initramfs::KMODS`].
    pub index: String,
    /// Firmware that a kmod names and the source does not have. Most kmods
    /// name files for hardware generations that few machines have, so this is
    /// a matter for a summary, not an error.
    pub missing_firmware: Vec<firmware::Missing>,
}

#[derive(Debug, thiserror::Error)]
pub enum StageError {
    #[error("{path} cannot be read")]
    Read { path: TreePath, source: io::Error },
    #[error("staging the kmods")]
    Tree(#[from] Conflict),
    #[error("firmware path that a kmod names")]
    Path(#[from] tree::PathError),
}

pub fn stage(
    kernel: &Kernel,
    catalog: &Catalog,
    selection: &Selection,
    packing: Packing,
) -> Result<Staged, StageError> {
    let dir = TreePath::new(format!("{}/{}", initramfs::MODULES, kernel.release))?;
    let mut tree = Tree::new();
    let mut paths = Vec::new();
    let seldom = seldom::seldom_loaded(catalog, selection);
    let chosen: Vec<_> = selection.iter().collect();
    let stored = parallel::try_map(&chosen, |(id, _)| {
        let kmod = catalog.get(*id);
        packing.of(kmod, seldom.contains(id)).map_err(|source| StageError::Read { path: kmod.path.clone(), source })
    })?;
    for ((id, reason), (path, content)) in chosen.into_iter().zip(stored) {
        let kmod = catalog.get(id);
        let from = reason.nearer(format!("{} {}", words::KMOD, kmod.name)).nearer(origin(&kernel.from));
        tree.insert_file(dir.join(path.as_bytes())?, 0o644, content, from)?;
        paths.push(path);
    }
    let missing_firmware = firmware::stage(kernel, catalog, selection, &mut tree)?;
    Ok(Staged { tree, index: index(catalog, selection, &paths), missing_firmware })
}

/// Whose file it is: the first thing that is known of the kernel.
pub(super) fn origin(kernel: &Provenance) -> &str {
    kernel.causes().next().unwrap_or_default()
}

fn index(catalog: &Catalog, selection: &Selection, paths: &[TreePath]) -> String {
    let numbers: BTreeMap<KmodId, u32> = selection.iter().zip(0..).map(|((id, _), n)| (id, n)).collect();
    let paths: Vec<String> = paths.iter().map(|path| path.to_string().trim_start_matches('/').to_string()).collect();
    let mut kmods = Vec::new();
    let (mut afters, mut aliases) = (Vec::new(), Vec::new());
    for (id, path) in numbers.keys().zip(&paths) {
        let kmod = catalog.get(*id);
        kmods.push(IndexKmod {
            name: &kmod.name,
            path,
            deps: kmod.deps.iter().map(|dep| numbers[dep]).collect(),
            soft: softs(catalog, *id).iter().filter_map(|dep| numbers.get(dep).copied()).collect(),
        });
        let later = kmod.post.iter().filter_map(|later| numbers.get(later));
        afters.extend(later.map(|&later| After { kmod: numbers[id], later }));
        // An alias with a line break in it would be two lines of the index.
        let printable = kmod.info.aliases.iter().filter(|glob| !glob.contains(char::is_control));
        aliases.extend(printable.map(|glob| Alias { kmod: numbers[id], glob }));
    }
    KmodIndex { release: &catalog.release, kmods, afters, aliases, builtin: catalog.builtin.names().collect() }.print()
}

/// What to try before a kmod: also what its dependencies ask for, so that
/// loading one kmod never means working out the softdeps of others.
fn softs(catalog: &Catalog, id: KmodId) -> Vec<KmodId> {
    let kmod = catalog.get(id);
    let mut softs = Vec::new();
    for &user in kmod.deps.iter().chain([&id]) {
        for &soft in &catalog.get(user).pre {
            if soft != id && !softs.contains(&soft) && !kmod.deps.contains(&soft) {
                softs.push(soft);
            }
        }
    }
    softs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::fake;
    use crate::kernel::fake::{RELEASE, kernel, path};
    use crate::kernel::{Asked, KmodForm, select};
    use tree::Kind;

    fn staged(kernel: &Kernel, patterns: &[&str]) -> Staged {
        let catalog = Catalog::scan(kernel).unwrap();
        let selection = select(&catalog, &Asked::all(patterns, &Provenance::new("profile"))).unwrap();
        let packing = Packing { form: KmodForm::Auto, strip: false, archive: "zstd:1".parse().unwrap() };
        stage(kernel, &catalog, &selection, packing).unwrap()
    }

    #[test]
    fn kmods_are_staged_with_the_index_that_init_reads_and_those_of_devices_plain() {
        let modinfo = ["depends=jbd2", "alias=usb:x", "alias=two\nbuiltin lines"];
        let mut kernel = kernel(
            &[
                ("fs/ext4.ko", &[]),
                ("fs/jbd2.ko", &["softdep=pre: crc post: late"]),
                ("lib/crc.ko", &[]),
                ("x/other.ko", &[]),
                ("x/late.ko", &[]),
            ],
            &[("lib/modules/RELEASE/modules.builtin", "kernel/atkbd.ko\n")],
        );
        kernel.modules.remove(&path("kernel/fs/ext4.ko"));
        let packed = zstd::bulk::compress(&fake::kmod(&modinfo), 1).unwrap();
        let at = path("kernel/fs/ext4.ko.zst");
        kernel.modules.insert_file(at, 0o644, packed.into(), Provenance::new("test")).unwrap();

        let staged = staged(&kernel, &["ext4"]);
        let ext4 = path(&format!("lib/modules/{RELEASE}/kernel/fs/ext4.ko"));
        let item = staged.tree.get(&ext4).unwrap();
        assert_eq!(item.content().unwrap().read_all(9999).unwrap(), fake::kmod(&modinfo));
        assert_eq!(item.provenance.to_string(), "test <- kmod ext4 <- kernel.modules `ext4` <- profile");
        let wanted = "liveroot-kmods 1.0 6.1.0-test\n\
                      kmod ext4 kernel/fs/ext4.ko 1 2\n\
                      kmod jbd2 kernel/fs/jbd2.ko - 2\n\
                      kmod crc kernel/lib/crc.ko - -\n\
                      kmod late kernel/x/late.ko - -\n\
                      after 1 3\n\
                      alias 0 usb:x\n\
                      builtin atkbd\n";
        assert_eq!(staged.index, wanted);
    }

    #[test]
    fn firmware_follows_with_its_symlinks_and_what_is_missing_is_listed() {
        let names = ["firmware=a/b.bin", "firmware=c/*.fw", "firmware=gone.bin", "firmware=round"];
        let mut kernel = kernel(
            &[("x/nic.ko", &names)],
            &[("lib/firmware/real/b.bin.xz", "B"), ("lib/firmware/c/1.fw", "1"), ("lib/firmware/c/2.fw.zst", "2")],
        );
        for (at, target) in [("a/b.bin.xz", "../real/./b.bin.xz"), ("round", "round")] {
            kernel.firmware.insert_symlink(path(at), target, Provenance::new("test")).unwrap();
        }
        let staged = staged(&kernel, &["nic"]);
        let mut files: Vec<_> = staged.tree.walk_below(&path("lib/firmware")).collect();
        files.retain(|item| !item.is_dir());
        let files: Vec<_> = files.iter().map(|item| item.path.to_string()).collect();
        let wanted =
            ["a/b.bin.xz", "c/1.fw", "c/2.fw.zst", "real/b.bin.xz", "round"].map(|f| format!("/lib/firmware/{f}"));
        assert_eq!(files, wanted);
        assert_eq!(staged.missing_firmware, [firmware::Missing { kmod: "nic".into(), path: "gone.bin".into() }]);
        let link = staged.tree.get(&path("lib/firmware/a/b.bin.xz")).unwrap();
        assert!(matches!(link.node, tree::Node::Leaf { kind: Kind::Symlink(_), .. }));
        assert!(link.provenance.to_string().starts_with("test <- firmware of kmod nic <- "));
    }
}
