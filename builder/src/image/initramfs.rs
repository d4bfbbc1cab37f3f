//! The initramfs: what was staged, with the facts of this one image.

use std::path::Path;

use anyhow::Result;
use init::contract::{BootId, initramfs as at};
use init::facts::ImageFacts;
use tree::{Content, Provenance, Tree, TreePath};

use super::budget;
use super::scratch::{encode, spanned};
use crate::compress::{Codec, CodecKind, Decoder};
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

/// The archives that the kernel unpacks one after the other. It looks for the
/// next at multiples of four, beyond any NULs.
fn archives(tree: &Tree, codec: Codec, scratch: &Path) -> Result<Vec<Content>> {
    let as_it_is = Codec { kind: CodecKind::None, level: 0 };
    let mut archives: Vec<Content> = Vec::new();
    for segment in newc::segments(tree) {
        let codec = if segment.is_packed { as_it_is } else { codec };
        let file = encode(scratch, codec, Decoder::Kernel, segment.content_len(), |out| Ok(segment.write(out)?))?;
        let archive = spanned(file, "the initramfs")?;
        if !archives.is_empty() {
            let before: u64 = archives.iter().map(Content::len).sum();
            archives.push(vec![0; (before.next_multiple_of(4) - before) as usize].into());
        }
        archives.push(archive);
    }
    Ok(archives)
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
    let mut parts = Vec::from_iter(early(&staged.early)?);
    parts.extend(archives(&tree, plan.initramfs.compress, scratch)?);
    let content = Content::joined(parts);
    budget::check(&tree, content.len(), plan.initramfs.max_size)?;
    step.done(&format!(
        "{} from {} in {} entries",
        progress::bytes(content.len()),
        progress::bytes(tree.content_len()),
        tree.len()
    ));
    Ok(content)
}
