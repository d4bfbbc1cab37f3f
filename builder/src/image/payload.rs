//! The parts of a medium: the root or the packages, encoded.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use init::contract::medium;
use init::manifest::{Hex, Part, Verity};
use init::unpack;
use tree::{Content, Kind, Node, Provenance, Tree, TreePath};

use super::scratch::{encode, scratch_file, spanned};
use crate::compress::Decoder;
use crate::opened::squashfs as image;
use crate::plan::{PackagePlan, Payload, Plan};
use crate::profile::{Problem, Problems};
use crate::progress::{self, Progress};
use crate::squashfs::{self, CacheAt};
use crate::stage::{StagedPackage, StagedPayload};
use crate::verity::RootHash;
use crate::{digest, package, packed, space, verity};

/// A part of the medium, encoded, in a file that has no name.
#[derive(Debug)]
pub struct EncodedPart {
    pub part: Part,
    pub content: Content,
    /// The hash tree that its manifest line names.
    pub hashes: Option<Content>,
}

/// How the parts are to be encoded.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Packed blocks of the root are taken from here and kept here.
    pub cache: Option<&'a CacheAt>,
    /// A folder with room for them.
    pub scratch: &'a Path,
    /// Read the root back and compare it.
    pub verify: bool,
}

/// Encodes the root or the packages.
pub fn encode_payload(
    plan: &Plan,
    staged: &StagedPayload,
    request: &Request<'_>,
    progress: &Progress,
) -> Result<Vec<EncodedPart>> {
    match (&plan.payload, staged) {
        (Payload::Root(root), StagedPayload::Root(trees)) => {
            let first = root.order.as_ref().map(|order| packed::sort_list(&order.value)).transpose()?;
            let lowest = Layer {
                name: medium::ROOT_LAYER.into(),
                compress: root.compress,
                first: first.unwrap_or_default(),
                extra: false,
            };
            let over = root.layers.iter().map(|layer| {
                let (name, compress, extra) = (layer.name.value.clone(), layer.compress, layer.extra);
                Layer { name, compress, first: Vec::new(), extra }
            });
            let layers = [lowest].into_iter().chain(over).zip(trees);
            let squashed = layers.map(|(layer, tree)| {
                let options = squashfs::Options {
                    epoch: plan.epoch,
                    first: layer.first,
                    block_size: root.block,
                    tail_packing: root.tail_packing,
                    cache: request.cache.cloned(),
                    ..squashfs::Options::new(layer.compress)
                };
                let salt = root.verity.then(|| verity::salt(&format!("{} {} {}", plan.name, layer.name, plan.epoch)));
                let mut part = squash(&layer.name, tree, &options, salt, request, progress)?;
                part.part.extra = layer.extra;
                Ok(part)
            });
            squashed.collect()
        }
        (Payload::Packages(plans), StagedPayload::Packages(packages)) => {
            let mut parts = Vec::new();
            for (n, (plan, staged)) in plans.iter().zip(packages).enumerate() {
                let step = progress.step(format!("package {}", plan.name), None);
                let path = format!("{}/{:02}-{}{}", medium::PACKAGES, n + 1, plan.name, plan.ending);
                let part = match staged {
                    StagedPackage::Archive(content) => take_finished(path, content, plan)
                        .with_context(|| format!("{}: package {}", plan.place, plan.name))?,
                    StagedPackage::Tree(tree) => {
                        check_rights(tree, plan)?;
                        let codec = "xz:6".parse().expect("a codec");
                        let len = tree.content_len();
                        let write = |out: &mut dyn Write| Ok(package::write(tree, out)?);
                        let file = encode(request.scratch, codec, Decoder::Userland, len, write)?;
                        let mut made = encoded(path, file, len, plan.required, plan.privileged)?;
                        made.part.extra = plan.extra;
                        made
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

/// What a squashfs of the medium is made with.
struct Layer {
    name: String,
    compress: squashfs::Compression,
    first: Vec<TreePath>,
    extra: bool,
}

/// With a salt, a hash tree is made while the squashfs is written. Its SHA-256
/// has to wait: that begins with the head, which is written last.
fn squash(
    name: &str,
    tree: &Tree,
    options: &squashfs::Options,
    salt: Option<RootHash>,
    request: &Request<'_>,
    progress: &Progress,
) -> Result<EncodedPart> {
    for advice in squashfs::advise(tree) {
        progress.note(&format!("note: {advice}"));
    }
    let step =
        progress.step(format!("{name}{} {}", medium::LAYER_IMAGE, options.compression), Some(tree.content_len()));
    let mut file = scratch_file(request.scratch)?;
    let start = Instant::now();
    let mut watch = |passed: squashfs::Passed| step.packed(passed.read, passed.written);
    let (written, hashes) = match salt {
        None => (squashfs::write_watched(tree, options, &mut file, &mut watch), None),
        Some(salt) => {
            let mut passing = verity::Passing::new(&mut file, salt);
            (squashfs::write_watched(tree, options, &mut passing, &mut watch), Some(passing))
        }
    };
    let written = written.map_err(|error| space::told(error, request.scratch))?;
    let hashes = hashes.map(|passing| hash_tree(name, passing, request.scratch)).transpose()?;
    let mut part = encoded(format!("{name}{}", medium::LAYER_IMAGE), file, tree.content_len(), true, true)?;
    let summary = packed::summary(&written, start.elapsed());
    let root = hashes.as_ref().map_or(String::new(), |(verity, _)| format!(", root hash {}", Hex(&verity.root_hash)));
    step.done(&format!("{summary}{root}"));
    packed::note_cache(&written, progress);
    if request.verify {
        packed::verify(tree, &part.content, progress)?;
    }
    (part.part.verity, part.hashes) = hashes.unzip();
    Ok(part)
}

fn hash_tree(name: &str, passing: verity::Passing<&mut File>, scratch: &Path) -> Result<(Verity, Content)> {
    let path = format!("{name}{}", medium::LAYER_HASHES);
    let file = scratch_file(scratch)?;
    let root_hash = passing.finish(&file).with_context(|| path.clone())?;
    let hashes = spanned(file, &path)?;
    Ok((Verity { root_hash, hashes: path, hashes_size: hashes.len() }, hashes))
}

/// The plan, with what is only known of a verified image once it is encoded.
pub fn bound_to(plan: &Plan, parts: &[EncodedPart]) -> Plan {
    let verified = parts.iter().filter_map(|part| part.part.verity.as_ref());
    let root_hashes: Vec<RootHash> = verified.map(|verity| verity.root_hash).collect();
    if root_hashes.is_empty() { plan.clone() } else { plan.with_root_hashes(&root_hashes) }
}

/// Takes a finished package as it is, after reading it to the end: its digest
/// and unpacked size go into the manifest, and a broken one is refused here
/// and not at its first boot.
fn take_finished(path: String, content: &Content, plan: &PackagePlan) -> Result<EncodedPart> {
    let mut tee = digest::Tee::new(content.open()?);
    let is_image = content.open_at()?.read(0, content.len().min(image::MAGIC.len() as u64))? == image::MAGIC;
    let (tree, unpacked) = if is_image {
        let tree = image::tree(content)?;
        for file in tree.walk().filter_map(|item| item.content().cloned()) {
            io::copy(&mut file.open()?, &mut io::sink())?;
        }
        let unpacked = tree.content_len();
        (tree, unpacked)
    } else {
        let tree = tree::tar::read(&path, &mut tee, tree::Limits::default(), &Provenance::new("a package"))?;
        (tree, members_len(content)?)
    };
    io::copy(&mut tee, &mut io::sink())?;
    check_rights(&tree, plan)?;
    let (sha256, size) = tee.finish();
    let part = Part {
        path,
        size,
        unpacked,
        sha256,
        required: plan.required,
        privileged: plan.privileged,
        extra: plan.extra,
        verity: None,
    };
    Ok(EncodedPart { part, content: content.clone(), hashes: None })
}

/// What /init will write: every member of the archive, also one that a later
/// member of the same name replaces.
fn members_len(content: &Content) -> Result<u64> {
    let mut archive = tar::Archive::new(unpack::decoded(content.open()?)?);
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
            Node::Leaf { kind: Kind::File(_) | Kind::Fifo, .. } if item.meta.mode & 0o6000 != 0 => {
                "is set-uid or set-gid"
            }
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

fn encoded(path: String, file: File, unpacked: u64, required: bool, privileged: bool) -> Result<EncodedPart> {
    let content = spanned(file, &path)?;
    let sha256 = digest::content(&content)?;
    let part = Part { path, size: content.len(), unpacked, sha256, required, privileged, extra: false, verity: None };
    Ok(EncodedPart { part, content, hashes: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    use crate::compress::{Codec, threads};
    use crate::plan::{PackageSource, Parts};
    use crate::profile::Place;
    use tree::{Leaf, Meta};

    fn plan(privileged: bool) -> PackagePlan {
        let place = Place { file: Path::new("p.toml").into(), line: 6, column: 1 };
        let source = PackageSource::Parts(Parts::default());
        PackagePlan { place, name: "base".into(), ending: ".tar.xz", source, required: true, privileged, extra: false }
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
    fn a_squashfs_is_taken_as_it_is_and_read_to_its_end() {
        let packed = |tree: &Tree| {
            let mut out = io::Cursor::new(Vec::new());
            squashfs::write(tree, &squashfs::Options::new("zstd:1".parse().unwrap()), &mut out).unwrap();
            out.into_inner()
        };
        let noise: Vec<u8> = (0..300_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        let mut tree = leaf(0o755, Kind::File(Content::from(noise.clone())));
        tree.insert_link(TreePath::new("link").unwrap(), &TreePath::new("x/y").unwrap(), Provenance::new("test"))
            .unwrap();
        let bytes = packed(&tree);
        let taken = |bytes: &[u8]| take_finished("packages/x.tcz".into(), &Content::from(bytes.to_vec()), &plan(false));
        let part = taken(&bytes).unwrap().part;
        assert_eq!((part.size, part.unpacked), (bytes.len() as u64, noise.len() as u64));
        assert_eq!(part.sha256, digest::content(&Content::from(bytes.clone())).unwrap());

        assert!(taken(&bytes[..bytes.len() / 2]).is_err(), "it is cut");
        let set_uid = packed(&leaf(0o4755, Kind::File(Content::from(Vec::new()))));
        assert!(taken(&set_uid).unwrap_err().to_string().contains("set-uid"));
    }

    #[test]
    fn every_member_of_an_archive_counts_also_one_that_is_replaced() {
        let mut builder = tar::Builder::new(Vec::new());
        for len in [300, 200] {
            let mut header = tar::Header::new_gnu();
            header.set_size(len);
            header.set_mode(0o644);
            builder.append_data(&mut header, "same", std::io::repeat(7).take(len)).unwrap();
        }
        let tar = builder.into_inner().unwrap();
        let mut packed = vec![tar.clone()];
        for codec in ["xz", "zstd", "gzip"] {
            let mut out = Vec::new();
            let mut encoder =
                codec.parse::<Codec>().unwrap().encoder(Decoder::Userland, threads(), 500, &mut out).unwrap();
            encoder.write_all(&tar).unwrap();
            encoder.finish().unwrap();
            packed.push(out);
        }
        for bytes in packed {
            let part = take_finished("packages/x".into(), &Content::from(bytes), &plan(false)).unwrap().part;
            assert_eq!(part.unpacked, 500);
        }
    }
}
