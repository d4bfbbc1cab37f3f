//! Small kernels for tests.

use tree::{Content, Provenance, Tree, TreePath};

use super::Kernel;
use crate::elf::fake;

pub(super) const RELEASE: &str = "6.1.0-test";

pub(super) fn path(written: &str) -> TreePath {
    TreePath::new(written).unwrap()
}

/// A package with one kernel: kmods by path below `kernel/` and modinfo, in
/// the order of modules.order, and whatever else it should have.
pub(super) fn package(kmods: &[(&str, &[&str])], files: &[(&str, &str)]) -> Tree {
    let mut root = Tree::new();
    let mut insert = |at: String, content: Content| {
        root.insert_file(path(&at), 0o644, content, Provenance::new("package")).unwrap();
    };
    let modules = format!("lib/modules/{RELEASE}");
    let mut order = String::new();
    for (at, modinfo) in kmods {
        insert(format!("{modules}/kernel/{at}"), fake::kmod(modinfo).into());
        order.extend(["kernel/", at, "\n"]);
    }
    insert(format!("{modules}/modules.order"), order.into());
    insert(format!("boot/vmlinuz-{RELEASE}"), b"kernel"[..].into());
    for (at, text) in files {
        insert(at.replace("RELEASE", RELEASE), text.to_string().into());
    }
    root
}

pub(super) fn kernel(kmods: &[(&str, &[&str])], files: &[(&str, &str)]) -> Kernel {
    Kernel::from_tree(&package(kmods, files), &Provenance::new("test")).unwrap()
}
