//! `liveroot verify`: whether an image is whole, and what firmware will do
//! with it. Everything is read; nothing is believed.

mod boots;
mod entries;
mod esp;
mod medium;
mod report;
mod volume;

use std::io;

use anyhow::Result;
use tree::{Content, Tree, TreePath};

use super::ours;
use crate::opened::squashfs::{Codec, Superblock};
use crate::opened::{Format, Level, Opened, is_image, open};
pub use report::{Boot, Finding, Report, Severity};

/// Every level of the image, as far as there is one.
pub fn verify(image: &Level) -> Result<Report> {
    let mut report = Report::new(&image.name);
    match &image.opened.format {
        Format::Iso(_) => iso(image, &mut report),
        Format::Squashfs(superblock) => {
            unnoticed(superblock, &image.name, &mut report);
            contents(&image.opened.tree, image.opened.content.len(), &image.name, &mut report);
        }
        Format::Initramfs => {
            contents(&image.opened.tree, image.opened.content.len(), &image.name, &mut report);
            medium::initramfs(&image.opened.tree, &image.name, None, &mut report);
        }
        Format::Tar => contents(&image.opened.tree, image.opened.content.len(), &image.name, &mut report),
        Format::Fat => {
            contents(&image.opened.tree, image.opened.content.len(), &image.name, &mut report);
            esp::check_loaders(&image.opened.tree, &image.name, &mut report);
        }
    }
    Ok(report)
}

fn iso(image: &Level, report: &mut Report) {
    let Format::Iso(volume) = &image.opened.format else { return };
    let tree = &image.opened.tree;
    let is_ours = tree.contains(&ours::on_medium(init::contract::medium::MANIFEST));
    let esp = esp::find(image, volume, report);
    volume::check(image, volume, esp.as_ref(), is_ours, report);
    if is_ours {
        medium::check(image, volume, report);
    } else {
        contents(tree, image.opened.content.len(), &image.name, report);
        inner_images(image, report);
    }
    entries::check(tree, esp.as_ref(), is_ours, report);
    report.boots = boots::what_firmware_does(image, volume, esp.as_ref());
}

/// Files that cannot be read whole. Holes make a file of any length of a few
/// bytes; what is mostly holes is not read.
fn contents(tree: &Tree, image_len: u64, name: &str, report: &mut Report) {
    const RATIO: u64 = 256;
    let len = tree.content_len();
    if len > image_len.saturating_mul(RATIO) {
        report.advise(name, format!("its files have {len} bytes, {RATIO} times its own length: they are not read"));
        return;
    }
    for item in tree.walk() {
        if let Some(Err(error)) = item.content().map(read_through) {
            report.fault(format!("{name}:{}", item.path), error.to_string());
        }
    }
}

fn read_through(content: &Content) -> io::Result<()> {
    io::copy(&mut content.open()?, &mut io::sink()).map(drop)
}

/// Squashfs and initramfs of an ISO that is not ours.
fn inner_images(outer: &Level, report: &mut Report) {
    const ENDINGS: [&[u8]; 4] = [b".squashfs", b".sfs", b".img", b".erofs"];
    for item in outer.opened.tree.walk() {
        let Some(content) = item.content() else { continue };
        let by_name =
            ENDINGS.iter().any(|end| item.path.name().ends_with(end)) || item.path.name().starts_with(b"initrd");
        if !by_name || !is_image(content) {
            continue;
        }
        let name = format!("{}:{}", outer.name, item.path);
        match open(&name, content.clone()) {
            Ok(Opened { format: Format::Squashfs(superblock), tree, .. }) => {
                unnoticed(&superblock, &name, report);
                contents(&tree, content.len(), &name, report);
            }
            Ok(_) => {}
            Err(error) => report.fault(name, report::chain(&error)),
        }
    }
}

/// zstd and lz4 in a squashfs carry no checksum: two flips of three go unseen.
fn unnoticed(superblock: &Superblock, name: &str, report: &mut Report) {
    if matches!(superblock.codec, Codec::Zstd | Codec::Lz4) {
        let codec = superblock.codec.name();
        report.advise(
            name,
            format!("compressed with {codec}, which notices damage seldom; carry a digest of it, or dm-verity"),
        );
    }
}

fn path(written: &str) -> TreePath {
    TreePath::new(written).expect("a plain path")
}
