//! Where every byte of an image goes, decided before the first is written.
//! Nothing here reads content.

use std::collections::HashMap;

use tree::{Content, Item, LeafId, Node, Tree, TreePath};

use crate::boot_image::{self, Bios, Esp, EspBody};
use crate::descriptor::Texts;
use crate::el_torito::{self, Patch};
use crate::format::{DIRECTORIES_MAX, SECTOR};
use crate::placement::Placement;
use crate::system_area::{self, Disk};
use crate::volume::Volume;
use crate::{Image, StartCode, SystemArea};

/// A run of sectors and the bytes that are used of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extent {
    pub lba: u32,
    pub len: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    #[error("the {field} field has {length} characters and there is room for {room}")]
    TextTooLong { field: &'static str, length: usize, room: usize },
    #[error("the {field} field has {character:?} in it and takes printable ASCII only")]
    TextCharacter { field: &'static str, character: char },
    #[error("{count} directories, and ISO 9660 can count {DIRECTORIES_MAX}; pack some into one file")]
    TooManyDirectories { count: usize },
    #[error("the symlink {path} has a target of {length} bytes, and Linux follows 4095 at most")]
    SymlinkTooLong { path: TreePath, length: usize },
    #[error("the image would have {sectors} sectors, and ISO 9660 can count 4294967295 (8 TiB)")]
    TooLarge { sectors: u64 },
    #[error("the boot image {path} is not in the tree")]
    BootImageMissing { path: TreePath },
    #[error("the boot image {path} is not a regular file")]
    BootImageNotAFile { path: TreePath },
    #[error("the boot image {path} has {length} bytes and at least {needed} are needed: is it the right file?")]
    BootImageTooShort { path: TreePath, length: u64, needed: u64 },
    #[error("the boot image {path} has {length} bytes; a BIOS boot image has less than {limit}")]
    BootImageTooLong { path: TreePath, length: u64, limit: u64 },
    #[error("the MBR code has {length} bytes and must have {expected}: {file} is meant")]
    MbrCode { length: usize, expected: usize, file: &'static str },
    #[error("the MBR code starts the BIOS boot image, and there is none; name one, or leave the code out")]
    NothingToStart,
    #[error("an ESP among the tree's files stands inside the ISO 9660 partition, and would overlap; append it instead")]
    EspInTree,
    #[error("{path} cannot be the ESP's {in_esp}: {problem}")]
    NotShared { path: TreePath, in_esp: TreePath, problem: &'static str },
}

/// fs/isofs/rock.c puts a target together in one page.
const SYMLINK_MAX: usize = 4095;

/// What sectors are filled with.
#[derive(Debug)]
pub(crate) enum Piece<'a> {
    Bytes(Vec<u8>),
    /// Completed with the media sum when that is known.
    PrimaryDescriptor(Vec<u8>),
    /// Rendered when it is its turn: the directories of a large tree need not
    /// stand in memory together.
    Directory {
        volume: usize,
        directory: usize,
    },
    File {
        path: &'a TreePath,
        content: &'a Content,
    },
    BootImage {
        path: &'a TreePath,
        content: &'a Content,
        patch: Patch,
    },
    Appended(EspBody),
}

#[derive(Debug)]
pub(crate) struct Placed<'a> {
    pub(crate) extent: Extent,
    pub(crate) piece: Piece<'a>,
}

impl Placed<'_> {
    pub(crate) fn bytes(lba: u32, bytes: Vec<u8>) -> Self {
        Self { extent: Extent { lba, len: bytes.len() as u64 }, piece: Piece::Bytes(bytes) }
    }
}

/// See [`layout`].
#[derive(Debug)]
pub struct Layout<'a> {
    tree: &'a Tree,
    volumes: Vec<Volume<'a>>,
    leaves: HashMap<LeafId, Extent>,
    pub(crate) pieces: Vec<Placed<'a>>,
    pub(crate) media_sum: bool,
    sectors: u32,
}

/// Decides where everything goes: system area, volume descriptors, path
/// tables and directories, boot catalog, files, ESP, padding, backup GPT.
pub fn layout<'a>(image: &Image<'a>) -> Result<Layout<'a>, LayoutError> {
    let texts = Texts::new(image)?;
    let boot = image.boot.clone().unwrap_or_default();
    let bios = boot.bios.as_ref().map(|bios| Bios::find(image.tree, bios)).transpose()?;
    let esp = boot.efi.map(|efi| Esp::find(image.tree, efi, bios.as_ref())).transpose()?;
    let start = checked_start(image, bios.is_some(), esp.as_ref())?;
    check_symlinks(image.tree)?;

    let placement = Placement::new(image, bios.as_ref(), esp.as_ref())?;
    let boot_image = bios.as_ref().map(|bios| placement.leaves[&bios.id].lba);
    let disk = Disk {
        start: start.zip(boot_image),
        esp: placement.esp,
        iso_end: placement.iso_end,
        end: placement.end,
        seed: &texts.seed(),
    };
    let (head, tail) = match image.system_area {
        SystemArea::None => (None, None),
        SystemArea::Isohybrid { .. } => (Some(disk.isohybrid()), None),
        SystemArea::Mbr { .. } => (Some(disk.mbr_only()), None),
        SystemArea::Gpt { .. } => {
            let (head, tail) = disk.gpt();
            (Some(head), Some(tail))
        }
    };
    let bios_entry = bios.as_ref().zip(boot_image).map(|(bios, lba)| bios.entry(lba));
    let entries: Vec<_> = bios_entry.into_iter().chain(placement.esp.map(boot_image::efi_entry)).collect();

    let mut pieces = Vec::new();
    pieces.extend(head.map(|head| Placed::bytes(0, head)));
    pieces.extend(placement.descriptors(&texts));
    for (n, volume) in placement.volumes.iter().enumerate() {
        pieces.extend(volume.pieces(n, &placement.leaves));
    }
    pieces.extend(placement.catalog.map(|at| Placed::bytes(at, el_torito::catalog(&entries))));
    pieces.extend(placement.files);
    if let (Some(Esp::Appended { body, .. }), Some(extent)) = (esp, placement.esp) {
        pieces.push(Placed { extent, piece: Piece::Appended(body) });
    }
    pieces.extend(placement.backup.zip(tail).map(|(lba, tail)| Placed::bytes(lba, tail)));
    Ok(Layout {
        tree: image.tree,
        volumes: placement.volumes,
        leaves: placement.leaves,
        pieces,
        media_sum: image.media_sum,
        sectors: placement.end,
    })
}

impl Layout<'_> {
    /// The image's length in bytes.
    #[allow(clippy::len_without_is_empty)] // no image is empty
    pub fn len(&self) -> u64 {
        u64::from(self.sectors) * SECTOR as u64
    }

    /// Where the content of the regular file at `path` stands.
    pub fn extent(&self, path: &TreePath) -> Option<Extent> {
        match self.tree.get(path)?.node {
            Node::Dir => None,
            Node::Leaf { id, .. } => self.leaves.get(&id).copied(),
        }
    }

    pub(crate) fn render_directory(&self, volume: usize, directory: usize) -> Vec<u8> {
        self.volumes[volume].render(directory, &self.leaves)
    }
}

/// The code for the first sector, if it is what it should be and has
/// something to start.
fn checked_start<'i>(
    image: &'i Image<'_>,
    has_bios: bool,
    esp: Option<&Esp>,
) -> Result<Option<&'i StartCode>, LayoutError> {
    let start = image.system_area.start();
    if let Some(code) = start {
        let (length, expected) = (code.bytes().len(), system_area::expected_len(code));
        if length != expected {
            return Err(LayoutError::MbrCode { length, expected, file: code.file_name() });
        }
        if !has_bios {
            return Err(LayoutError::NothingToStart);
        }
    }
    if image.system_area.has_iso_partition() && matches!(esp, Some(Esp::File(_))) {
        return Err(LayoutError::EspInTree);
    }
    Ok(start)
}

fn check_symlinks(tree: &Tree) -> Result<(), LayoutError> {
    let too_long = |item: &Item<'_>| item.symlink_target().is_some_and(|target| target.len() > SYMLINK_MAX);
    match tree.walk().find(too_long) {
        Some(item) => {
            let length = item.symlink_target().map_or(0, <[u8]>::len);
            Err(LayoutError::SymlinkTooLong { path: item.path.clone(), length })
        }
        None => Ok(()),
    }
}
