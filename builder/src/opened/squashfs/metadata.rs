//! Metadata: tables of up to 8 KiB long blocks, each compressed by itself,
//! addressed by where a block begins in the image and a place within it.

use std::collections::VecDeque;
use std::rc::Rc;

use tree::ContentAt;

use super::fields::{u16_le, u64_le};
use super::{Codec, ReadError};

/// `SQUASHFS_METADATA_SIZE`.
pub(super) const BLOCK: usize = 8192;
/// In a block's head: what follows is not compressed.
const PLAIN: u16 = 1 << 15;

/// Blocks kept decompressed: inodes and directories are read in two places at once.
const KEPT: usize = 128;

/// What one image may make us decompress. Tables of half a million entries
/// have a fifth of that, and blocks that were let go of are read twice.
const BUDGET: u64 = 256 << 20;

/// A place in metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct At {
    /// From the image's start.
    pub(super) block: u64,
    pub(super) within: u16,
}

impl At {
    /// The on-disk form: a block relative to its table, and 16 bits within.
    pub(super) fn new(table: u64, reference: u64) -> Option<Self> {
        Some(Self { block: table.checked_add(reference >> 16)?, within: (reference & 0xffff) as u16 })
    }
}

#[derive(Debug)]
pub(super) struct Metadata<'a> {
    image: &'a ContentAt,
    codec: Codec,
    len: u64,
    left: u64,
    kept: VecDeque<(u64, Rc<Block>)>,
}

#[derive(Debug)]
struct Block {
    bytes: Vec<u8>,
    /// Where the block behind it begins.
    next: u64,
}

impl<'a> Metadata<'a> {
    pub(super) fn new(image: &'a ContentAt, codec: Codec, len: u64) -> Self {
        Self { image, codec, len, left: BUDGET, kept: VecDeque::new() }
    }

    /// The next `len` bytes, from as many blocks as they stand in; leaves `at`
    /// behind them.
    pub(super) fn take(&mut self, at: &mut At, len: usize) -> Result<Vec<u8>, ReadError> {
        let mut out = Vec::new();
        loop {
            let block = self.block(at.block)?;
            let rest =
                block.bytes.get(usize::from(at.within)..).ok_or_else(|| damaged(at.block, "a place behind its end"))?;
            let run = &rest[..rest.len().min(len - out.len())];
            out.extend_from_slice(run);
            at.within += run.len() as u16;
            if out.len() == len {
                return Ok(out);
            }
            if block.bytes.len() < BLOCK {
                return Err(damaged(at.block, "the table ends in the middle of something"));
            }
            *at = At { block: block.next, within: 0 };
        }
    }

    fn block(&mut self, at: u64) -> Result<Rc<Block>, ReadError> {
        if let Some((_, block)) = self.kept.iter().find(|(start, _)| *start == at) {
            return Ok(block.clone());
        }
        let body =
            at.checked_add(2).filter(|body| *body <= self.len).ok_or_else(|| damaged(at, "it stands outside"))?;
        let head = u16_le(&self.image.read(at, 2)?, 0);
        let len = u64::from(head & !PLAIN);
        if len == 0 || len > BLOCK as u64 || body + len > self.len {
            return Err(damaged(at, "its length cannot be"));
        }
        let stored = self.image.read(body, len)?;
        let bytes = if head & PLAIN != 0 {
            stored
        } else {
            self.left = self.left.checked_sub(BLOCK as u64).ok_or(ReadError::Excessive("its tables take more work"))?;
            self.codec.decompress(&stored, BLOCK).ok_or_else(|| damaged(at, "it does not decompress"))?
        };
        let block = Rc::new(Block { bytes, next: body + len });
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back((at, block.clone()));
        Ok(block)
    }

    /// Entry `number` of a table of `width` bytes long entries whose blocks
    /// are listed, eight bytes each, at `list`.
    pub(super) fn listed(&mut self, list: u64, number: u32, width: usize) -> Result<Vec<u8>, ReadError> {
        let per_block = (BLOCK / width) as u32;
        let pointer = list.checked_add(u64::from(number / per_block) * 8);
        let pointer = pointer.filter(|at| *at < self.len).ok_or_else(|| damaged(list, "it is too short"))?;
        let block = u64_le(&self.image.read(pointer, 8)?, 0);
        let mut at = At { block, within: (number % per_block) as u16 * width as u16 };
        self.take(&mut at, width)
    }
}

fn damaged(offset: u64, problem: &'static str) -> ReadError {
    ReadError::Damaged { offset, problem }
}
