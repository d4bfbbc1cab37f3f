//! ISO 9660 images with Rock Ridge and El Torito that boot from a disc and
//! from a stick, written without root and without an external tool.
//!
//! [`Image`] says what is asked for, [`layout`] decides where every byte goes
//! (pure: it reads no content), [`Layout::write`] appends them in order.
//! [`read::Iso`] reads images back, and anybody else's.
//! The crate knows trees and boot images; it knows no kernel and no profile.

mod advice;
mod boot_image;
mod date;
mod descriptor;
mod directory;
mod el_torito;
pub mod fat;
mod format;
mod joliet;
mod label;
mod layout;
mod media_sum;
mod name;
mod placement;
pub mod read;
mod rock_ridge;
mod sink;
mod system_area;
mod volume;
mod write;

use std::collections::BTreeMap;

use tree::{Content, Tree, TreePath};

pub use advice::advice;
pub use format::SECTOR;
pub use label::{LabelError, VolumeId};
pub use layout::{Extent, Layout, LayoutError, layout};
pub use write::WriteError;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Image<'a> {
    pub tree: &'a Tree,
    pub volume_id: VolumeId,
    /// Up to 128 printable ASCII characters, like the next three.
    pub volume_set: String,
    pub publisher: String,
    pub preparer: String,
    pub application: String,
    /// Every date in the volume descriptors, in seconds since 1970; the dates
    /// of files come from the tree.
    pub epoch: i64,
    /// Names for Windows, beside Rock Ridge's for everybody else.
    pub joliet: bool,
    pub boot: Option<Boot>,
    pub system_area: SystemArea,
    /// Sectors of zeros at the end. Drives that read ahead fail on the last
    /// sectors of a disc burnt track-at-once; 150 is what other writers add.
    pub pad_sectors: u32,
    /// Put isomd5sum's checksum into the primary descriptor, for `checkisomd5`
    /// and `rd.live.check`. Contents are then read twice.
    pub media_sum: bool,
}

impl<'a> Image<'a> {
    /// Nothing but the tree and its name: not bootable, not padded.
    pub fn new(tree: &'a Tree, volume_id: VolumeId, epoch: i64) -> Self {
        Self {
            tree,
            volume_id,
            volume_set: String::new(),
            publisher: String::new(),
            preparer: String::new(),
            application: String::new(),
            epoch,
            joliet: false,
            boot: None,
            system_area: SystemArea::None,
            pad_sectors: 0,
            media_sum: false,
        }
    }
}

/// El Torito: what firmware starts from a disc. The catalog itself has no
/// name in the tree.
#[derive(Debug, Clone, Default)]
pub struct Boot {
    pub bios: Option<BiosImage>,
    pub efi: Option<EfiImage>,
}

/// A no-emulation boot image among the tree's files.
#[derive(Debug, Clone)]
pub struct BiosImage {
    pub path: TreePath,
    /// Tell the image where it stands: isolinux.bin and GRUB's eltorito.img
    /// find the rest of themselves so.
    pub boot_info_table: bool,
    /// GRUB's own pointer beside it.
    pub grub2_boot_info: bool,
    /// How much firmware loads, in units of 512 bytes. 4 is what BIOSes are
    /// tested with.
    pub load_sectors: u16,
}

impl BiosImage {
    pub fn isolinux(path: TreePath) -> Self {
        Self { path, boot_info_table: true, grub2_boot_info: false, load_sectors: 4 }
    }
}

/// The ESP: a FAT image that UEFI looks for its loader in.
#[derive(Debug, Clone)]
pub enum EfiImage {
    /// A file of the tree.
    File(TreePath),
    /// Put behind the tree's files, at a multiple of 1 MiB, without a name.
    Appended(Content),
    /// The same for one that has not been written yet.
    Fat {
        layout: fat::FatLayout,
        /// Files of the image's tree (the keys) that stand in the ESP: their
        /// records point into it, and their bytes are in the image once. The
        /// contents have to be the same; only the lengths are compared. A
        /// first partition that ends before the ESP does not show them.
        shared: BTreeMap<TreePath, InEsp>,
    },
}

/// What a file of the image's tree is in the ESP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InEsp {
    /// A whole file.
    File(TreePath),
    /// What stands in a file from the byte `at`, a multiple of [`SECTOR`].
    Stretch { of: TreePath, at: u64 },
}

impl InEsp {
    fn path(&self) -> &TreePath {
        match self {
            Self::File(path) | Self::Stretch { of: path, .. } => path,
        }
    }
}

/// What the first 32 KiB hold: how the image boots when it is a disk. Without
/// a [`StartCode`] no BIOS starts it from a stick: that is for UEFI alone.
#[derive(Debug, Clone)]
pub enum SystemArea {
    None,
    /// One active MBR partition over the whole image, and one over the ESP.
    /// They overlap, which partition tools complain of and no BIOS does.
    Isohybrid {
        start: StartCode,
    },
    /// A valid GPT whose first partition can be mounted by itself, and whose
    /// second is the ESP, which must not be among the tree's files for that.
    Gpt {
        start: Option<StartCode>,
    },
    /// The same two partitions in an MBR, the first one active, and no GPT.
    Mbr {
        start: Option<StartCode>,
    },
}

impl SystemArea {
    fn start(&self) -> Option<&StartCode> {
        match self {
            Self::None => None,
            Self::Isohybrid { start } => Some(start),
            Self::Gpt { start } | Self::Mbr { start } => start.as_ref(),
        }
    }

    /// The first partition begins behind a system area of its own, and has
    /// volume descriptors of its own.
    fn has_iso_partition(&self) -> bool {
        matches!(self, Self::Gpt { .. } | Self::Mbr { .. })
    }
}

/// What a BIOS runs from the first sector: it loads the BIOS boot image.
#[derive(Debug, Clone)]
pub enum StartCode {
    /// syslinux's `isohdpfx.bin`, 432 bytes.
    Isohdpfx(Vec<u8>),
    /// GRUB's `boot_hybrid.img`, 512 bytes.
    BootHybrid(Vec<u8>),
}

impl StartCode {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Isohdpfx(bytes) | Self::BootHybrid(bytes) => bytes,
        }
    }

    fn file_name(&self) -> &'static str {
        match self {
            Self::Isohdpfx(_) => "isohdpfx.bin",
            Self::BootHybrid(_) => "boot_hybrid.img",
        }
    }
}
