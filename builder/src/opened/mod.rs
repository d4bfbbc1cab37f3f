//! Images opened for reading: anybody's ISO, squashfs, initramfs, FAT image or
//! tar archive as a tree whose contents are read when they are asked for.
//!
//! An image may be truncated, damaged or made to harm whoever reads it: the
//! readers behind this are bounded in memory, time and temporary files.

mod address;
mod budget;
mod follow;
mod probe;
pub mod squashfs;

use tree::{Content, Limits, Provenance, Tree};

pub(crate) use address::esp;
pub use address::{AddressError, Level, Location, locate};
pub use follow::{FollowError, follow};
use probe::Kind;

/// An image, and what is in it.
#[derive(Debug)]
pub struct Opened {
    pub format: Format,
    pub content: Content,
    pub tree: Tree,
}

#[derive(Debug)]
pub enum Format {
    Iso(Box<iso::read::Iso>),
    Squashfs(squashfs::Superblock),
    Initramfs,
    Tar,
    Fat,
}

impl Format {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Iso(_) => "iso",
            Self::Squashfs(_) => "squashfs",
            Self::Initramfs => "initramfs",
            Self::Tar => "tar",
            Self::Fat => "fat",
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{name}: neither an ISO, a squashfs, an initramfs, a FAT image nor a tar archive")]
    Unknown { name: String },
    #[error("{name}: cannot be read")]
    Io { name: String, source: std::io::Error },
    #[error("{name}")]
    Iso { name: String, source: iso::read::ReadError },
    #[error("{name}")]
    Squashfs { name: String, source: squashfs::ReadError },
    #[error("{name}")]
    Fat { name: String, source: iso::fat::FatReadError },
    /// Which names the archive itself.
    #[error(transparent)]
    Archive(#[from] tree::ArchiveError),
}

/// Opens the image in `content`; `name` is for messages.
pub fn open(name: &str, content: Content) -> Result<Opened, OpenError> {
    let from = Provenance::new("the image");
    let named = || name.to_owned();
    let kind = probe::kind(&content).map_err(|source| OpenError::Io { name: named(), source })?;
    let (format, tree) = match kind {
        None => return Err(OpenError::Unknown { name: named() }),
        Some(Kind::Iso) => {
            let failed = |source| OpenError::Iso { name: named(), source };
            let iso = iso::read::Iso::open(content.clone()).map_err(failed)?;
            let tree = iso.tree().map_err(failed)?;
            (Format::Iso(Box::new(iso)), tree)
        }
        Some(Kind::Squashfs) => {
            let failed = |source| OpenError::Squashfs { name: named(), source };
            let superblock = squashfs::superblock(&content).map_err(failed)?;
            (Format::Squashfs(superblock), squashfs::tree(&content).map_err(failed)?)
        }
        Some(Kind::Fat) => {
            let tree = iso::fat::read(&content).map_err(|source| OpenError::Fat { name: named(), source })?;
            (Format::Fat, tree)
        }
        Some(Kind::Cpio) => (Format::Initramfs, tree::cpio::parse(name, &content, limits(&content), &from)?),
        Some(Kind::Tar) => (Format::Tar, tree::tar::parse(name, &content, limits(&content), &from)?),
    };
    Ok(Opened { format, content, tree })
}

/// True if [`open`] would take it for an image.
pub fn is_image(content: &Content) -> bool {
    // What cannot be read is no image for whoever asks; reading it will say why.
    matches!(probe::kind(content), Ok(Some(_)))
}

/// What is compressed goes to a temporary file whole: no archive that is of
/// use packs tighter than this, and bombs pack a thousand times tighter.
fn limits(content: &Content) -> Limits {
    let bytes = content.len().saturating_mul(32).max(128 << 20);
    Limits { bytes, entries: 1 << 19, paths: 64 << 20 }
}
