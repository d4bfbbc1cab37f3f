//! The record of where every file of the image came from.

use std::io;

use init::contract::{initramfs, medium};
use tree::{Kind, Leaf, Meta, Provenance, Tree, TreePath};

use crate::plan::{Payload, Plan};
use crate::provenance::Record;
use crate::stage::{Staged, StagedPackage, StagedPayload};

/// Puts the record on the medium; `parts` are the paths of the parts as the
/// manifest has them, in the plan's order.
pub fn add_provenance(plan: &Plan, staged: &Staged, parts: &[String], tree: &mut Tree) -> anyhow::Result<()> {
    let mut record = Record::default();
    let live = |name: &str| TreePath::new(format!("{}/{name}", medium::DIR)).expect("a plain path");
    let from = Provenance::new("every medium has it");
    let path = live(medium::PROVENANCE);
    record.add(TreePath::root(), path.clone(), from.clone());
    record.add_tree(TreePath::root(), tree);
    add_initramfs(&mut record, TreePath::new(medium::INITRAMFS)?, staged);
    match (&plan.payload, &staged.payload) {
        (Payload::Root(root), StagedPayload::Root(layers)) => {
            let packed = |what: &str, cause: String| Provenance::new(format!("{what}, packed")).because(cause);
            let lowest = packed("the root", format!("profile {}: root.from", root.from.place.short()));
            let others = root.layers.iter().map(|layer| {
                packed(&format!("layer {}", layer.name.value), format!("profile {}", layer.name.place.short()))
            });
            for ((tree, part), from) in layers.iter().zip(parts).zip([lowest].into_iter().chain(others)) {
                record.add(TreePath::root(), live(part), from);
                record.add_tree(live(part), tree);
            }
        }
        (Payload::Packages(plans), StagedPayload::Packages(packages)) => {
            for ((plan, package), part) in plans.iter().zip(packages).zip(parts) {
                let from = Provenance::new(format!("package {}", plan.name))
                    .because(format!("profile {}", plan.place.short()));
                record.add(TreePath::root(), live(part), from.clone());
                match package {
                    StagedPackage::Tree(tree) => record.add_tree(live(part), tree),
                    StagedPackage::Archive(_) => {
                        record.add(live(part), TreePath::root(), from.nearer("its archive, as it was"));
                    }
                }
            }
        }
        _ => unreachable!("staging follows the plan"),
    }
    let meta = Meta { mtime: plan.epoch, ..Meta::new(0o644) };
    tree.insert_leaf(path, Leaf { meta, kind: Kind::File(record.encode()?.into()) }, from)?;
    Ok(())
}

/// The record of an initramfs that belongs to no medium.
pub fn initramfs_provenance(staged: &Staged) -> io::Result<Vec<u8>> {
    let mut record = Record::default();
    add_initramfs(&mut record, TreePath::root(), staged);
    record.encode()
}

fn add_initramfs(record: &mut Record, at: TreePath, staged: &Staged) {
    record.add_tree(at.clone(), &staged.early);
    record.add_tree(at.clone(), &staged.initramfs);
    // It is not staged: it names the boot-id, a digest over what is.
    let facts = TreePath::new(initramfs::FACTS).expect("a plain path");
    record.add(at, facts, super::initramfs::facts_provenance());
}
