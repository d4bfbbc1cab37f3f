//! Squashfs 4.0, made by anybody, as a tree: read without trusting a byte of
//! it, with all that it says (hard links, xattrs), and contents decompressed
//! block by block when they are read.

mod codec;
mod fields;
mod file;
mod inode;
mod metadata;
mod superblock;
mod walk;
mod xattrs;

use std::io;

use tree::{Conflict, Content, PathError, Tree, TreePath};

pub use codec::Codec;
pub use superblock::{MAGIC, Superblock};

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("cannot read the image")]
    Io(#[from] io::Error),
    #[error("this is no squashfs: {0}")]
    NotSquashfs(&'static str),
    #[error("compressed with {0}, which is not read here")]
    Codec(&'static str),
    #[error("the squashfs has {len} bytes and should have {wanted}: it is cut short")]
    CutShort { len: u64, wanted: u64 },
    #[error("the squashfs is damaged at what begins at byte {offset}: {problem}")]
    Damaged { offset: u64, problem: &'static str },
    #[error("{path}: the squashfs is damaged: {problem}")]
    Entry { path: TreePath, problem: &'static str },
    #[error("{0} than any sound squashfs has")]
    Excessive(&'static str),
    #[error("{dir}: a name in it cannot be used")]
    Name { dir: TreePath, source: PathError },
    #[error(transparent)]
    Conflict(#[from] Conflict),
}

/// The superblock alone.
pub fn superblock(image: &Content) -> Result<Superblock, ReadError> {
    let head = image.open_at()?.read(0, image.len().min(superblock::LEN))?;
    Superblock::parse(&head, image.len())
}

/// The whole tree; no content is read.
pub fn tree(image: &Content) -> Result<Tree, ReadError> {
    walk::walk(image, &superblock(image)?)
}

#[cfg(test)]
mod tests;
