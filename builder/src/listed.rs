//! An initramfs from a folder or a gen_init_cpio list: what a script would
//! call `cpio` or the kernel's `usr/gen_init_cpio` for.

use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use tree::{Provenance, Tree, TreePath};

use crate::compress::{Codec, Decoder};
use crate::newc;
use crate::provenance::{self, Record};
use crate::publish::Draft;

/// Packs `source` into `target`; the length is the archive's.
///
/// Every date becomes `epoch`: when a file was checked out is not its content.
pub fn build(source: &Path, codec: Codec, epoch: i64, target: &Path) -> Result<u64> {
    let mut tree = load(source).with_context(|| source.display().to_string())?;
    tree.for_each_meta(|meta| meta.mtime = epoch);
    let mut draft = Draft::create(target)?;
    let mut record = Draft::create(&provenance::beside(target))?;
    let mut said = Record::default();
    said.add_tree(TreePath::root(), &tree);
    record.file().write_all(&said.encode()?)?;
    let mut encoder = codec.encoder(Decoder::Kernel, BufWriter::new(draft.file()))?;
    newc::write(&tree, &mut encoder)?;
    encoder.finish()?.flush()?;
    let len = draft.file().metadata()?.len();
    // First: the record of an older archive would lie about this one.
    record.publish()?;
    draft.publish()?;
    Ok(len)
}

/// A folder keeps its owners: who may not read them cannot pack them either.
fn load(source: &Path) -> Result<Tree> {
    // No folder's name: the record beside the archive must not depend on where it was made.
    let from = Provenance::new(source.file_name().unwrap_or_default().to_string_lossy());
    if source.is_dir() {
        return Ok(tree::host::load(source, tree::host::Owners::AsIs, &from)?);
    }
    Ok(tree::spec::load(source, &from)?)
}
