//! Inodes (kernel: fs/squashfs/squashfs_fs.h, `union squashfs_inode`).

use super::ReadError;
use super::fields::{u16_le, u32_le, u64_le};
use super::metadata::{At, Metadata};
use super::superblock::Superblock;
use crate::opened::budget::Budget;

/// `SQUASHFS_INVALID_FRAG` and `SQUASHFS_INVALID_XATTR`.
const NONE: u32 = u32::MAX;
/// As long as a path may be (`PATH_MAX`); the kernel maps longer ones and then fails.
const TARGET_MAX: u32 = 65_535;
/// What is kept for each block of a file.
const BLOCK_COST: u64 = 16;

#[derive(Debug, Clone)]
pub(super) struct Inode {
    pub(super) mode: u16,
    pub(super) uid: u16,
    pub(super) gid: u16,
    pub(super) mtime: u32,
    pub(super) links: u32,
    pub(super) xattrs: Option<u32>,
    pub(super) kind: InodeKind,
}

#[derive(Debug, Clone)]
pub(super) enum InodeKind {
    Dir {
        /// Relative to the directory table.
        block: u32,
        within: u16,
        len: u32,
    },
    File(FileInode),
    Symlink(Vec<u8>),
    BlockDevice(u32),
    CharDevice(u32),
    Fifo,
    Socket,
}

#[derive(Debug, Clone)]
pub(super) struct FileInode {
    /// The first block's, from the image's start.
    pub(super) start: u64,
    pub(super) len: u64,
    /// Its number, and where the file's end stands in it.
    pub(super) fragment: Option<(u32, u32)>,
    /// As stored: a length, and whether it is compressed.
    pub(super) blocks: Vec<u32>,
}

pub(super) fn read(
    metadata: &mut Metadata<'_>,
    superblock: &Superblock,
    mut at: At,
    budget: &mut Budget,
) -> Result<Inode, ReadError> {
    let offset = at.block;
    let head = metadata.take(&mut at, 16)?;
    let mut fields = |len| metadata.take(&mut at, len);
    let optional = |number| Some(number).filter(|number| *number != NONE);
    let (links, xattrs, kind) = match u16_le(&head, 0) {
        1 => {
            let f = fields(16)?;
            let dir = InodeKind::Dir { block: u32_le(&f, 0), within: u16_le(&f, 10), len: u16_le(&f, 8).into() };
            (u32_le(&f, 4), None, dir)
        }
        8 => {
            let f = fields(24)?;
            let dir = InodeKind::Dir { block: u32_le(&f, 8), within: u16_le(&f, 18), len: u32_le(&f, 4) };
            (u32_le(&f, 0), optional(u32_le(&f, 20)), dir)
        }
        2 => {
            let f = fields(16)?;
            let fragment = optional(u32_le(&f, 4)).map(|number| (number, u32_le(&f, 8)));
            let (start, len) = (u32_le(&f, 0).into(), u32_le(&f, 12).into());
            let blocks = block_list(&mut fields, superblock, len, fragment.is_some(), budget)?;
            (1, None, InodeKind::File(FileInode { start, len, fragment, blocks }))
        }
        9 => {
            let f = fields(40)?;
            let fragment = optional(u32_le(&f, 28)).map(|number| (number, u32_le(&f, 32)));
            let (start, len) = (u64_le(&f, 0), u64_le(&f, 8));
            let blocks = block_list(&mut fields, superblock, len, fragment.is_some(), budget)?;
            let file = InodeKind::File(FileInode { start, len, fragment, blocks });
            (u32_le(&f, 24), optional(u32_le(&f, 36)), file)
        }
        kind @ (3 | 10) => {
            let f = fields(8)?;
            let len = u32_le(&f, 4);
            if len == 0 || len > TARGET_MAX {
                return Err(ReadError::Damaged { offset, problem: "a symlink's length cannot be" });
            }
            let target = fields(len as usize)?;
            let xattrs = if kind == 10 { optional(u32_le(&fields(4)?, 0)) } else { None };
            (u32_le(&f, 0), xattrs, InodeKind::Symlink(target))
        }
        kind @ (4 | 5 | 11 | 12) => {
            let f = fields(8)?;
            let xattrs = if kind > 10 { optional(u32_le(&fields(4)?, 0)) } else { None };
            let device = u32_le(&f, 4);
            let is_block = matches!(kind, 4 | 11);
            let kind = if is_block { InodeKind::BlockDevice(device) } else { InodeKind::CharDevice(device) };
            (u32_le(&f, 0), xattrs, kind)
        }
        kind @ (6 | 7 | 13 | 14) => {
            let f = fields(4)?;
            let xattrs = if kind > 12 { optional(u32_le(&fields(4)?, 0)) } else { None };
            let kind = if matches!(kind, 6 | 13) { InodeKind::Fifo } else { InodeKind::Socket };
            (u32_le(&f, 0), xattrs, kind)
        }
        _ => return Err(ReadError::Damaged { offset, problem: "an inode is of no known type" }),
    };
    let (mode, uid, gid) = (u16_le(&head, 2), u16_le(&head, 4), u16_le(&head, 6));
    Ok(Inode { mode, uid, gid, mtime: u32_le(&head, 8), links, xattrs, kind })
}

fn block_list(
    fields: &mut impl FnMut(usize) -> Result<Vec<u8>, ReadError>,
    superblock: &Superblock,
    len: u64,
    has_fragment: bool,
    budget: &mut Budget,
) -> Result<Vec<u32>, ReadError> {
    let size = u64::from(superblock.block_size);
    let count = if has_fragment { len / size } else { len.div_ceil(size) };
    budget.spend(count.saturating_mul(BLOCK_COST)).map_err(ReadError::Excessive)?;
    // In small parts: what is kept never outgrows what stands there.
    let mut blocks = Vec::new();
    let mut left = count as usize;
    while left > 0 {
        let some = left.min(1024);
        blocks.extend(fields(some * 4)?.chunks_exact(4).map(|bytes| u32_le(bytes, 0)));
        left -= some;
    }
    Ok(blocks)
}
