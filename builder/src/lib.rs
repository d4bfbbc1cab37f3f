//! Builds live Linux images: the library behind the `liveroot` command.
//!
//! profile → plan → sources → staged trees → encoded parts → medium tree → ISO

pub mod arch;
pub mod boot;
pub mod bootloader;
pub mod builtin;
mod companions;
pub mod compress;
pub mod contents;
pub mod deb;
pub mod digest;
mod dpkg;
pub mod elf;
pub mod exclusion;
pub mod image;
pub mod kernel;
pub mod layer;
pub mod listed;
pub mod look;
pub mod manual;
pub mod microcode;
pub mod newc;
pub mod opened;
pub mod overlay;
pub mod package;
pub mod packed;
pub mod plan;
pub mod profile;
pub mod progress;
pub mod provenance;
pub mod publish;
pub mod source;
pub mod space;
pub mod squashfs;
pub mod stage;
mod sys;
pub mod userland;
pub mod verity;
pub mod write;

use std::io::Write;
use std::path::Path;

use anyhow::Result;
use init::contract::BootId;

use plan::Plan;
use progress::Progress;
use publish::Draft;
use source::{Cache, Sources};
use squashfs::CacheAt;
use stage::Staged;

/// What a build made.
#[derive(Debug, Clone)]
pub struct Built {
    pub boot_id: BootId,
    pub len: u64,
    pub initramfs_len: u64,
}

/// How a build goes about what its plan says.
#[derive(Debug, Clone, Copy, Default)]
pub struct How {
    /// Pack every block of the root, and keep none for the next build.
    pub repack: bool,
    /// Read the packed root back, and compare it with what went in.
    pub verify: bool,
}

/// Builds the whole image and puts it under `target` once it is whole.
pub fn build(plan: &Plan, cache: &Cache, how: How, target: &Path, progress: &Progress) -> Result<Built> {
    plan.advice.iter().for_each(|advice| progress.note(&format!("note: {advice}")));
    let mut draft = Draft::create(target)?;
    let scratch = target.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));

    let sources = load(plan, cache, progress)?;
    let staged = stage(plan, &sources, progress)?;
    let blocks = CacheAt { dir: cache.blocks(), max: squashfs::cache::DEFAULT_MAX };
    let request = image::Request { cache: (!how.repack).then_some(&blocks), scratch, verify: how.verify };
    let parts = image::encode_payload(plan, &staged.payload, &request, progress)?;
    let plan = &image::bound_to(plan, &parts);
    let boot_id = image::boot_id(plan, &sources, &staged, &parts)?;
    let initramfs = image::encode_initramfs(plan, &staged, Some(boot_id), scratch, progress)?;
    let initramfs_len = initramfs.len();
    let part_paths: Vec<String> = parts.iter().map(|part| part.part.path.clone()).collect();
    let (mut medium, loaders) = image::medium_tree(plan, &sources, parts, boot_id, initramfs)?;
    image::add_provenance(plan, &staged, &part_paths, &mut medium)?;
    loaders.notes.iter().for_each(|note| progress.note(&format!("note: {note}")));
    let len = image::write_iso(plan, &medium, loaders, boot_id, (&mut draft.appender(), scratch), progress)?;

    draft.publish()?;
    Ok(Built { boot_id, len, initramfs_len })
}

/// Builds the initramfs alone. It belongs to no medium in particular: it looks
/// for one by its label, or by what the command line says. The record of where
/// its files came from stands beside it.
pub fn build_initramfs(plan: &Plan, cache: &Cache, target: &Path, progress: &Progress) -> Result<u64> {
    let mut draft = Draft::create(target)?;
    let mut record = Draft::create(&provenance::beside(target))?;
    let scratch = target.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // No boot loader goes in, so none is looked for.
    let plan = plan.without_loader();
    let sources = load(&plan, cache, progress)?;
    let staged = Staged::initramfs_alone(&plan, &sources)?;
    staged.notes.iter().for_each(|note| progress.note(&format!("note: {note}")));
    let content = image::encode_initramfs(&plan, &staged, None, scratch, progress)?;
    std::io::copy(&mut content.open()?, draft.file())?;
    draft.file().flush()?;
    record.file().write_all(&image::initramfs_provenance(&staged)?)?;
    // First: the record of an older archive would lie about this one.
    record.publish()?;
    draft.publish()?;
    Ok(content.len())
}

fn load(plan: &Plan, cache: &Cache, progress: &Progress) -> Result<Sources> {
    let step = progress.step("sources", None);
    let sources = Sources::load(plan, cache)?;
    let how = sources.kernel_package.as_ref().map_or(String::new(), |kept| format!(", {kept}"));
    step.done(&format!("kernel {}{how}", sources.kernel.release));
    Ok(sources)
}

fn stage(plan: &Plan, sources: &Sources, progress: &Progress) -> Result<Staged> {
    let step = progress.step("stage", None);
    let staged = Staged::stage(plan, sources)?;
    step.done(&format!("initramfs of {} entries", staged.initramfs.len()));
    staged.notes.iter().for_each(|note| progress.note(&format!("note: {note}")));
    Ok(staged)
}
