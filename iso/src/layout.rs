//! Where every byte of an image goes, decided before the first is written.
//! Nothing here reads content.

use std::collections::HashMap;

use tree::{Content, Item, Kind, LeafId, Node, Tree, TreePath};

use crate::descriptor::{self, Anchors, Texts};
use crate::directory::{ByteOrder, DirectoryExtent, Hierarchy, Places};
use crate::el_torito::{self, CatalogEntry, Patch, Platform};
use crate::format::{DIRECTORIES_MAX, SECTOR, SYSTEM_AREA_SECTORS, sectors};
use crate::system_area::{self, CYLINDER, MBR_CODE_LEN};
use crate::{BiosImage, EfiImage, Image, SystemArea};

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
    #[error("the MBR code has {length} bytes and must have {MBR_CODE_LEN}: isohdpfx.bin is meant")]
    MbrCode { length: usize },
    #[error("an isohybrid MBR starts the BIOS boot image, and there is none; name one, or leave the system area empty")]
    NothingToStart,
}

/// A boot image is patched in memory. GRUB's largest are below 3 MiB.
const BOOT_IMAGE_MAX: u64 = 16 << 20;

/// fs/isofs/rock.c puts a target together in one page.
const SYMLINK_MAX: usize = 4095;

/// What sectors are filled with.
#[derive(Debug)]
pub(crate) enum Piece<'a> {
    Bytes(Vec<u8>),
    /// Rendered when it is its turn: the directories of a large tree need not
    /// stand in memory together.
    Directory(usize),
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

/// See [`layout`].
#[derive(Debug)]
pub struct Layout<'a> {
    tree: &'a Tree,
    hierarchy: Hierarchy<'a>,
    directories: Vec<DirectoryExtent>,
    leaves: HashMap<LeafId, Extent>,
    pub(crate) pieces: Vec<Placed<'a>>,
    sectors: u32,
}

/// Hands out sectors in ascending order.
struct Cursor {
    next: u64,
}

impl Cursor {
    fn take(&mut self, sectors: u64) -> u32 {
        let at = self.next;
        self.next += sectors;
        // What does not fit is found at the end, when the sum is known.
        u32::try_from(at).unwrap_or(u32::MAX)
    }

    fn align(&mut self, bytes: u64) {
        self.next = self.next.next_multiple_of(bytes / SECTOR as u64);
    }

    fn end(&self) -> Result<u32, LayoutError> {
        u32::try_from(self.next).map_err(|_| LayoutError::TooLarge { sectors: self.next })
    }
}

/// Decides where everything goes: system area, volume descriptors, path
/// tables, directories, boot catalog, files, ESP, padding.
pub fn layout<'a>(image: &Image<'a>) -> Result<Layout<'a>, LayoutError> {
    let texts = Texts::new(image)?;
    let boot = image.boot.clone().unwrap_or_default();
    let bios = boot.bios.as_ref().map(|bios| checked_bios(image.tree, bios)).transpose()?;
    let esp = match &boot.efi {
        Some(EfiImage::File(path)) => Some(Esp::File(boot_file(image.tree, path)?)),
        Some(EfiImage::Appended(content)) => Some(Esp::Appended(content.clone())),
        None => None,
    };
    check_symlinks(image.tree)?;
    let hierarchy = Hierarchy::new(image.tree);
    if hierarchy.len() > DIRECTORIES_MAX {
        return Err(LayoutError::TooManyDirectories { count: hierarchy.len() });
    }

    let mut cursor = Cursor { next: u64::from(SYSTEM_AREA_SECTORS) };
    let primary_descriptor = cursor.take(1);
    let bootable = bios.is_some() || esp.is_some();
    let boot_record = bootable.then(|| cursor.take(1));
    let terminator = cursor.take(1);
    let table_len = hierarchy.path_table_len() as u64;
    let table_little = cursor.take(sectors(table_len));
    let table_big = cursor.take(sectors(table_len));

    let lengths = leaf_lengths(image.tree);
    let unplaced = lengths.iter().map(|(&id, &len)| (id, Extent { lba: 0, len })).collect();
    let mut directories = hierarchy.measure(&unplaced);
    for directory in &mut directories {
        directory.lba = cursor.take(u64::from(directory.sectors) + u64::from(directory.continuation_sectors));
    }
    let catalog = bootable.then(|| cursor.take(1));

    let mut leaves = HashMap::new();
    let mut files = Vec::new();
    for item in image.tree.walk() {
        if let Node::Leaf { id, kind: Kind::File(content), .. } = item.node
            && !leaves.contains_key(&id)
        {
            let extent = Extent { lba: cursor.take(sectors(content.len())), len: content.len() };
            leaves.insert(id, extent);
            let piece = match &bios {
                Some(bios) if bios.id == id => Piece::BootImage { path: item.path, content, patch: bios.patch },
                _ => Piece::File { path: item.path, content },
            };
            files.push(Placed { extent, piece });
        }
    }
    let esp = esp.map(|esp| match esp {
        Esp::File((id, _)) => (leaves[&id], None),
        Esp::Appended(content) => {
            cursor.align(CYLINDER);
            let extent = Extent { lba: cursor.take(sectors(content.len())), len: content.len() };
            (extent, Some(content))
        }
    });
    cursor.take(u64::from(image.pad_sectors));
    if let SystemArea::Isohybrid { .. } = image.system_area {
        cursor.align(CYLINDER);
    }
    let end = cursor.end()?;

    let mut pieces = Vec::new();
    let mut place = |lba: u32, piece: Vec<u8>| {
        pieces.push(Placed { extent: Extent { lba, len: piece.len() as u64 }, piece: Piece::Bytes(piece) });
    };
    if let SystemArea::Isohybrid { mbr_code } = &image.system_area {
        if mbr_code.len() != MBR_CODE_LEN {
            return Err(LayoutError::MbrCode { length: mbr_code.len() });
        }
        let start = bios.as_ref().ok_or(LayoutError::NothingToStart)?;
        let image_len = u64::from(end) * SECTOR as u64;
        place(0, system_area::isohybrid(mbr_code, leaves[&start.id].lba, texts.disk_id(), image_len));
    }
    let places = Places { directories: &directories, leaves: &leaves };
    let anchors = Anchors {
        volume_sectors: end,
        path_table_len: table_len as u32,
        path_table_little: table_little,
        path_table_big: table_big,
        root_record: hierarchy.root_record(places),
    };
    place(primary_descriptor, descriptor::primary(&texts, &anchors));
    if let (Some(at), Some(catalog)) = (boot_record, catalog) {
        place(at, el_torito::boot_record(catalog));
    }
    place(terminator, descriptor::terminator());
    place(table_little, hierarchy.path_table(ByteOrder::Little, &directories));
    place(table_big, hierarchy.path_table(ByteOrder::Big, &directories));
    for (n, directory) in directories.iter().enumerate() {
        let len = u64::from(directory.sectors + directory.continuation_sectors) * SECTOR as u64;
        pieces.push(Placed { extent: Extent { lba: directory.lba, len }, piece: Piece::Directory(n) });
    }
    if let Some(at) = catalog {
        let bios = bios.as_ref().map(|bios| bios.entry(leaves[&bios.id].lba));
        let efi = esp.as_ref().map(|(extent, _)| efi_entry(*extent));
        let entries: Vec<_> = bios.into_iter().chain(efi).collect();
        let catalog = el_torito::catalog(&entries);
        pieces.push(Placed { extent: Extent { lba: at, len: catalog.len() as u64 }, piece: Piece::Bytes(catalog) });
    }
    pieces.extend(files);
    if let Some((extent, Some(content))) = esp {
        pieces.push(Placed { extent, piece: Piece::Appended(content) });
    }
    Ok(Layout { tree: image.tree, hierarchy, directories, leaves, pieces, sectors: end })
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

    pub(crate) fn directory(&self, n: usize) -> Vec<u8> {
        self.hierarchy.render(n, Places { directories: &self.directories, leaves: &self.leaves })
    }
}

/// A BIOS boot image that was found and has room for what it is to be told.
struct Bios {
    id: LeafId,
    patch: Patch,
    load_sectors: u16,
}

impl Bios {
    fn entry(&self, lba: u32) -> CatalogEntry {
        CatalogEntry { platform: Platform::X86, lba, load_sectors: self.load_sectors }
    }
}

enum Esp<'a> {
    File((LeafId, &'a Content)),
    Appended(Content),
}

fn efi_entry(extent: Extent) -> CatalogEntry {
    CatalogEntry {
        platform: Platform::Efi,
        lba: extent.lba,
        load_sectors: u16::try_from(extent.len.div_ceil(512)).unwrap_or(0),
    }
}

fn checked_bios(tree: &Tree, bios: &BiosImage) -> Result<Bios, LayoutError> {
    let (id, content) = boot_file(tree, &bios.path)?;
    let patch = Patch { info_table: bios.boot_info_table, grub2_info: bios.grub2_boot_info };
    let (path, length, needed) = (bios.path.clone(), content.len(), patch.needs().max(1));
    if length < needed {
        return Err(LayoutError::BootImageTooShort { path, length, needed });
    }
    if length > BOOT_IMAGE_MAX {
        return Err(LayoutError::BootImageTooLong { path, length, limit: BOOT_IMAGE_MAX });
    }
    Ok(Bios { id, patch, load_sectors: bios.load_sectors })
}

fn boot_file<'a>(tree: &'a Tree, path: &TreePath) -> Result<(LeafId, &'a Content), LayoutError> {
    let item = tree.get(path).ok_or_else(|| LayoutError::BootImageMissing { path: path.clone() })?;
    match item.node {
        Node::Leaf { id, kind: Kind::File(content), .. } => Ok((id, content)),
        _ => Err(LayoutError::BootImageNotAFile { path: path.clone() }),
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

fn leaf_lengths(tree: &Tree) -> HashMap<LeafId, u64> {
    let length = |item: Item<'_>| match item.node {
        Node::Leaf { id, kind: Kind::File(content), .. } => Some((id, content.len())),
        _ => None,
    };
    tree.walk().filter_map(length).collect()
}
