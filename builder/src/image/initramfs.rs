//! The initramfs: what was staged, with the facts of this one image.

use std::path::Path;

use anyhow::Result;
use init::contract::{BootId, initramfs as at};
use init::facts::ImageFacts;
use tree::{Content, Provenance, TreePath};

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
    let content = spanned(file, "the initramfs")?;
    budget::check(&tree, content.len(), plan.initramfs.max_size)?;
    step.done(&format!(
        "{} from {} in {} entries",
        progress::bytes(content.len()),
        progress::bytes(tree.content_len()),
        tree.len()
    ));
    Ok(content)
}
