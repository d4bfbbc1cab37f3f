//! FAT images: the ESP that UEFI reads its loader from.
//!
//! [`layout`] decides where every byte goes and reads no content,
//! [`FatLayout::write`] appends. Every file is one run that begins at a sector
//! of a disc, so that an ISO 9660 record can point at it: see
//! [`crate::EfiImage::Fat`]. [`read`] reads anybody's images.

mod boot_sector;
mod directory;
mod format;
mod geometry;
mod layout;
mod names;
mod read;

use tree::{Tree, TreePath};

pub use format::FatKind;
pub use layout::{FatLayout, layout};
pub use read::{FatReadError, read};

/// What is asked for.
#[derive(Debug, Clone)]
pub struct FatImage<'a> {
    /// Directories and regular files; of the metadata, FAT keeps the time.
    pub tree: &'a Tree,
    /// Up to eleven of `A-Z`, `0-9`, `_`, `-` and space; empty for none.
    pub label: String,
    /// The label's date, and what the serial number is made of.
    pub epoch: i64,
    /// The image is made at least so large, in bytes.
    pub min_len: u64,
}

impl<'a> FatImage<'a> {
    /// No larger than what is in it, and without a label.
    pub fn new(tree: &'a Tree, epoch: i64) -> Self {
        Self { tree, label: String::new(), epoch, min_len: 0 }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FatError {
    #[error("the FAT label {label:?} is not made of 1 to 11 of A-Z, 0-9, _, - and space")]
    Label { label: String },
    #[error("{path}: FAT has directories and regular files only; leave it out or put its target there")]
    Kind { path: TreePath },
    #[error("{path}: FAT cannot have this name: {problem}")]
    Name { path: TreePath, problem: &'static str },
    #[error("{path}: to FAT this is the same name as {other:?}; rename one")]
    SameName { path: TreePath, other: String },
    #[error("{path} has {len} bytes, and a file on FAT has less than 4 GiB")]
    FileTooLarge { path: TreePath, len: u64 },
    #[error(
        "{path} has {entries} entries, long names counted several times, and FAT has room for 65535 in a directory"
    )]
    DirectoryTooLarge { path: TreePath, entries: usize },
    #[error("all files together are more than FAT can count")]
    TooLarge,
}
