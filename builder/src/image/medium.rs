//! The medium: parts, kernel, initramfs and boot loader in their places, and
//! the ISO made of them.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use init::contract::{BootId, medium};
use init::manifest::{Manifest, Part};
use sha2::{Digest, Sha256};
use tree::{Content, Provenance, Tree, TreePath};

use super::payload::EncodedPart;
use crate::bootloader::{self, Booted, Loaders, Shared, UefiBoot};
use crate::digest;
use crate::plan::{BootPlan, Plan};
use crate::profile::DiskLayout;
use crate::progress::{self, Progress};
use crate::source::Sources;
use crate::space;
use crate::stage::Staged;

/// Ventoy looks for the second half in the descriptor's publisher, preparer and
/// application, and leaves the boot loaders of an image that has it alone.
const APPLICATION: &str = "LIVEROOT VENTOY COMPATIBLE";

/// Names the build: a digest over everything that decides what the medium holds.
pub fn boot_id(plan: &Plan, sources: &Sources, staged: &Staged, parts: &[EncodedPart]) -> Result<BootId> {
    let mut sum = Sha256::new();
    sum.update(format!("liveroot boot-id 1\n{}\n{}\n{}\n", plan.name, plan.label.as_str(), plan.mode));
    for EncodedPart { part, .. } in parts {
        // Root hash and tree follow from the content, and whether there is one from the entries.
        let Part { path, size, unpacked, required, privileged, sha256, extra, verity: _ } = part;
        sum.update(format!("{path} {size} {unpacked} {required} {privileged} {extra} "));
        sum.update(sha256);
    }
    sum.update(digest::content(&sources.kernel.image).context("the kernel")?);
    sum.update(digest::tree(&staged.initramfs).context("the initramfs")?);
    sum.update(digest::tree(&staged.early).context("the initramfs's early part")?);
    // Files count by what is in them, below, and not by where they were.
    let boot = BootPlan { files: None, memtest: None, shell: None, ..plan.boot.clone() };
    let (epoch, version) = (plan.epoch, env!("CARGO_PKG_VERSION"));
    sum.update(format!("{}\n{boot:?}\n{}\n{epoch}\n{version}\n", plan.initramfs.compress, plan.media_sum));
    for (name, content) in sources.loaders.iter() {
        sum.update(name);
        sum.update(digest::content(content).context("the boot loader")?);
    }
    let digest: [u8; 32] = sum.finalize().into();
    Ok(BootId::new(digest[..16].try_into().expect("16 of 32")))
}

/// Puts everything where /init, the boot loaders and people look for it.
pub fn medium_tree(
    plan: &Plan,
    sources: &Sources,
    parts: Vec<EncodedPart>,
    boot_id: BootId,
    initramfs: Content,
) -> Result<(Tree, Loaders)> {
    let mut tree = Tree::new();
    let live = |name: &str| TreePath::new(format!("{}/{name}", medium::DIR));
    let manifest = Manifest {
        boot_id,
        name: plan.name.clone(),
        mode: plan.mode,
        parts: parts.iter().map(|part| part.part.clone()).collect(),
    };
    let ours = Provenance::new("every medium has it");
    tree.insert_file(live(medium::MANIFEST)?, 0o644, Content::from(manifest.print()), ours.clone())?;
    tree.insert_file(live(&boot_id.to_string())?, 0o644, Content::from(format!("{boot_id}\n")), ours)?;
    for EncodedPart { part, content, hashes } in parts {
        let from = Provenance::new(format!("part {} of the plan", part.path));
        tree.insert_file(live(&part.path)?, 0o644, content, from.clone())?;
        if let (Some(verity), Some(hashes)) = (part.verity, hashes) {
            tree.insert_file(live(&verity.hashes)?, 0o644, hashes, from.because("image.verity"))?;
        }
    }
    tree.insert_file(TreePath::new(medium::KERNEL)?, 0o644, sources.kernel.image.clone(), sources.kernel.from.clone())?;
    let booted = Booted {
        name: &plan.name,
        arch: plan.arch,
        plan: &plan.boot,
        boot_id,
        kernel: &sources.kernel.image,
        release: &sources.kernel.release,
        initramfs: &initramfs,
        files: &sources.loaders,
    };
    let mut loaders = bootloader::stage(&booted)?;
    tree.lay_over(std::mem::take(&mut loaders.files))?;
    if let Some(bios) = &mut loaders.bios {
        tree.lay_over(std::mem::take(&mut bios.files))?;
    }
    if let Some(uefi) = &mut loaders.uefi {
        tree.lay_over(std::mem::take(&mut uefi.files))?;
    }
    tree.insert_file(TreePath::new(medium::INITRAMFS)?, 0o644, initramfs, Provenance::new("the initramfs"))?;
    tree.for_each_meta(|meta| meta.mtime = plan.epoch);
    Ok((tree, loaders))
}

/// Lays the ISO out and writes it to `out`, a file in `dir`.
pub fn write_iso(
    plan: &Plan,
    tree: &Tree,
    loaders: Loaders,
    boot_id: BootId,
    (out, dir): (&mut dyn Write, &Path),
    progress: &Progress,
) -> Result<u64> {
    let boots = loaders.bios.is_some() || loaders.uefi.is_some();
    let (bios, start) = loaders.bios.map(|bios| (bios.image, bios.start)).unzip();
    let efi = loaders.uefi.map(|uefi| esp(plan, uefi)).transpose()?;
    let system_area = match (plan.boot.layout, start) {
        _ if !boots => iso::SystemArea::None,
        (DiskLayout::Isohybrid, Some(start)) => iso::SystemArea::Isohybrid { start },
        (DiskLayout::Mbr, start) => iso::SystemArea::Mbr { start },
        (DiskLayout::Isohybrid | DiskLayout::Gpt | DiskLayout::UefiOnly, start) => iso::SystemArea::Gpt { start },
    };
    let image = iso::Image {
        volume_set: boot_id.volume_set(),
        application: APPLICATION.into(),
        joliet: true,
        media_sum: plan.media_sum,
        boot: boots.then_some(iso::Boot { bios, efi }),
        system_area,
        ..iso::Image::new(tree, plan.label.clone(), plan.epoch)
    };
    // The label's was told with the plan.
    for advice in iso::advice(&image).iter().filter(|advice| !plan.advice.contains(advice)) {
        progress.note(&format!("note: {advice}"));
    }
    let layout = iso::layout(&image)?;
    space::check(dir, layout.len(), "the ISO")?;
    let step = progress.step("iso", Some(layout.len()));
    layout.write(out, &mut |bytes| step.at(bytes))?;
    step.done(&progress::bytes(layout.len()));
    Ok(layout.len())
}

fn esp(plan: &Plan, uefi: UefiBoot) -> Result<iso::EfiImage> {
    let mut tree = uefi.esp;
    tree.for_each_meta(|meta| meta.mtime = plan.epoch);
    let layout = iso::fat::layout(&iso::fat::FatImage::new(&tree, plan.epoch)).context("the ESP")?;
    let shared = uefi.shared.into_iter().map(|Shared { iso, esp }| (iso, esp)).collect();
    Ok(iso::EfiImage::Fat { layout, shared })
}
