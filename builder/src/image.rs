//! From staged trees to the finished image: parts are encoded, named by a
//! boot-id, put on the medium's tree, and written as an ISO.

use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use init::contract::{BootId, initramfs as at, medium};
use init::facts::ImageFacts;
use init::manifest::{Manifest, Part};
use sha2::{Digest, Sha256};
use tree::{Content, Kind, Node, Provenance, Tree, TreePath};

use crate::bootloader::isolinux;
use crate::compress::{CodecKind, Decoder};
use crate::plan::{PackagePlan, Payload, Plan};
use crate::profile::{BiosLoader, Problem, Problems};
use crate::progress::{self, Progress};
use crate::source::Sources;
use crate::stage::{Staged, StagedPackage, StagedPayload};
use crate::{digest, newc, package, squashfs};

/// A part of the medium, encoded, in a file that has no name.
#[derive(Debug)]
pub struct EncodedPart {
    pub part: Part,
    pub content: Content,
}

/// Encodes the root or the packages. `scratch` is a folder with room for them.
pub fn encode_payload(
    plan: &Plan,
    staged: &StagedPayload,
    scratch: &Path,
    progress: &Progress,
) -> Result<Vec<EncodedPart>> {
    match (&plan.payload, staged) {
        (Payload::Root(root), StagedPayload::Root(tree)) => {
            for loss in squashfs::losses(tree) {
                progress.note(&format!("note: {loss}"));
            }
            let step = progress.step(format!("squashfs {}", root.compress), None);
            let mut file = scratch_file(scratch)?;
            let len = squashfs::write(tree, root.compress, plan.epoch, &mut file)?;
            // backhand may have written past the end and gone back.
            file.set_len(len)?;
            let part = encoded(medium::ROOTFS_IMAGE.into(), file, tree.content_len(), true, true)?;
            step.done(&format!("{} from {} entries", progress::bytes(len), tree.len()));
            Ok(vec![part])
        }
        (Payload::Packages(plans), StagedPayload::Packages(packages)) => {
            let mut parts = Vec::new();
            for (n, (plan, staged)) in plans.iter().zip(packages).enumerate() {
                let step = progress.step(format!("package {}", plan.name), None);
                let path = format!("{}/{:02}-{}{}", medium::PACKAGES, n + 1, plan.name, CodecKind::Xz.tar_ending());
                let part = match staged {
                    StagedPackage::Archive(content) => take_archive(path, content, plan)
                        .with_context(|| format!("{}: package {}", plan.place, plan.name))?,
                    StagedPackage::Tree(tree) => {
                        check_rights(tree, plan)?;
                        let codec = "xz:6".parse().expect("a codec");
                        let file = encode(scratch, codec, Decoder::Userland, |out| Ok(package::write(tree, out)?))?;
                        encoded(path, file, tree.content_len(), plan.required, plan.privileged)?
                    }
                };
                step.done(&progress::bytes(part.part.size));
                parts.push(part);
            }
            Ok(parts)
        }
        _ => unreachable!("staging follows the plan"),
    }
}

/// Names the build: a digest over everything that decides what the medium holds.
pub fn boot_id(plan: &Plan, sources: &Sources, staged: &Staged, parts: &[EncodedPart]) -> Result<BootId> {
    let mut sum = Sha256::new();
    sum.update(format!("liveroot boot-id 1\n{}\n{}\n{}\n", plan.name, plan.label.as_str(), plan.mode));
    for EncodedPart { part, .. } in parts {
        let Part { path, size, unpacked, required, privileged, sha256 } = part;
        sum.update(format!("{path} {size} {unpacked} {required} {privileged} "));
        sum.update(sha256);
    }
    sum.update(digest::content(&sources.kernel.image).context("the kernel")?);
    sum.update(digest::tree(&staged.initramfs).context("the initramfs")?);
    sum.update(format!("{}\n{:?}\n", plan.initramfs.compress, plan.boot));
    for (name, content) in sources.loader.iter() {
        sum.update(name);
        sum.update(digest::content(content).context("the boot loader")?);
    }
    let digest: [u8; 32] = sum.finalize().into();
    Ok(BootId::new(digest[..16].try_into().expect("16 of 32")))
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
    tree.insert_file(path, 0o644, Content::from(facts.print()), Provenance::new("facts of this image"))?;
    tree.for_each_meta(|meta| meta.mtime = plan.epoch);
    let file = encode(scratch, plan.initramfs.compress, Decoder::Kernel, |out| Ok(newc::write(&tree, out)?))?;
    let content = spanned(file, "the initramfs")?;
    step.done(&format!(
        "{} from {} in {} entries",
        progress::bytes(content.len()),
        progress::bytes(tree.content_len()),
        tree.len()
    ));
    Ok(content)
}

/// Puts everything where /init, the boot loaders and people look for it.
pub fn medium_tree(
    plan: &Plan,
    sources: &Sources,
    parts: Vec<EncodedPart>,
    boot_id: BootId,
    initramfs: Content,
) -> Result<(Tree, Option<isolinux::Isolinux>)> {
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
    for EncodedPart { part, content } in parts {
        let from = Provenance::new(format!("part {} of the plan", part.path));
        tree.insert_file(live(&part.path)?, 0o644, content, from)?;
    }
    tree.insert_file(TreePath::new(medium::KERNEL)?, 0o644, sources.kernel.image.clone(), sources.kernel.from.clone())?;
    tree.insert_file(TreePath::new(medium::INITRAMFS)?, 0o644, initramfs, Provenance::new("the initramfs"))?;
    let loader = match plan.boot.bios {
        BiosLoader::Isolinux => {
            let mut loader = isolinux::stage(&plan.boot, &sources.loader)?;
            tree.lay_over(std::mem::take(&mut loader.tree))?;
            Some(loader)
        }
        BiosLoader::None => None,
    };
    tree.for_each_meta(|meta| meta.mtime = plan.epoch);
    Ok((tree, loader))
}

/// Lays the ISO out and writes it.
pub fn write_iso(
    plan: &Plan,
    tree: &Tree,
    loader: Option<isolinux::Isolinux>,
    boot_id: BootId,
    out: &mut File,
    progress: &Progress,
) -> Result<u64> {
    let (boot, system_area) = match loader {
        Some(loader) => (
            Some(iso::Boot { bios: Some(iso::BiosImage::isolinux(loader.boot_image)), efi: None }),
            iso::SystemArea::Isohybrid { mbr_code: loader.mbr_code },
        ),
        None => (None, iso::SystemArea::None),
    };
    let image = iso::Image {
        volume_set: boot_id.volume_set(),
        application: "LIVEROOT".into(),
        boot,
        system_area,
        ..iso::Image::new(tree, plan.label.clone(), plan.epoch)
    };
    // The label's was told with the plan.
    for advice in iso::advice(&image).iter().filter(|advice| !plan.advice.contains(advice)) {
        progress.note(&format!("note: {advice}"));
    }
    let layout = iso::layout(&image)?;
    let step = progress.step("iso", Some(layout.len()));
    let mut buffered = BufWriter::with_capacity(1 << 20, out);
    layout.write(&mut buffered, &mut |bytes| step.at(bytes))?;
    buffered.flush()?;
    step.done(&progress::bytes(layout.len()));
    Ok(layout.len())
}

/// Takes a finished archive as it is, after reading it to the end: its digest
/// and unpacked size go into the manifest, and a broken one is refused here
/// and not at its first boot.
fn take_archive(path: String, content: &Content, plan: &PackagePlan) -> Result<EncodedPart> {
    let mut tee = digest::Tee::new(content.open()?);
    let tree = tree::tar::read(&path, &mut tee, tree::Limits::default(), &Provenance::new("a package"))?;
    io::copy(&mut tee, &mut io::sink())?;
    check_rights(&tree, plan)?;
    let (sha256, size) = tee.finish();
    let unpacked = members_len(content)?;
    let part = Part { path, size, unpacked, sha256, required: plan.required, privileged: plan.privileged };
    Ok(EncodedPart { part, content: content.clone() })
}

/// What /init will write: every member of the archive, also one that a later
/// member of the same name replaces.
fn members_len(content: &Content) -> Result<u64> {
    let mut archive = tar::Archive::new(xz2::read::XzDecoder::new_multi_decoder(content.open()?));
    let mut len: u64 = 0;
    for member in archive.entries()? {
        len = len.saturating_add(member?.size());
    }
    Ok(len)
}

/// /init refuses these at boot where the manifest does not allow them.
fn check_rights(tree: &Tree, plan: &PackagePlan) -> Result<()> {
    if plan.privileged {
        return Ok(());
    }
    for item in tree.walk() {
        let rights = match item.node {
            Node::Leaf { kind: Kind::CharDevice { .. } | Kind::BlockDevice { .. }, .. } => "is a device node",
            Node::Leaf { kind: Kind::File(_), .. } if item.meta.mode & 0o6000 != 0 => "is set-uid or set-gid",
            _ if item.meta.xattrs.keys().any(|name| !name.starts_with(b"user.")) => "has privileged xattrs",
            _ => continue,
        };
        let what = format!("package {}: {} {rights}", plan.name, item.path);
        let problem = Problem::new(&plan.place, what);
        let remedy = "`privileged = true` in its `[[package]]` allows that, if you trust what is in it";
        return Err(Problems(vec![problem.remedy(remedy)]).into());
    }
    Ok(())
}

fn encode(
    scratch: &Path,
    codec: crate::compress::Codec,
    decoder: Decoder,
    fill: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<File> {
    let mut encoder = codec.encoder(decoder, BufWriter::new(scratch_file(scratch)?))?;
    fill(&mut encoder)?;
    encoder
        .finish()?
        .into_inner()
        .map_err(std::io::IntoInnerError::into_error)
        .context("a scratch file cannot be written")
}

fn encoded(path: String, file: File, unpacked: u64, required: bool, privileged: bool) -> Result<EncodedPart> {
    let content = spanned(file, &path)?;
    let sha256 = digest::content(&content)?;
    let part = Part { path, size: content.len(), unpacked, sha256, required, privileged };
    Ok(EncodedPart { part, content })
}

fn spanned(mut file: File, name: &str) -> Result<Content> {
    file.rewind()?;
    let len = file.metadata()?.len();
    Ok(Content::span(Arc::new(file), name, 0, len))
}

fn scratch_file(dir: &Path) -> Result<File> {
    tempfile::tempfile_in(dir).with_context(|| format!("{}: a scratch file cannot be made there", dir.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    use crate::plan::{PackageSource, Parts};
    use crate::profile::Place;
    use tree::{Leaf, Meta};

    fn plan(privileged: bool) -> PackagePlan {
        let place = Place { file: Path::new("p.toml").into(), line: 6, column: 1 };
        let source = PackageSource::Parts(Parts::default());
        PackagePlan { place, name: "base".into(), source, required: true, privileged }
    }

    fn leaf(mode: u32, kind: Kind) -> Tree {
        let mut tree = Tree::new();
        let path = TreePath::new("x/y").unwrap();
        tree.insert_leaf(path, Leaf { meta: Meta::new(mode), kind }, Provenance::new("test")).unwrap();
        tree
    }

    #[test]
    fn what_init_would_refuse_is_refused_here() {
        let file = || Kind::File(Content::from(Vec::new()));
        let mut capable = leaf(0o755, file());
        let meta = capable.meta_mut(&TreePath::new("x/y").unwrap()).unwrap();
        meta.xattrs.insert(b"security.capability".to_vec(), vec![1]);
        for (tree, wrong) in [
            (leaf(0o755, file()), None),
            (leaf(0o4755, file()), Some("is set-uid or set-gid")),
            (leaf(0o600, Kind::CharDevice { major: 1, minor: 3 }), Some("is a device node")),
            (capable, Some("has privileged xattrs")),
        ] {
            let refused = check_rights(&tree, &plan(false)).map_err(|e| e.to_string());
            match wrong {
                None => assert_eq!(refused, Ok(())),
                Some(wrong) => {
                    let error = refused.unwrap_err();
                    assert!(error.contains("p.toml:6:1") && error.contains("/x/y") && error.contains(wrong), "{error}");
                }
            }
            assert!(check_rights(&tree, &plan(true)).is_ok());
        }
    }

    #[test]
    fn every_member_of_an_archive_counts_also_one_that_is_replaced() {
        let mut builder = tar::Builder::new(xz2::write::XzEncoder::new(Vec::new(), 1));
        for len in [300, 200] {
            let mut header = tar::Header::new_gnu();
            header.set_size(len);
            header.set_mode(0o644);
            builder.append_data(&mut header, "same", std::io::repeat(7).take(len)).unwrap();
        }
        let bytes = builder.into_inner().unwrap().finish().unwrap();
        let part = take_archive("packages/x.tar.xz".into(), &Content::from(bytes), &plan(false)).unwrap().part;
        assert_eq!(part.unpacked, 500);
    }
}
