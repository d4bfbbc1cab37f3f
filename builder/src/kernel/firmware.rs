//! Firmware that kmods name in their modinfo.

use std::collections::{BTreeMap, BTreeSet};

use tree::{Kind, Leaf, Node, Provenance, Tree, TreePath};

use super::Kernel;
use super::catalog::Catalog;
use super::select::Selection;
use super::stage::{StageError, origin};
use crate::provenance::role::words;

/// Symlinks in linux-firmware go one or two deep.
const MAX_LINKS: usize = 16;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    pub kmod: String,
    /// As the kmod names it: a path below lib/firmware, or a glob.
    pub path: String,
}

/// A line for each kmod. Most of it is for hardware that few machines have, so
/// after a few of them a line for the rest.
pub fn describe_missing(missing: &[Missing]) -> Vec<String> {
    const SHOWN: usize = 8;
    let mut kmods: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for Missing { kmod, path } in missing {
        kmods.entry(kmod).or_default().push(path);
    }
    let more = kmods.len().saturating_sub(SHOWN);
    let files: usize = kmods.values().skip(SHOWN).map(Vec::len).sum();
    let mut lines: Vec<String> = kmods
        .iter()
        .take(SHOWN)
        .map(|(kmod, paths)| {
            let others = match paths.len() - 1 {
                0 => String::new(),
                others => format!(" and {others} more files"),
            };
            format!("kmod {kmod} names firmware that the kernel's source does not have: {}{others}", paths[0])
        })
        .collect();
    if more > 0 {
        lines.push(format!("{more} more kmods name {files} firmware files that the kernel's source does not have"));
    }
    lines
}

/// Puts what the selection names below lib/firmware of `out`, as it is shipped
/// (the kernel it was shipped with reads its compression), symlinks with what
/// they lead to. Returns what is not there.
pub(super) fn stage(
    kernel: &Kernel,
    catalog: &Catalog,
    selection: &Selection,
    out: &mut Tree,
) -> Result<Vec<Missing>, StageError> {
    let firmware = &kernel.firmware;
    let mut missing = Vec::new();
    let names: Vec<(TreePath, String)> = firmware
        .walk()
        .filter(|item| !item.is_dir())
        .map(|item| (item.path.clone(), String::from_utf8_lossy(item.path.as_bytes()).into_owned()))
        .collect();
    for (id, reason) in selection.iter() {
        let kmod = catalog.get(id);
        for named in &kmod.info.firmware {
            let found: Vec<&TreePath> =
                names.iter().filter(|(_, name)| provides(name, named)).map(|(path, _)| path).collect();
            if found.is_empty() {
                missing.push(Missing { kmod: kmod.name.clone(), path: named.clone() });
            }
            let from = reason.nearer(format!("{} {}", words::FIRMWARE, kmod.name));
            for path in found {
                copy(firmware, path, out, &from)?;
            }
        }
    }
    Ok(missing)
}

/// The kernel tries a firmware's plain name first, then with these suffixes
/// (kernel: drivers/base/firmware_loader/main.c).
const PACKED: [&str; 2] = [".zst", ".xz"];

/// By this name, packed or not, or as what a symlink in its way leads to.
pub(super) fn is_there(firmware: &Tree, path: &TreePath) -> bool {
    let name = path.as_bytes();
    let plain = PACKED.iter().find_map(|end| name.strip_suffix(end.as_bytes())).unwrap_or(name);
    let is_named =
        |end: &str| TreePath::new([plain, end.as_bytes()].concat()).is_ok_and(|path| firmware.contains(&path));
    let is_leaf = |dir: &TreePath| firmware.get(dir).is_some_and(|item| !item.is_dir());
    is_named("")
        || PACKED.into_iter().any(is_named)
        || std::iter::successors(path.parent(), TreePath::parent).any(|dir| is_leaf(&dir))
}

fn provides(file: &str, named: &str) -> bool {
    let plain = PACKED.iter().find_map(|end| file.strip_suffix(end));
    [Some(file), plain].into_iter().flatten().any(|name| name == named || init::glob::matches(named, name))
}

fn copy(firmware: &Tree, path: &TreePath, out: &mut Tree, from: &Provenance) -> Result<(), StageError> {
    let mut path = path.clone();
    let mut seen = BTreeSet::new();
    while seen.len() < MAX_LINKS && seen.insert(path.clone()) {
        let at = TreePath::new("lib/firmware")?.join(path.as_bytes())?;
        let Some(item) = firmware.get(&path) else { break };
        let Node::Leaf { kind, .. } = item.node else { break };
        if !out.contains(&at) {
            let leaf = Leaf { meta: item.meta.clone(), kind: kind.clone() };
            out.insert_leaf(at, leaf, from.nearer(origin(item.provenance)))?;
        }
        let Kind::Symlink(target) = kind else { break };
        let Some(next) = resolve(&path, target) else { break };
        path = next;
    }
    Ok(())
}

/// Where a symlink of lib/firmware leads within it.
fn resolve(link: &TreePath, target: &[u8]) -> Option<TreePath> {
    let absolute = [&b"/lib/firmware/"[..], b"/usr/lib/firmware/"].iter().find_map(|dir| target.strip_prefix(*dir));
    if let Some(target) = absolute {
        return TreePath::new(target).ok();
    }
    let mut parts: Vec<&[u8]> = link.components().collect();
    parts.pop();
    for part in target.split(|&b| b == b'/') {
        match part {
            b".." => drop(parts.pop()?),
            b"" | b"." => {}
            name => parts.push(name),
        }
    }
    TreePath::new(parts.join(&b'/')).ok()
}
