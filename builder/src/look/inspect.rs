//! `liveroot inspect`: what an image is and holds, told from its bytes alone.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::Result;
use init::facts::ImageFacts;
use init::manifest::{Hex, Manifest};
use serde::Serialize;
use tree::{Content, Escaped, Tree};

use super::explain::Records;
use super::ours;
use super::reasons::{self, Chart, Reason};
use crate::opened::{Format, Location};
use crate::progress::bytes;

/// In JSON as docs/reading.md says.
#[derive(Debug, Serialize)]
pub struct Report {
    format: &'static str,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    iso: Option<IsoReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    squashfs: Option<Squashfs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    liveroot: Option<Ours>,
    entries: usize,
    content_bytes: u64,
    /// The directories that most of the content stands in, the largest first.
    largest: Vec<Sum>,
    /// What the bytes of an initramfs are there for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Reason>,
}

#[derive(Debug, Serialize)]
struct IsoReport {
    volume_id: String,
    volume_set: String,
    application: String,
    volume_size: u64,
    rock_ridge: bool,
    joliet: bool,
    boot: Vec<BootImage>,
    mbr: Vec<Partition>,
    gpt: Vec<Partition>,
    gpt_problems: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
struct BootImage {
    firmware: &'static str,
    bootable: bool,
    lba: u32,
    /// In units of 512 bytes.
    load_sectors: u16,
}

#[derive(Debug, Serialize)]
struct Partition {
    number: u32,
    #[serde(rename = "type")]
    kind: String,
    /// In units of 512 bytes, like the next.
    start: u64,
    sectors: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    active: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

#[derive(Debug, Serialize)]
struct Squashfs {
    codec: &'static str,
    block_size: u32,
    inodes: u32,
    mtime: u32,
}

#[derive(Debug, Serialize)]
struct Ours {
    name: String,
    mode: &'static str,
    boot_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parts: Vec<PartReport>,
}

#[derive(Debug, Serialize)]
struct PartReport {
    path: String,
    size: u64,
    unpacked: u64,
    sha256: String,
    required: bool,
    privileged: bool,
    extra: bool,
    state: &'static str,
}

#[derive(Debug, Serialize)]
struct Sum {
    path: String,
    bytes: u64,
}

/// What the last image of `location` is.
pub fn report(location: &Location) -> Result<Report> {
    let image = &location.image().opened;
    let (mut iso, mut squashfs, mut liveroot) = (None, None, None);
    match &image.format {
        Format::Iso(volume) => {
            iso = Some(describe_iso(volume)?);
            liveroot = ours::manifest(&image.tree)?.map(|manifest| of_medium(&image.tree, manifest));
        }
        Format::Squashfs(superblock) => {
            let (codec, block_size) = (superblock.codec.name(), superblock.block_size);
            squashfs = Some(Squashfs { codec, block_size, inodes: superblock.inodes, mtime: superblock.mtime });
        }
        Format::Initramfs => liveroot = ours::facts(&image.tree)?.map(of_initramfs),
        Format::Tar | Format::Fat => {}
    }
    let mut reasons = Vec::new();
    if matches!(image.format, Format::Initramfs) {
        let records = Records::of(location)?;
        reasons = reasons::sum(&image.tree, |item| records.as_ref()?.chain(item.path));
    }
    Ok(Report {
        format: image.format.name(),
        size: image.content.len(),
        iso,
        squashfs,
        liveroot,
        entries: image.tree.len(),
        content_bytes: image.tree.content_len(),
        largest: largest(&image.tree),
        reasons,
    })
}

fn describe_iso(iso: &iso::read::Iso) -> Result<IsoReport> {
    let boot = iso.boot_entries()?.into_iter().map(|entry| BootImage {
        firmware: firmware(entry.platform),
        bootable: entry.bootable,
        lba: entry.lba,
        load_sectors: entry.load_sectors,
    });
    let tables = iso.partitions()?;
    let mbr = tables.mbr.into_iter().map(|part| Partition {
        number: part.number,
        kind: format!("{:02x}", part.kind),
        start: part.start,
        sectors: part.sectors,
        active: Some(part.active),
        name: None,
    });
    let (gpt, gpt_problems) = tables.gpt.map_or_else(Default::default, |gpt| (gpt.partitions, gpt.problems));
    let gpt = gpt.into_iter().map(|part| Partition {
        number: part.number,
        kind: part.kind.to_string(),
        start: part.first,
        sectors: part.last.wrapping_sub(part.first).wrapping_add(1),
        active: None,
        name: Some(part.name),
    });
    Ok(IsoReport {
        volume_id: iso.volume_id().into(),
        volume_set: iso.volume_set().into(),
        application: iso.application().into(),
        volume_size: iso.volume_len(),
        rock_ridge: iso.has_rock_ridge(),
        joliet: iso.has_joliet(),
        boot: boot.collect(),
        mbr: mbr.collect(),
        gpt: gpt.collect(),
        gpt_problems,
    })
}

fn firmware(platform: u8) -> &'static str {
    match platform {
        0 => "BIOS",
        0xef => "UEFI",
        _ => "other",
    }
}

fn of_medium(medium: &Tree, manifest: Manifest) -> Ours {
    let parts = manifest.parts.iter().map(|part| PartReport {
        path: part.path.clone(),
        size: part.size,
        unpacked: part.unpacked,
        sha256: Hex(&part.sha256).to_string(),
        required: part.required,
        privileged: part.privileged,
        extra: part.extra,
        state: match ours::part(medium, part).map(Content::len) {
            None => "missing",
            Some(len) if len != part.size => "of another size",
            Some(_) => "there",
        },
    });
    let (mode, boot_id) = (manifest.mode.name(), Some(manifest.boot_id.to_string()));
    Ours { parts: parts.collect(), name: manifest.name, mode, boot_id, label: None }
}

fn of_initramfs(facts: ImageFacts) -> Ours {
    let boot_id = facts.boot_id.map(|id| id.to_string());
    Ours { name: facts.name, mode: facts.mode.name(), boot_id, label: Some(facts.label), parts: Vec::new() }
}

fn largest(tree: &Tree) -> Vec<Sum> {
    const SHOWN: usize = 12;
    let mut sums = BTreeMap::<String, u64>::new();
    for item in tree.walk() {
        let Some(content) = item.content() else { continue };
        let below: Vec<_> = item.path.components().take(3).map(|name| Escaped(name).to_string()).collect();
        let dirs = below.len() - usize::from(below.len() == item.path.depth());
        *sums.entry(format!("/{}", below[..dirs].join("/"))).or_default() += content.len();
    }
    let mut sums: Vec<_> = sums.into_iter().map(|(path, bytes)| Sum { path, bytes }).collect();
    sums.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.path.cmp(&b.path)));
    sums.truncate(SHOWN);
    sums
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, {}", self.format, bytes(self.size))?;
        if let Some(iso) = &self.iso {
            write!(f, "{iso}")?;
        }
        if let Some(Squashfs { codec, block_size, inodes, .. }) = &self.squashfs {
            writeln!(f, "codec      {codec}, blocks of {}, {inodes} inodes", bytes(u64::from(*block_size)))?;
        }
        match &self.liveroot {
            Some(ours) => write!(f, "{ours}")?,
            None if self.iso.is_some() => writeln!(f, "no manifest: not one of liveroot's")?,
            None => {}
        }
        writeln!(f, "entries    {}, {} in files", self.entries, bytes(self.content_bytes))?;
        self.largest.iter().try_for_each(|sum| writeln!(f, "  {:>11}  {}", bytes(sum.bytes), sum.path))?;
        write!(f, "{}", Chart(&self.reasons))
    }
}

impl fmt::Display for IsoReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |text: &str| Escaped(text.as_bytes()).to_string();
        writeln!(f, "volume ID  {}", shown(&self.volume_id))?;
        for entry in self.boot.iter().filter(|entry| entry.bootable) {
            writeln!(f, "boots by   {}, El Torito image at sector {}", entry.firmware, entry.lba)?;
        }
        for (table, partitions) in [("MBR", &self.mbr), ("GPT", &self.gpt)] {
            for Partition { number, kind, start, sectors, name, .. } in partitions {
                let name = name.as_ref().map_or(String::new(), |name| format!(" {}", shown(name)));
                writeln!(
                    f,
                    "partition  {table} {number}, type {kind}, {} from sector {start}{name}",
                    bytes(sectors.saturating_mul(512))
                )?;
            }
        }
        self.gpt_problems.iter().try_for_each(|problem| writeln!(f, "GPT        {problem}"))
    }
}

impl fmt::Display for Ours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let boot_id = self.boot_id.as_deref().unwrap_or("none: it belongs to no medium");
        writeln!(f, "name       {}\nmode       {}\nboot-id    {boot_id}", self.name, self.mode)?;
        if let Some(label) = &self.label {
            writeln!(f, "label      {label}")?;
        }
        for PartReport { path, size, unpacked, state, .. } in &self.parts {
            let state = match *state {
                "there" => String::new(),
                wrong => format!(" ({})", wrong.to_uppercase()),
            };
            writeln!(f, "part       {path}, {}, {} unpacked{state}", bytes(*size), bytes(*unpacked))?;
        }
        Ok(())
    }
}
