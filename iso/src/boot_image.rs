//! The boot images an image was asked to have, found in its tree and checked.

use tree::{Content, Kind, LeafId, Node, Tree, TreePath};

use crate::el_torito::{CatalogEntry, Patch, Platform};
use crate::layout::{Extent, LayoutError};
use crate::{BiosImage, EfiImage};

/// A boot image is patched in memory. GRUB's largest are below 3 MiB.
const LENGTH_MAX: u64 = 16 << 20;

/// A BIOS boot image that has room for what it is to be told.
pub(crate) struct Bios {
    pub(crate) id: LeafId,
    pub(crate) patch: Patch,
    load_sectors: u16,
}

impl Bios {
    pub(crate) fn find(tree: &Tree, asked: &BiosImage) -> Result<Self, LayoutError> {
        let (id, content) = file(tree, &asked.path)?;
        let patch = Patch { info_table: asked.boot_info_table, grub2_info: asked.grub2_boot_info };
        let (path, length, needed) = (asked.path.clone(), content.len(), patch.needs().max(1));
        if length < needed {
            return Err(LayoutError::BootImageTooShort { path, length, needed });
        }
        if length > LENGTH_MAX {
            return Err(LayoutError::BootImageTooLong { path, length, limit: LENGTH_MAX });
        }
        Ok(Self { id, patch, load_sectors: asked.load_sectors })
    }

    pub(crate) fn entry(&self, lba: u32) -> CatalogEntry {
        CatalogEntry { platform: Platform::X86, lba, load_sectors: self.load_sectors }
    }
}

/// [`EfiImage`], found.
pub(crate) enum Esp {
    File(LeafId),
    Appended(Content),
}

impl Esp {
    pub(crate) fn find(tree: &Tree, asked: EfiImage) -> Result<Self, LayoutError> {
        match asked {
            EfiImage::File(path) => file(tree, &path).map(|(id, _)| Self::File(id)),
            EfiImage::Appended(content) => Ok(Self::Appended(content)),
        }
    }
}

pub(crate) fn efi_entry(esp: Extent) -> CatalogEntry {
    CatalogEntry { platform: Platform::Efi, lba: esp.lba, load_sectors: efi_load_sectors(esp.len) }
}

pub(crate) fn efi_load_sectors(len: u64) -> u16 {
    u16::try_from(len.div_ceil(512)).unwrap_or(CatalogEntry::TO_THE_END)
}

fn file<'a>(tree: &'a Tree, path: &TreePath) -> Result<(LeafId, &'a Content), LayoutError> {
    let item = tree.get(path).ok_or_else(|| LayoutError::BootImageMissing { path: path.clone() })?;
    match item.node {
        Node::Leaf { id, kind: Kind::File(content), .. } => Ok((id, content)),
        _ => Err(LayoutError::BootImageNotAFile { path: path.clone() }),
    }
}
