//! What makes an ISO a medium of ours: manifest, marker, parts, kernel and
//! initramfs, and that they belong together.

use init::contract::{BootId, initramfs as at, medium};
use init::manifest::Manifest;
use iso::read::Iso;
use tree::{Content, Tree, TreePath};

use super::report::chain;
use super::{Report, path};
use crate::digest;
use crate::look::ours;
use crate::opened::{Format, Level, open};
use crate::provenance::Record;

pub(super) fn check(image: &Level, volume: &Iso, report: &mut Report) {
    let (name, tree) = (&image.name, &image.opened.tree);
    let manifest = match ours::manifest(tree) {
        Ok(Some(manifest)) => manifest,
        Ok(None) => return,
        Err(error) => {
            return report.fault(format!("{name}:{}", ours::on_medium(medium::MANIFEST)), format!("{error:#}"));
        }
    };
    let marker = ours::on_medium(&manifest.boot_id.to_string());
    if !tree.contains(&marker) {
        report.fault(format!("{name}:{marker}"), "the marker that boot loaders search for is missing");
    }
    if BootId::from_volume_set(volume.volume_set()) != Some(manifest.boot_id) {
        report.fault(name, "its volume set identifier is of another build than its manifest");
    }
    check_parts(name, tree, &manifest, report);
    check_kernel(name, tree, report);
    let initramfs_at = path(medium::INITRAMFS);
    let place = format!("{name}:{initramfs_at}");
    match ours::file(tree, &initramfs_at) {
        None => report.fault(place, "is missing"),
        Some(content) => match open(&place, content) {
            Ok(opened) => initramfs(&opened.tree, &place, Some(&manifest), report),
            Err(error) => report.fault(place, chain(&error)),
        },
    }
    let record = ours::on_medium(medium::PROVENANCE);
    match ours::file(tree, &record).map(|content| content.open().map(Record::decode)) {
        Some(Ok(Ok(_))) => {}
        None => report.advise(name, "has no record of where its files came from"),
        Some(Ok(Err(error))) => report.fault(format!("{name}:{record}"), chain(&error)),
        Some(Err(error)) => report.fault(format!("{name}:{record}"), error.to_string()),
    }
}

fn check_parts(name: &str, tree: &Tree, manifest: &Manifest, report: &mut Report) {
    for part in &manifest.parts {
        let place = format!("{name}:/{}/{}", medium::DIR, part.path);
        let Some(content) = ours::part(tree, part) else {
            report.fault(place, "the manifest names it, and it is missing");
            continue;
        };
        if content.len() != part.size {
            report.fault(place, format!("has {} bytes, and {} by the manifest", content.len(), part.size));
            continue;
        }
        match digest::content(content) {
            Ok(sha256) if sha256 == part.sha256 => check_inside(&place, content, report),
            Ok(_) => report.fault(place, "its SHA-256 is not the manifest's: it is damaged"),
            Err(error) => report.fault(place, error.to_string()),
        }
    }
}

/// The digest vouches for its bytes, not for what they were made from.
fn check_inside(place: &str, content: &Content, report: &mut Report) {
    match open(place, content.clone()) {
        Ok(opened) if matches!(opened.format, Format::Squashfs(_) | Format::Tar) => {}
        // dm-verity's hash tree, say: vouched for, and nothing to look into.
        Err(crate::opened::OpenError::Unknown { .. }) | Ok(_) => {}
        Err(error) => report.fault(place, chain(&error)),
    }
}

fn check_kernel(name: &str, tree: &Tree, report: &mut Report) {
    let kernel = path(medium::KERNEL);
    let place = format!("{name}:{kernel}");
    let Some(content) = ours::file(tree, &kernel) else { return report.fault(place, "is missing") };
    let head =
        content.slice(0, content.len().min(0x210)).and_then(|head| head.read_all(0x210).ok()).unwrap_or_default();
    // Documentation/arch/x86/boot.rst, `header`; arch/arm64/booting.rst and
    // riscv/boot-image-header.rst, `magic`; EFI's zboot.
    let is_kernel = head.get(0x202..0x206) == Some(b"HdrS")
        || head.get(56..60).is_some_and(|magic| magic == b"ARM\x64" || magic == b"RSC\x05")
        || head.get(4..8) == Some(b"zimg")
        || head.starts_with(b"\x7fELF");
    if !is_kernel {
        report.fault(place, "is no Linux kernel");
    }
}

/// An initramfs, and that it belongs to the medium it was found on.
pub(super) fn initramfs(tree: &Tree, name: &str, manifest: Option<&Manifest>, report: &mut Report) {
    let init = TreePath::new(at::INIT).expect("a plain path");
    match tree.get(&init) {
        // A part of one that several files make up, such as microcode, has none.
        None if manifest.is_none() => report.advise(name, "has no /init: the kernel will look for a root by itself"),
        None => report.fault(name, "has no /init"),
        Some(item) if item.content().is_some() && item.meta.mode & 0o100 == 0 => {
            report.fault(name, "its /init is not executable");
        }
        Some(_) => {}
    }
    let facts = match ours::facts(tree) {
        Ok(facts) => facts,
        Err(error) => return report.fault(name, format!("{error:#}")),
    };
    match (facts, manifest) {
        (Some(facts), Some(manifest)) if facts.boot_id != Some(manifest.boot_id) => {
            let its = facts.boot_id.map_or("none".into(), |id| id.to_string());
            report.fault(name, format!("belongs to the build {its}, and the medium to {}", manifest.boot_id));
        }
        (Some(facts), Some(manifest)) if facts.mode != manifest.mode => {
            report.fault(name, format!("boots in mode {}, and the medium is of mode {}", facts.mode, manifest.mode));
        }
        (None, Some(_)) => report.fault(name, "has no facts of its image: it is of no build of liveroot's"),
        _ => {}
    }
}
