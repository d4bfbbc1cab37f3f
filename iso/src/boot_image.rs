//! The boot images an image was asked to have, found in its tree and checked.

use std::collections::{BTreeMap, HashMap};

use tree::{Content, Kind, LeafId, Node, Tree, TreePath};

use crate::el_torito::{CatalogEntry, Patch, Platform};
use crate::fat::FatLayout;
use crate::format::SECTOR;
use crate::layout::{Extent, LayoutError};
use crate::{BiosImage, EfiImage, InEsp};

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
    Appended {
        body: EspBody,
        /// Leaves of the tree that stand in it, counted from its beginning.
        shared: HashMap<LeafId, Extent>,
    },
}

/// What is appended.
#[derive(Debug, Clone)]
pub(crate) enum EspBody {
    Content(Content),
    Fat(FatLayout),
}

impl EspBody {
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Content(content) => content.len(),
            Self::Fat(layout) => layout.len(),
        }
    }
}

impl Esp {
    pub(crate) fn find(tree: &Tree, asked: EfiImage, bios: Option<&Bios>) -> Result<Self, LayoutError> {
        match asked {
            EfiImage::File(path) => file(tree, &path).map(|(id, _)| Self::File(id)),
            EfiImage::Appended(content) => {
                Ok(Self::Appended { body: EspBody::Content(content), shared: HashMap::new() })
            }
            EfiImage::Fat { layout, shared } => {
                let shared = find_shared(tree, &layout, shared, bios)?;
                Ok(Self::Appended { body: EspBody::Fat(layout), shared })
            }
        }
    }
}

fn find_shared(
    tree: &Tree,
    esp: &FatLayout,
    asked: BTreeMap<TreePath, InEsp>,
    bios: Option<&Bios>,
) -> Result<HashMap<LeafId, Extent>, LayoutError> {
    let mut found = HashMap::new();
    for (path, in_esp) in asked {
        let refuse = |problem| LayoutError::NotShared { path: path.clone(), in_esp: in_esp.path().clone(), problem };
        let Some(Node::Leaf { id, kind: Kind::File(content), .. }) = tree.get(&path).map(|item| item.node) else {
            return Err(refuse("it is no regular file of the tree"));
        };
        let whole = esp.extent(in_esp.path()).ok_or_else(|| refuse("that is no file of the ESP"))?;
        let extent = match in_esp {
            InEsp::File(_) if whole.len != content.len() => {
                return Err(refuse("their lengths differ, so they are not the same"));
            }
            InEsp::File(_) => whole,
            InEsp::Stretch { at, .. } => stretch(whole, at, content.len())
                .ok_or_else(|| refuse("it begins at no sector, or reaches past its end"))?,
        };
        if bios.is_some_and(|bios| bios.id == id) {
            return Err(refuse("the BIOS boot image is told where it stands, which changes it"));
        }
        // Nothing takes no room either way.
        if extent.len > 0 {
            found.insert(id, extent);
        }
    }
    Ok(found)
}

/// `len` bytes of it from the byte `at` on.
fn stretch(whole: Extent, at: u64, len: u64) -> Option<Extent> {
    let sector = SECTOR as u64;
    let fits = at.is_multiple_of(sector) && at.checked_add(len)? <= whole.len;
    fits.then_some(Extent { lba: whole.lba.checked_add(u32::try_from(at / sector).ok()?)?, len })
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
