//! What users write to name an image, or a place in one:
//!
//! ```text
//! x.iso                                      an image: a file of this system
//! x.iso:/boot/vmlinuz   x.iso/boot/vmlinuz   a file in it
//! x.iso/live/root.squashfs:/etc/os-release   a file in an image in it
//! x.iso:esp:/EFI/BOOT/BOOTX64.EFI            a file in the ESP of an ISO
//! ```
//!
//! The longest beginning that is a file of this system is the outer image.
//! Behind it, a colon ends the name of a file that is opened as an image, at
//! any depth; a colon that belongs to a name is taken for one. Symlinks are
//! followed within their image.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use tree::{Content, Escaped, TreePath};

use super::{FollowError, Format, OpenError, Opened, follow, open};

/// Images in images deeper than this are a loop that somebody built by hand.
const DEPTH_MAX: usize = 8;
/// The one place of an ISO that is no file of it.
const ESP: &[u8] = b"esp";

#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    #[error("{0}: no such file")]
    NoImage(String),
    #[error("{image}: {source}")]
    Follow { image: String, source: FollowError },
    #[error("{image} has no ESP")]
    NoEsp { image: String },
    #[error("{0}: images stand in images too deep")]
    TooDeep(String),
    #[error("{image}: {path} is no file that could be opened as an image")]
    NotAFile { image: String, path: TreePath },
    #[error("{name}: cannot be read")]
    Io { name: String, source: std::io::Error },
    #[error("{name}: the boot catalog cannot be read")]
    Catalog { name: String, source: iso::read::ReadError },
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// An image on the way to a place.
#[derive(Debug)]
pub struct Level {
    /// As an address.
    pub name: String,
    /// Where it stands in the image before it; the root for the outer image.
    pub at: TreePath,
    pub opened: Opened,
}

/// A place in an image.
#[derive(Debug)]
pub struct Location {
    /// The outer image first; never empty.
    pub levels: Vec<Level>,
    /// In the last of them. Its directories are real; it may be a symlink.
    pub path: TreePath,
}

impl Location {
    pub fn image(&self) -> &Level {
        self.levels.last().expect("a location has an image")
    }

    /// The image that the place is, if a file was named, or is in.
    pub fn into_image(mut self) -> Result<Self, AddressError> {
        let image = self.image();
        let real = follow(&image.opened.tree, self.path.as_bytes(), true)
            .map_err(|source| AddressError::Follow { image: image.name.clone(), source })?;
        if image.opened.tree.get(&real).is_some_and(|item| item.is_dir()) {
            self.path = real;
        } else {
            self.enter(real)?;
            self.path = TreePath::root();
        }
        Ok(self)
    }

    /// Opens the file at `at` of the last image.
    fn enter(&mut self, at: TreePath) -> Result<(), AddressError> {
        let outer = self.image();
        let content = outer.opened.tree.get(&at).and_then(|item| item.content().cloned());
        let not_a_file = || AddressError::NotAFile { image: outer.name.clone(), path: at.clone() };
        let content = content.ok_or_else(not_a_file)?;
        let name = format!("{}:{at}", outer.name);
        self.push(name, at, content)
    }

    fn push(&mut self, name: String, at: TreePath, content: Content) -> Result<(), AddressError> {
        if self.levels.len() == DEPTH_MAX {
            return Err(AddressError::TooDeep(name));
        }
        let opened = open(&name, content)?;
        self.levels.push(Level { name, at, opened });
        Ok(())
    }

    fn enter_esp(&mut self) -> Result<(), AddressError> {
        let image = self.image();
        let name = image.name.clone();
        let content = match &image.opened.format {
            Format::Iso(iso) => esp(iso, &image.opened.content)
                .map_err(|source| AddressError::Catalog { name: name.clone(), source })?,
            _ => None,
        };
        let content = content.ok_or(AddressError::NoEsp { image: name.clone() })?;
        self.push(format!("{name}:esp"), TreePath::root(), content)
    }
}

/// The place that `written` names.
pub fn locate(written: &OsStr) -> Result<Location, AddressError> {
    let bytes = written.as_bytes();
    let (host, rest) = split_host(bytes).ok_or_else(|| AddressError::NoImage(Escaped(bytes).to_string()))?;
    let name = host.display().to_string();
    let len = host.metadata().map_err(|source| AddressError::Io { name: name.clone(), source })?.len();
    let mut location = Location { levels: Vec::new(), path: TreePath::root() };
    location.push(name, TreePath::root(), Content::host(host, len))?;
    let mut rest = rest.strip_prefix(b":").unwrap_or(rest);
    loop {
        if rest == ESP || rest.starts_with(b"esp:") {
            location.enter_esp()?;
            rest = &rest[rest.len().min(ESP.len() + 1)..];
            continue;
        }
        let image = location.image();
        let tree = &image.opened.tree;
        let whole = match follow(tree, rest, false) {
            Ok(path) => {
                location.path = path;
                return Ok(location);
            }
            Err(source) => AddressError::Follow { image: image.name.clone(), source },
        };
        let colons = rest.iter().enumerate().filter(|(_, b)| **b == b':').map(|(at, _)| at);
        let found = colons.filter_map(|at| {
            let path = follow(tree, &rest[..at], true).ok()?;
            tree.get(&path)?.content().map(|_| (path.clone(), at))
        });
        let Some((path, colon)) = found.into_iter().next() else { return Err(whole) };
        location.enter(path)?;
        rest = &rest[colon + 1..];
    }
}

/// The longest beginning that is a file.
fn split_host(bytes: &[u8]) -> Option<(&Path, &[u8])> {
    let ends = (0..=bytes.len()).rev().filter(|&at| at == bytes.len() || matches!(bytes[at], b'/' | b':'));
    let mut split = ends.map(|at| (Path::new(OsStr::from_bytes(&bytes[..at])), &bytes[at..]));
    split.find(|(host, _)| host.is_file())
}

/// The ESP that El Torito names, or a partition table.
pub(crate) fn esp(iso: &iso::read::Iso, image: &Content) -> Result<Option<Content>, iso::read::ReadError> {
    const MBR_ESP: u8 = 0xef;
    let partitions = iso.partitions()?;
    let gpt = partitions.gpt.iter().flat_map(|gpt| &gpt.partitions);
    let gpt = gpt
        .filter(|part| part.kind.to_string() == ESP_GUID)
        .map(|part| (part.first, part.last.saturating_sub(part.first) + 1));
    let mbr = partitions.mbr.iter().filter(|part| part.kind == MBR_ESP).map(|part| (part.start, part.sectors));
    let slice = |(start, sectors): (u64, u64)| image.slice(start.checked_mul(512)?, sectors.checked_mul(512)?);
    if let Some(content) = gpt.chain(mbr).find_map(slice) {
        return Ok(Some(content));
    }
    // How much firmware loads is not how long it is, which its own boot sector says.
    let named = iso.boot_entries()?.into_iter().find(|entry| entry.platform == 0xef && entry.bootable);
    let start = named.map(|entry| u64::from(entry.lba) * iso::SECTOR as u64);
    Ok(start.and_then(|start| image.slice(start, image.len().checked_sub(start)?)))
}

/// UEFI 2.10, table 5.7.
const ESP_GUID: &str = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";

#[cfg(test)]
mod tests {
    use super::*;
    use tree::{Provenance, Tree};

    /// An initramfs with an initramfs in it.
    fn nested(dir: &Path) -> std::path::PathBuf {
        let from = Provenance::new("test");
        let pack = |files: &[(&str, Vec<u8>)]| {
            let mut tree = Tree::new();
            for (name, bytes) in files {
                tree.insert_file(TreePath::new(name).unwrap(), 0o644, bytes.clone().into(), from.clone()).unwrap();
            }
            tree.insert_symlink(TreePath::new("link").unwrap(), "/d", from.clone()).unwrap();
            let mut out = Vec::new();
            crate::newc::write(&tree, &mut out).unwrap();
            out
        };
        let inner = pack(&[("d/lib:amd64", b"inner".to_vec())]);
        let outer = pack(&[("d/inner.img", inner), ("d/plain", b"text".to_vec())]);
        let file = dir.join("a:b.img");
        std::fs::write(&file, outer).unwrap();
        file
    }

    #[test]
    fn an_address_leads_through_images_to_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = nested(dir.path());
        for (rest, levels, path) in [
            ("", 1, "/"),
            (":", 1, "/"),
            ("/d", 1, "/d"),
            (":/d/plain", 1, "/d/plain"),
            (":d/plain", 1, "/d/plain"),
            ("/link", 1, "/link"),
            ("/link/plain", 1, "/d/plain"),
            ("/link/inner.img:", 2, "/"),
            ("/d/inner.img:/d/lib:amd64", 2, "/d/lib:amd64"),
        ] {
            let mut written = file.clone().into_os_string();
            written.push(rest);
            let location = locate(&written).unwrap();
            assert_eq!((location.levels.len(), location.path.to_string().as_str()), (levels, path), "{rest}");
        }
        for (rest, says) in [
            ("/nope", "/nope is not there"),
            ("/d/plain:/x", "neither an ISO"),
            ("/d/inner.img:/nope", "inner.img: /nope is not there"),
            (":esp:/EFI", "has no ESP"),
        ] {
            let mut written = file.clone().into_os_string();
            written.push(rest);
            let error = locate(&written).unwrap_err().to_string();
            assert!(error.contains(says), "{rest}: {error}");
        }
        assert!(matches!(locate(OsStr::new("/nowhere/x.iso:/a")), Err(AddressError::NoImage(_))));
    }
}
