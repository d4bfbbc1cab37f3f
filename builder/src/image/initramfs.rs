//! The initramfs: what was staged, with the facts of this one image.

use std::path::Path;

use anyhow::Result;
use init::contract::{BootId, initramfs as at};
use init::facts::ImageFacts;
use tree::{Content, Provenance, Tree, TreePath};

use super::budget;
use super::scratch::{encode, spanned};
use crate::compress::Decoder;
use crate::plan::Plan;
use crate::progress::{self, Progress};
use crate::provenance::role::words;
use crate::stage::Staged;
use crate::{contents, newc};

pub(super) fn facts_provenance() -> Provenance {
    Provenance::new(words::FACTS).because(words::EVERY_INITRAMFS)
}

/// A whole number of cpio's blocks long, so that what follows begins where the kernel looks.
fn early(tree: &Tree) -> Result<Option<Content>> {
    if tree.content_len() == 0 {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    newc::write_early(tree, &mut bytes)?;
    Ok(Some(bytes.into()))
}

/// Adds the facts and encodes the initramfs.
pub fn encode_initramfs(
    plan: &Plan,
    staged: &Staged,
    boot_id: Option<BootId>,
    scratch: &Path,
    progress: &Progress,
) -> Result<Content> {
    let step = progress.step(format!("initramfs {}", plan.initramfs.compress), None);
    let mut tree = staged.initramfs.clone();
    let facts = ImageFacts {
        name: plan.name.clone(),
        boot_id,
        label: plan.label.as_str().into(),
        mode: plan.mode,
        params: String::new(),
    };
    let path = TreePath::new(at::FACTS).expect("a plain path");
    tree.insert_file(path, 0o644, Content::from(facts.print()), facts_provenance())?;
    tree.for_each_meta(|meta| meta.mtime = plan.epoch);
    contents::add(&mut tree, plan.epoch)?;
    let file = encode(scratch, plan.initramfs.compress, Decoder::Kernel, |out| Ok(newc::write(&tree, out)?))?;
    let main = spanned(file, "the initramfs")?;
    let content = match early(&staged.early)? {
        Some(early) => Content::joined(vec![early, main]),
        None => main,
    };
    budget::check(&tree, content.len(), plan.initramfs.max_size)?;
    step.done(&format!(
        "{} from {} in {} entries",
        progress::bytes(content.len()),
        progress::bytes(tree.content_len()),
        tree.len()
    ));
    Ok(content)
}
