//! `liveroot inspect`: what an image is and holds, told from its bytes alone.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::File;
use std::io::BufReader;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use backhand::FilesystemReader;
use init::contract::{initramfs, medium};
use init::facts::ImageFacts;
use init::manifest::{MAX_LEN, Manifest};
use tree::{Content, Escaped, Provenance, Tree, TreePath};

use crate::progress::bytes;

/// A report on the ISO, squashfs or initramfs at `path`; with `list`, every
/// entry of it.
pub fn inspect(path: &Path, list: bool) -> Result<String> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    let report = match kind(&file) {
        Some(ImageKind::Iso) => iso(path, list),
        Some(ImageKind::Squashfs) => squashfs(file, list),
        Some(ImageKind::Initramfs) => archive(path, list),
        None => bail!("{}: neither an ISO, a squashfs nor an initramfs", path.display()),
    };
    report.with_context(|| path.display().to_string())
}

enum ImageKind {
    Iso,
    Squashfs,
    Initramfs,
}

fn kind(file: &File) -> Option<ImageKind> {
    let magic = |offset: u64, wanted: &[u8]| {
        let mut found = [0; 8];
        let found = &mut found[..wanted.len()];
        file.read_exact_at(found, offset).is_ok() && found == wanted
    };
    // ECMA-119 8.1.2: the standard identifier of the first descriptor, sector 16.
    if magic(16 * iso::SECTOR as u64 + 1, b"CD001") {
        return Some(ImageKind::Iso);
    }
    if magic(0, b"hsqs") {
        return Some(ImageKind::Squashfs);
    }
    let archives: [&[u8]; 5] = [b"070701", b"070702", b"\x1f\x8b", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd"];
    archives.into_iter().any(|wanted| magic(0, wanted)).then_some(ImageKind::Initramfs)
}

fn iso(path: &Path, list: bool) -> Result<String> {
    let len = path.metadata()?.len();
    let image = iso::read::Iso::open(Content::host(path, len))?;
    let tree = image.tree()?;
    let mut text = String::new();
    writeln!(text, "ISO 9660 image, {}", bytes(len))?;
    writeln!(text, "volume ID  {}", Escaped(image.volume_id().as_bytes()))?;
    for entry in image.boot_entries()?.iter().filter(|entry| entry.bootable) {
        let firmware = if entry.platform == 0xef { "UEFI" } else { "BIOS" };
        writeln!(text, "boots by   {firmware}, El Torito image at sector {}", entry.lba)?;
    }
    let live = |name: &str| TreePath::new(format!("{}/{name}", medium::DIR));
    match tree.get(&live(medium::MANIFEST)?).and_then(|item| item.content().cloned()) {
        Some(manifest) => {
            let manifest = Manifest::parse(&manifest.read_all(MAX_LEN as u64)?).context("the manifest")?;
            writeln!(
                text,
                "name       {}\nmode       {}\nboot-id    {}",
                manifest.name, manifest.mode, manifest.boot_id
            )?;
            for part in &manifest.parts {
                let there = tree.get(&live(&part.path)?).and_then(|item| item.content().map(Content::len));
                let state = match there {
                    None => " (MISSING)",
                    Some(len) if len != part.size => " (OF ANOTHER SIZE)",
                    Some(_) => "",
                };
                writeln!(
                    text,
                    "part       {}, {}, {} unpacked{state}",
                    part.path,
                    bytes(part.size),
                    bytes(part.unpacked)
                )?;
            }
        }
        None => writeln!(text, "no manifest: not one of liveroot's")?,
    }
    finish(text, &tree, list)
}

fn squashfs(file: File, list: bool) -> Result<String> {
    let len = file.metadata()?.len();
    let reader = FilesystemReader::from_reader(BufReader::new(file))?;
    let mut text = String::new();
    writeln!(text, "squashfs, {}", bytes(len))?;
    writeln!(text, "codec      {:?}, blocks of {}", reader.compressor, bytes(u64::from(reader.block_size)))?;
    writeln!(text, "entries    {}", reader.files().count())?;
    if list {
        for node in reader.files() {
            let header = &node.header;
            writeln!(
                text,
                "{:04o} {}:{} {}",
                header.permissions,
                header.uid,
                header.gid,
                Escaped(node.fullpath.as_os_str().as_bytes())
            )?;
        }
    }
    Ok(text)
}

fn archive(path: &Path, list: bool) -> Result<String> {
    let tree = tree::cpio::load(path, &Provenance::new("the archive"))?;
    let mut text = String::new();
    writeln!(text, "initramfs, {}", bytes(path.metadata()?.len()))?;
    let content = |at: &str| tree.get(&TreePath::new(at).ok()?)?.content().cloned();
    if let Some(facts) = content(initramfs::FACTS) {
        let facts = String::from_utf8(facts.read_all(1 << 16)?).context("the image's facts")?;
        let facts = ImageFacts::parse(&facts).context("the image's facts")?;
        let boot_id = facts.boot_id.map_or("none: it belongs to no medium".into(), |id| id.to_string());
        writeln!(text, "name       {}\nmode       {}", facts.name, facts.mode)?;
        writeln!(text, "boot-id    {boot_id}\nlabel      {}", facts.label)?;
    }
    finish(text, &tree, list)
}

fn finish(mut text: String, tree: &Tree, list: bool) -> Result<String> {
    writeln!(text, "entries    {}, {} in files", tree.len(), bytes(tree.content_len()))?;
    let mut sums = BTreeMap::<String, u64>::new();
    for item in tree.walk() {
        let Some(content) = item.content() else { continue };
        let below: Vec<_> = item.path.components().take(3).map(String::from_utf8_lossy).collect();
        let dirs = below.len() - usize::from(below.len() == item.path.depth());
        *sums.entry(format!("/{}", below[..dirs].join("/"))).or_default() += content.len();
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    for (dir, sum) in sums.iter().take(12) {
        writeln!(text, "  {:>11}  {dir}", bytes(*sum))?;
    }
    if list {
        text += &tree::listing::print(tree, tree::listing::With::Metadata)?;
    }
    Ok(text)
}
