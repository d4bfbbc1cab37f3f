//! A kernel as a package or a root carries it, and which of its kmods an
//! initramfs needs.
//!
//! [`Kernel`] is the files, [`Catalog`] what its kmods say about themselves,
//! [`Selection`] the ones that were asked for with everything they need, and
//! [`Staged`] the tree of them with the index that `/init` reads.

mod builtin;
pub mod catalog;
mod decompress;
pub mod depmod;
#[cfg(test)]
mod fake;
mod firmware;
pub mod form;
mod image;
pub mod machine;
pub mod modinfo;
mod order;
mod parallel;
pub mod pattern;
mod scan;
mod seldom;
pub mod select;
pub mod sets;
mod stage;
mod symbols;
mod unsaid;

use std::collections::BTreeSet;
use std::io;

use tree::{Conflict, Content, Item, Kind, Leaf, Node, Provenance, Tree, TreePath};

pub use builtin::Builtin;
pub use catalog::{Catalog, CatalogError, Kmod, KmodId};
pub use firmware::{Missing as MissingFirmware, describe_missing};
pub use form::{FormError, KmodForm, Packing};
pub use machine::{Machine, MachineError};
pub use select::{Asked, SelectError, Selection, select};
pub use stage::{StageError, Staged, stage};

/// Text lists of a kernel package are a few hundred KiB.
const MAX_LIST: u64 = 16 << 20;

#[derive(Debug)]
pub struct Kernel {
    /// `uname -r` of it: `6.1.0-40-amd64`.
    pub release: String,
    /// vmlinuz, as the boot loader takes it.
    pub image: Content,
    /// The `.config` it was built with, if it comes along.
    pub config: Option<Content>,
    /// lib/modules/RELEASE: `kernel/…`, `modules.builtin` …
    pub modules: Tree,
    /// lib/firmware.
    pub firmware: Tree,
    pub from: Provenance,
}

#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    #[error("no kernel in {from}: it should have boot/vmlinuz-RELEASE, or vmlinuz in lib/modules/RELEASE")]
    None { from: Provenance },
    #[error("several kernels in {from}: {}; take a source that has one", .releases.join(", "))]
    Several { releases: Vec<String>, from: Provenance },
    #[error("no kmods for kernel {release} in {from}: lib/modules/{release} is not there")]
    NoModules { release: String, from: Provenance },
    #[error("{path} calls itself {found}, and its kmods are for {release}")]
    Release { path: TreePath, found: String, release: String },
    #[error("kernel {path} cannot be read")]
    Image { path: TreePath, source: io::Error },
    #[error("kernel in {from}")]
    Tree { from: Provenance, source: Conflict },
}

impl Kernel {
    /// Finds the one kernel of a root: an unpacked package, or a distribution's.
    pub fn from_tree(root: &Tree, from: &Provenance) -> Result<Self, KernelError> {
        let images = images(root);
        let releases: BTreeSet<&str> = images.iter().map(|(release, _)| release.as_str()).collect();
        if releases.len() > 1 {
            let releases = releases.into_iter().map(String::from).collect();
            return Err(KernelError::Several { releases, from: from.clone() });
        }
        let Some((release, path)) = images.first() else { return Err(KernelError::None { from: from.clone() }) };
        let image = file(root, path).expect("it was listed as a file");
        check_release(&image, path, release)?;
        let dir = MODULE_DIRS.iter().map(|dir| at(dir, release)).find(|dir| root.get(dir).is_some_and(|d| d.is_dir()));
        let Some(dir) = dir else {
            return Err(KernelError::NoModules { release: release.clone(), from: from.clone() });
        };
        let config = [at("boot", &format!("config-{release}")), at(&dir.to_string(), "config")];
        let cut =
            |dir: &TreePath| subtree(root, dir).map_err(|source| KernelError::Tree { from: from.clone(), source });
        let mut firmware = Tree::new();
        for dir in FIRMWARE_DIRS.iter().map(|dir| at(dir, "")) {
            if root.get(&dir).is_some_and(|item| item.is_dir()) {
                firmware = cut(&dir)?;
                break;
            }
        }
        Ok(Self {
            release: release.clone(),
            image,
            config: config.iter().find_map(|path| file(root, path)),
            modules: cut(&dir)?,
            firmware,
            from: from.clone(),
        })
    }

    /// More firmware, out of a root, a package or a folder of nothing else. What is
    /// there already stays.
    pub fn add_firmware(&mut self, from: &Tree) -> Result<(), Conflict> {
        let mut dirs = FIRMWARE_DIRS.iter().map(|dir| at(dir, ""));
        let dir = dirs.find(|dir| from.get(dir).is_some_and(|item| item.is_dir())).unwrap_or_default();
        for Item { path, meta, node, provenance } in from.walk_below(&dir) {
            let path = path.strip_dir(&dir).expect("it is below");
            if let (Node::Leaf { kind, .. }, false) = (node, firmware::is_there(&self.firmware, &path)) {
                let leaf = Leaf { meta: meta.clone(), kind: kind.clone() };
                self.firmware.insert_leaf(path, leaf, provenance.clone())?;
            }
        }
        Ok(())
    }
}

const MODULE_DIRS: [&str; 2] = ["lib/modules", "usr/lib/modules"];
const FIRMWARE_DIRS: [&str; 2] = ["lib/firmware", "usr/lib/firmware"];

/// Release and path of every kernel image that stands where they stand. A
/// release is what uname(2) tells, so a name that is no text is none.
fn images(root: &Tree) -> Vec<(String, TreePath)> {
    let mut images = Vec::new();
    for item in root.children(&at("boot", "")).filter(|item| item.content().is_some()) {
        let Ok(name) = std::str::from_utf8(item.path.name()) else { continue };
        // vmlinux-RELEASE is what ppc64 and s390x install.
        let release = name.strip_prefix("vmlinuz-").or_else(|| name.strip_prefix("vmlinux-"));
        images.extend(release.map(|release| (release.to_string(), item.path.clone())));
    }
    for dir in MODULE_DIRS {
        for item in root.children(&at(dir, "")) {
            let Ok(release) = std::str::from_utf8(item.path.name()) else { continue };
            let path = at(dir, &format!("{release}/vmlinuz"));
            if file(root, &path).is_some() {
                images.push((release.to_string(), path));
            }
        }
    }
    images
}

fn check_release(image: &Content, path: &TreePath, release: &str) -> Result<(), KernelError> {
    let found = image::release(image).map_err(|source| KernelError::Image { path: path.clone(), source })?;
    match found {
        Some(found) if found != release => {
            Err(KernelError::Release { path: path.clone(), found, release: release.to_string() })
        }
        _ => Ok(()),
    }
}

fn at(dir: &str, rest: &str) -> TreePath {
    TreePath::new(format!("{dir}/{rest}")).expect("names of a tree make a path")
}

fn file(root: &Tree, path: &TreePath) -> Option<Content> {
    root.get(path).and_then(|item| item.content().cloned())
}

/// Everything below `dir`, as a tree of its own.
fn subtree(root: &Tree, dir: &TreePath) -> Result<Tree, Conflict> {
    let mut out = Tree::new();
    for Item { path, meta, node, provenance } in root.walk_below(dir).skip(1) {
        let path = path.strip_dir(dir).expect("it is below");
        let meta = meta.clone();
        match node {
            Node::Dir => out.insert_dir(path, meta, provenance.clone())?,
            Node::Leaf { kind, .. } => {
                out.insert_leaf(path, Leaf { meta, kind: kind.clone() }, provenance.clone())?;
            }
        }
    }
    Ok(out)
}

/// A text list of the package; one that is not there is empty.
fn read_text(tree: &Tree, path: &str) -> io::Result<String> {
    match tree.get(&at(path, "")).map(|item| item.node) {
        Some(Node::Leaf { kind: Kind::File(content), .. }) => {
            Ok(String::from_utf8_lossy(&content.read_all(MAX_LIST)?).into_owned())
        }
        _ => Ok(String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fake::{RELEASE, package, path};

    fn from(root: &Tree) -> Result<Kernel, KernelError> {
        Kernel::from_tree(root, &Provenance::new("deb"))
    }

    #[test]
    fn a_kernel_is_found_with_what_belongs_to_it() {
        let files = [("boot/config-RELEASE", "CONFIG_X=y"), ("lib/firmware/a/b.bin", "blob")];
        let kernel = from(&package(&[("fs/ext4/ext4.ko", &[])], &files)).unwrap();
        assert_eq!(kernel.release, RELEASE);
        assert_eq!(kernel.config.unwrap().read_all(99).unwrap(), b"CONFIG_X=y");
        assert!(kernel.modules.contains(&path("kernel/fs/ext4/ext4.ko")));
        assert!(kernel.firmware.contains(&path("a/b.bin")));
    }

    #[test]
    fn more_firmware_comes_from_a_root_or_a_folder_and_takes_nothing_away() {
        let theirs = [("lib/firmware/a/b.bin", "theirs"), ("lib/firmware/z.bin.zst", "packed")];
        let mut kernel = from(&package(&[], &theirs)).unwrap();
        kernel.firmware.insert_symlink(path("link"), "a", Provenance::new("theirs")).unwrap();
        let of = |files: &[(&str, &'static str)]| {
            let mut tree = Tree::new();
            for (at, text) in files {
                tree.insert_file(path(at), 0o644, text.as_bytes().into(), Provenance::new("more")).unwrap();
            }
            tree
        };
        kernel.add_firmware(&of(&[("etc/x", "x"), ("usr/lib/firmware/a/c.bin", "root's")])).unwrap();
        kernel.add_firmware(&of(&[("a/b.bin", "mine"), ("a/c.bin", "mine"), ("d.bin", "mine")])).unwrap();
        let text = |at: &str| kernel.firmware.get(&path(at)).and_then(|item| item.content()?.read_all(99).ok());
        for (at, expected) in [("a/b.bin", "theirs"), ("a/c.bin", "root's"), ("d.bin", "mine")] {
            assert_eq!(text(at).as_deref(), Some(expected.as_bytes()), "{at}");
        }
        assert!(!kernel.firmware.contains(&path("etc/x")));
        // The kernel would take the plain one first.
        kernel.add_firmware(&of(&[("z.bin", "mine"), ("z.bin.xz", "mine"), ("link/y.bin", "mine")])).unwrap();
        let names: Vec<String> = kernel.firmware.walk().map(|item| item.path.to_string()).collect();
        assert_eq!(names, ["/", "/a", "/a/b.bin", "/a/c.bin", "/d.bin", "/link", "/z.bin.zst"]);
    }

    #[test]
    fn the_layout_of_a_merged_usr_without_boot_is_found_too() {
        let mut root = Tree::new();
        let mut insert = |at: &str| {
            root.insert_file(path(at), 0o644, b"x"[..].into(), Provenance::new("test")).unwrap();
        };
        insert("usr/lib/modules/6.9-arch/vmlinuz");
        insert("usr/lib/modules/6.9-arch/kernel/a.ko.zst");
        root.insert_symlink(path("lib"), "usr/lib", Provenance::new("test")).unwrap();
        let kernel = from(&root).unwrap();
        assert_eq!(kernel.release, "6.9-arch");
        assert!(kernel.modules.contains(&path("kernel/a.ko.zst")));
    }

    #[test]
    fn what_is_not_one_kernel_is_an_error_that_names_it() {
        assert!(matches!(from(&Tree::new()), Err(KernelError::None { .. })));

        let two = package(&[], &[("boot/vmlinuz-5.10", "x"), ("lib/modules/5.10/modules.order", "")]);
        let error = from(&two).unwrap_err().to_string();
        assert!(error.contains("5.10, 6.1.0-test"), "{error}");

        let mut bare = package(&[], &[]);
        bare.remove(&path("lib"));
        assert!(matches!(from(&bare), Err(KernelError::NoModules { .. })));
    }

    #[test]
    fn an_image_of_another_release_is_refused() {
        let mut image = vec![0; 0x400];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x20e..0x210].copy_from_slice(&0x100_u16.to_le_bytes());
        image[0x300..0x307].copy_from_slice(b"5.10.0 ");
        let mut root = package(&[], &[]);
        let at = path(&format!("boot/vmlinuz-{RELEASE}"));
        root.remove(&at);
        root.insert_file(at, 0o644, image.into(), Provenance::new("test")).unwrap();
        let error = from(&root).unwrap_err().to_string();
        assert!(error.contains("calls itself 5.10.0"), "{error}");
    }
}
