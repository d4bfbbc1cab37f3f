//! The order in which modprobe would load each kmod with what it needs.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use builder::kernel::{Catalog, KmodId};
use tree::TreePath;

use crate::output;

/// For every kmod of a kernel that is unpacked below `root` and has depmod's
/// indexes there.
pub(crate) fn assert_order_of_modprobe(modprobe: &Path, root: &Path, catalog: &Catalog) {
    let dir = root.join("lib/modules").join(&catalog.release);
    let theirs = fs::read_to_string(dir.join("modules.dep")).unwrap();
    assert!(modules_dep(catalog) == theirs, "modules.dep differs");

    // The host's own configuration may have softdeps too.
    let config = root.join("modprobe.d");
    fs::create_dir(&config).unwrap();
    let mut modprobe = Command::new(modprobe);
    modprobe.arg("-C").arg(config).arg("-d").arg(root).args(["-S", &catalog.release]);
    modprobe.args(["--show-depends", "--all"]).args(catalog.kmods().map(|(_, kmod)| &kmod.name));
    let theirs = output(&mut modprobe);
    // It has lines for what is built in too.
    let mut theirs = theirs.lines().filter_map(|line| line.strip_prefix("insmod ")).map(str::trim);
    for (id, kmod) in catalog.kmods() {
        let mut ours = Probe { catalog, visited: BTreeSet::new(), order: Vec::new() };
        ours.visit(id);
        for needed in ours.order {
            let path = dir.join(relative(&catalog.get(needed).path));
            assert_eq!(theirs.next(), path.to_str(), "for {}", kmod.name);
        }
    }
    assert_eq!(theirs.next(), None);
}

fn modules_dep(catalog: &Catalog) -> String {
    let mut text = String::new();
    for (_, kmod) in catalog.kmods() {
        text += &relative(&kmod.path);
        text.push(':');
        for &dep in kmod.deps.iter().rev() {
            write!(text, " {}", relative(&catalog.get(dep).path)).unwrap();
        }
        text.push('\n');
    }
    text
}

pub(crate) fn relative(path: &TreePath) -> String {
    path.to_string().trim_start_matches('/').to_string()
}

/// How libkmod walks dependencies and softdeps (kmod: `kmod_module_get_probe_list`).
struct Probe<'a> {
    catalog: &'a Catalog,
    visited: BTreeSet<KmodId>,
    order: Vec<KmodId>,
}

impl Probe<'_> {
    fn visit(&mut self, id: KmodId) {
        if self.visited.insert(id) {
            for &dep in &self.catalog.get(id).deps {
                self.with_soft(dep);
            }
            self.with_soft(id);
        }
    }

    fn with_soft(&mut self, id: KmodId) {
        // modprobe reads one line of softdeps and no more.
        let softdep = self.catalog.get(id).info.softdeps.first().cloned().unwrap_or_default();
        self.visit_all(&softdep.pre);
        self.order.push(id);
        self.visit_all(&softdep.post);
    }

    fn visit_all(&mut self, names: &[String]) {
        for id in names.iter().flat_map(|name| self.catalog.lookup(name)) {
            self.visit(id);
        }
    }
}
