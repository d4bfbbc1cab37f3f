//! A file's bytes, made from its blocks when they are read.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tree::{ContentAt, Made};

use super::Codec;
use super::inode::FileInode;

/// In a block's stored length: it is not compressed (`SQUASHFS_COMPRESSED_BIT_BLOCK`).
const PLAIN: u32 = 1 << 24;

/// What all files of an image share.
#[derive(Debug)]
pub(super) struct Blocks {
    pub(super) image: ContentAt,
    pub(super) codec: Codec,
    pub(super) block_size: u32,
    /// The block that was read last, by where it stands: files are read from
    /// front to back, and small ones share a fragment.
    pub(super) last: Mutex<Option<(u64, Arc<[u8]>)>>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Fragment {
    pub(super) start: u64,
    pub(super) stored: u32,
    /// Where the file's end stands in it.
    pub(super) within: u32,
}

#[derive(Debug)]
pub(super) struct File {
    shared: Arc<Blocks>,
    len: u64,
    /// Where each block stands, and how it is stored; behind the last one, the fragment.
    blocks: Box<[(u64, u32)]>,
    fragment: Option<Fragment>,
}

impl File {
    /// `None` for blocks that stand outside of the image.
    pub(super) fn new(
        shared: Arc<Blocks>,
        inode: &FileInode,
        fragment: Option<Fragment>,
        image_len: u64,
    ) -> Option<Self> {
        let mut at = inode.start;
        let mut blocks = Vec::with_capacity(inode.blocks.len());
        for &stored in &inode.blocks {
            blocks.push((at, stored));
            at = at.checked_add(u64::from(stored & !PLAIN)).filter(|end| *end <= image_len)?;
        }
        Some(Self { shared, len: inode.len, blocks: blocks.into(), fragment })
    }

    fn block(&self, number: u64) -> io::Result<Option<Arc<[u8]>>> {
        match self.blocks.get(usize::try_from(number).unwrap_or(usize::MAX)) {
            Some((_, 0)) => Ok(None),
            Some((at, stored)) => self.shared.read(*at, *stored).map(Some),
            None => match self.fragment {
                Some(fragment) => self.shared.read(fragment.start, fragment.stored).map(Some),
                None => Err(damaged(0)),
            },
        }
    }
}

impl Made for File {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let size = u64::from(self.shared.block_size);
        let number = at / size;
        let within = (at % size) as usize;
        let left = ((self.len - number * size).min(size) as usize).saturating_sub(within).min(buf.len());
        let Some(block) = self.block(number)? else {
            buf[..left].fill(0);
            return Ok(left);
        };
        let is_fragment = number >= self.blocks.len() as u64;
        let from = within + if is_fragment { self.fragment.map_or(0, |fragment| fragment.within as usize) } else { 0 };
        let run = block.get(from..).and_then(|rest| rest.get(..left)).ok_or_else(|| damaged(at))?;
        buf[..left].copy_from_slice(run);
        Ok(left)
    }
}

impl Blocks {
    fn read(&self, at: u64, stored: u32) -> io::Result<Arc<[u8]>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, block)) = &*last
            && *known == at
        {
            return Ok(block.clone());
        }
        let len = u64::from(stored & !PLAIN);
        if len > u64::from(self.block_size) {
            return Err(damaged(at));
        }
        let bytes = self.image.read(at, len)?;
        let block: Arc<[u8]> = if stored & PLAIN != 0 {
            bytes.into()
        } else {
            self.codec.decompress(&bytes, self.block_size as usize).ok_or_else(|| damaged(at))?.into()
        };
        *last = Some((at, block.clone()));
        Ok(block)
    }
}

fn damaged(at: u64) -> io::Error {
    let text = format!("the squashfs is damaged: the block at byte {at} does not decompress to what it should");
    io::Error::new(io::ErrorKind::InvalidData, text)
}
