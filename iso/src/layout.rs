//! Where every byte of an image goes, decided before the first is written.
//! Nothing here reads content.

use std::collections::{HashMap, HashSet};

use tree::{Content, Item, Kind, LeafId, Node, Tree, TreePath};

use crate::boot_image::{self, Bios, Esp};
use crate::descriptor::{self, Texts};
use crate::directory::Namespace;
use crate::el_torito::{self, Patch};
use crate::format::{DIRECTORIES_MAX, PARTITION_OFFSET, SECTOR, SYSTEM_AREA_SECTORS, sectors};
use crate::system_area::{self, BACKUP_LEN, CYLINDER, Disk, PARTITION_ALIGN};
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
    #[error("a GPT cannot have the ESP among the tree's files, inside its ISO 9660 partition; append it instead")]
    EspInTree,
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
    Appended(Content),
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

/// Hands out sectors in ascending order.
pub(crate) struct Cursor {
    next: u64,
}

impl Cursor {
    pub(crate) fn take(&mut self, sectors: u64) -> u32 {
        let at = self.next;
        self.next += sectors;
        // What does not fit is found at the end, when the sum is known.
        u32::try_from(at).unwrap_or(u32::MAX)
    }

    /// A run of sectors for `len` bytes.
    fn extent(&mut self, len: u64) -> Extent {
        Extent { lba: self.take(sectors(len)), len }
    }

    fn align(&mut self, bytes: u64) {
        self.next = self.next.next_multiple_of(bytes / SECTOR as u64);
    }

    fn end(&self) -> Result<u32, LayoutError> {
        u32::try_from(self.next).map_err(|_| LayoutError::TooLarge { sectors: self.next })
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
    let esp = boot.efi.map(|efi| Esp::find(image.tree, efi)).transpose()?;
    let start = checked_start(image, bios.is_some(), esp.as_ref())?;
    check_symlinks(image.tree)?;
    let is_gpt = matches!(image.system_area, SystemArea::Gpt { .. });
    let namespaces = if image.joliet { &[Namespace::Primary, Namespace::Joliet][..] } else { &[Namespace::Primary] };

    let mut cursor = Cursor { next: u64::from(SYSTEM_AREA_SECTORS) };
    let bootable = bios.is_some() || esp.is_some();
    let whole = DescriptorSet::take(&mut cursor, bootable, namespaces.len());
    let partition = is_gpt.then(|| {
        cursor.next = u64::from(PARTITION_OFFSET + SYSTEM_AREA_SECTORS);
        DescriptorSet::take(&mut cursor, false, namespaces.len())
    });
    let mut leaves = unplaced_leaves(image.tree);
    let mut volumes = namespaces
        .iter()
        .map(|&namespace| Volume::place(image.tree, namespace, &leaves, &mut cursor))
        .collect::<Result<Vec<_>, _>>()?;
    if partition.is_some() {
        let again: Vec<_> = volumes.iter().map(|volume| volume.seen_from(PARTITION_OFFSET, &mut cursor)).collect();
        volumes.extend(again);
    }
    let catalog = bootable.then(|| cursor.take(1));
    let files = place_files(image.tree, bios.as_ref(), &mut leaves, &mut cursor);
    let appended = match &esp {
        Some(Esp::Appended(content)) => {
            cursor.align(CYLINDER);
            Some((cursor.extent(content.len()), content.clone()))
        }
        _ => None,
    };
    cursor.take(u64::from(image.pad_sectors));
    let backup = is_gpt.then(|| {
        cursor.align(PARTITION_ALIGN);
        cursor.take(BACKUP_LEN / SECTOR as u64)
    });
    if let SystemArea::Isohybrid { .. } = image.system_area {
        cursor.align(CYLINDER);
    }
    let end = cursor.end()?;

    let esp = match &esp {
        Some(Esp::File(id)) => leaves.get(id).copied(),
        _ => appended.as_ref().map(|(extent, _)| *extent),
    };
    let iso_end = appended.as_ref().map(|(extent, _)| extent.lba).or(backup).unwrap_or(end);
    let boot_image = bios.as_ref().map(|bios| leaves[&bios.id].lba);
    let disk = Disk { start: start.as_ref().zip(boot_image), esp, iso_end, end, seed: &texts.seed() };
    let mut pieces = Vec::new();
    let mut last = None;
    match image.system_area {
        SystemArea::None => {}
        SystemArea::Isohybrid { .. } => pieces.push(Placed::bytes(0, disk.isohybrid())),
        SystemArea::Gpt { .. } => {
            let (head, tail) = disk.gpt();
            pieces.push(Placed::bytes(0, head));
            last = backup.map(|lba| Placed::bytes(lba, tail));
        }
    }
    let mut descriptors = volumes.iter().enumerate().map(|(n, volume)| {
        let seen_to = if n < namespaces.len() { end } else { iso_end };
        volume.descriptor(&texts, seen_to, &leaves)
    });
    for set in [Some(&whole), partition.as_ref()].into_iter().flatten() {
        pieces.extend(set.pieces(catalog, descriptors.by_ref().take(namespaces.len())));
    }
    pieces.extend(volumes.iter().enumerate().flat_map(|(n, volume)| volume.pieces(n, &leaves)));
    if let Some(at) = catalog {
        let bios = bios.as_ref().map(|bios| bios.entry(leaves[&bios.id].lba));
        let entries: Vec<_> = bios.into_iter().chain(esp.map(boot_image::efi_entry)).collect();
        pieces.push(Placed::bytes(at, el_torito::catalog(&entries)));
    }
    pieces.extend(files);
    pieces.extend(appended.map(|(extent, content)| Placed { extent, piece: Piece::Appended(content) }));
    pieces.extend(last);
    Ok(Layout { tree: image.tree, volumes, leaves, pieces, media_sum: image.media_sum, sectors: end })
}

/// The sectors of one set of volume descriptors. The primary one comes first
/// and El Torito's, which firmware looks for at sector 17, second.
struct DescriptorSet {
    primary: u32,
    boot_record: Option<u32>,
    supplementary: u32,
    terminator: u32,
}

impl DescriptorSet {
    fn take(cursor: &mut Cursor, bootable: bool, volumes: usize) -> Self {
        Self {
            primary: cursor.take(1),
            boot_record: bootable.then(|| cursor.take(1)),
            supplementary: cursor.take(volumes as u64 - 1),
            terminator: cursor.take(1),
        }
    }

    /// `descriptors` is the primary one, then the others.
    fn pieces<'a>(&self, catalog: Option<u32>, mut descriptors: impl Iterator<Item = Vec<u8>>) -> Vec<Placed<'a>> {
        let mut pieces = Vec::new();
        pieces.extend(descriptors.next().map(|primary| {
            let extent = Extent { lba: self.primary, len: SECTOR as u64 };
            Placed { extent, piece: Piece::PrimaryDescriptor(primary) }
        }));
        let record = self.boot_record.zip(catalog);
        pieces.extend(record.map(|(at, catalog)| Placed::bytes(at, el_torito::boot_record(catalog))));
        pieces.extend((self.supplementary..).zip(descriptors).map(|(lba, bytes)| Placed::bytes(lba, bytes)));
        pieces.push(Placed::bytes(self.terminator, descriptor::terminator()));
        pieces
    }
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

/// The lengths alone: enough to know how many records each file needs.
fn unplaced_leaves(tree: &Tree) -> HashMap<LeafId, Extent> {
    let leaf = |item: Item<'_>| match item.node {
        Node::Leaf { id, kind: Kind::File(content), .. } => Some((id, Extent { lba: 0, len: content.len() })),
        _ => None,
    };
    tree.walk().filter_map(leaf).collect()
}

/// Each leaf once, in the order of its first path.
fn place_files<'a>(
    tree: &'a Tree,
    bios: Option<&Bios>,
    leaves: &mut HashMap<LeafId, Extent>,
    cursor: &mut Cursor,
) -> Vec<Placed<'a>> {
    let mut files = Vec::new();
    let mut placed = HashSet::new();
    for item in tree.walk() {
        let Node::Leaf { id, kind: Kind::File(content), .. } = item.node else { continue };
        if !placed.insert(id) {
            continue;
        }
        let extent = cursor.extent(content.len());
        leaves.insert(id, extent);
        let path = item.path;
        let piece = match bios {
            Some(bios) if bios.id == id => Piece::BootImage { path, content, patch: bios.patch },
            _ => Piece::File { path, content },
        };
        files.push(Placed { extent, piece });
    }
    files
}

/// The code for the first sector, if it is what it should be and has
/// something to start.
fn checked_start(image: &Image<'_>, has_bios: bool, esp: Option<&Esp>) -> Result<Option<StartCode>, LayoutError> {
    let start = match &image.system_area {
        SystemArea::None => None,
        SystemArea::Isohybrid { mbr_code } => Some(StartCode::Isohdpfx(mbr_code.clone())),
        SystemArea::Gpt { start } => start.clone(),
    };
    if let Some(code) = &start {
        let (length, expected) = (code.bytes().len(), system_area::expected_len(code));
        if length != expected {
            return Err(LayoutError::MbrCode { length, expected, file: code.file_name() });
        }
        if !has_bios {
            return Err(LayoutError::NothingToStart);
        }
    }
    match (&image.system_area, esp) {
        (SystemArea::Gpt { .. }, Some(Esp::File(_))) => Err(LayoutError::EspInTree),
        _ => Ok(start),
    }
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
