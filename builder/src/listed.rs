//! An initramfs from a folder or a gen_init_cpio list: what a script would
//! call `cpio` or the kernel's `usr/gen_init_cpio` for.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result};
use tree::{Provenance, Tree, TreePath};

use crate::compress::{self, Codec, Decoder};
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
    let mut encoder =
        codec.encoder(Decoder::Kernel, compress::threads(), tree.content_len(), BufWriter::new(draft.file()))?;
    newc::write(&tree, &mut encoder)?;
    encoder.finish()?.flush()?;
    let len = draft.file().metadata()?.len();
    // First: the record of an older archive would lie about this one.
    record.publish()?;
    draft.publish()?;
    Ok(len)
}

/// Writes a finished archive as a list, with the contents of its files in a
/// folder beside it, whose dates are the archive's.
pub fn write_list(archive: &Path, list: &Path) -> Result<()> {
    let list = std::path::absolute(list)?;
    let folder = list.with_added_extension("files");
    let tree = tree::cpio::load(archive, &Provenance::new("the archive"))?;
    let at = |path: &TreePath| folder.join(OsStr::from_bytes(path.as_bytes()));
    let text = tree::spec::print(&tree, at)?;
    for item in tree.walk() {
        let (Some(content), path) = (item.content(), at(item.path)) else { continue };
        let write = || -> io::Result<()> {
            fs::create_dir_all(path.parent().unwrap_or(&folder))?;
            let mut file = File::create(&path)?;
            io::copy(&mut content.open()?, &mut file)?;
            file.set_modified(UNIX_EPOCH + Duration::from_secs(item.meta.mtime.max(0) as u64))
        };
        write().with_context(|| path.display().to_string())?;
    }
    let mut draft = Draft::create(&list)?;
    draft.file().write_all(&text)?;
    Ok(draft.publish()?)
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
