//! The contents of all files, block by block: what is a hole, what is there
//! already, and what goes on its way to the codec.

use std::collections::HashMap;
use std::io::Read;
use std::ops::Range;

use tree::TreePath;

use super::blocks::{Feed, len_on_disk};
use super::dedup::{self, Piece, Placed};
use super::fragments::{Fragments, Tail};
use super::inventory::File;
use super::{Options, SquashfsError};

/// Where a content is.
#[derive(Debug, Default)]
pub(super) struct Stored {
    /// The numbers of its blocks are in a row from here; holes have none.
    first: usize,
    blocks: usize,
    /// Which of its blocks are holes, counted from 0.
    holes: Vec<usize>,
    /// How many bytes the holes stand for.
    pub(super) sparse: u64,
    pub(super) tail: Option<Tail>,
}

impl Stored {
    /// The words of its blocks; a hole's is 0.
    pub(super) fn words<'a>(&'a self, all: &'a [u32]) -> impl Iterator<Item = u32> + 'a {
        let mut holes = self.holes.iter().copied().peekable();
        let mut written = all[self.first..].iter().copied();
        (0..self.blocks).map(move |n| match holes.next_if_eq(&n) {
            Some(_) => 0,
            None => written.next().unwrap_or_default(),
        })
    }

    /// The number of its first block, if it has one.
    pub(super) fn first(&self) -> Option<usize> {
        self.numbers().next()
    }

    /// The numbers of its blocks, holes left out.
    pub(super) fn numbers(&self) -> Range<usize> {
        self.first..self.first + (self.blocks - self.holes.len())
    }
}

/// Everything that was read, and where it went.
#[derive(Debug)]
pub(super) struct Packed {
    pub(super) stored: Vec<Stored>,
    /// For each file, its place in `stored`.
    pub(super) places: Vec<usize>,
    /// The number of each fragment's block.
    pub(super) fragments: Vec<usize>,
    /// Bytes of files that were there already.
    pub(super) duplicate: u64,
}

pub(super) fn pack(files: &[File<'_>], options: &Options, feed: &mut Feed) -> Result<Packed, SquashfsError> {
    let mut packer = Packer::new(files, options, feed);
    packer.packed.places.resize(files.len(), 0);
    for n in order(files, &options.first) {
        packer.packed.places[n] = packer.file(&files[n])?;
    }
    let mut packed = packer.packed;
    packed.fragments = packer.fragments.finish(packer.feed)?;
    Ok(packed)
}

/// The files as they are stored: the listed ones as listed, then the rest.
fn order(files: &[File<'_>], first: &[TreePath]) -> Vec<usize> {
    let mut ranks = HashMap::new();
    for (rank, path) in first.iter().enumerate() {
        ranks.entry(path).or_insert(rank);
    }
    let mut order: Vec<usize> = (0..files.len()).collect();
    order.sort_by_key(|n| ranks.get(files[*n].path).copied().unwrap_or(usize::MAX));
    order
}

struct Packer<'a, 'f> {
    feed: &'f mut Feed,
    block_size: usize,
    tail_packing: bool,
    fragments: Fragments,
    /// Files that have blocks, by place in [`Packed::stored`].
    whole: Placed<'a, usize>,
    tails: Placed<'a, Tail>,
    packed: Packed,
}

impl<'a, 'f> Packer<'a, 'f> {
    fn new(files: &[File<'a>], options: &Options, feed: &'f mut Feed) -> Self {
        let block_size = options.block_size.bytes();
        let lens = || files.iter().map(|file| file.content.len());
        let with_blocks = lens().filter(|len| *len >= block_size as u64);
        let tails = lens().map(|len| tail_len(len, block_size, options.tail_packing) as u64).filter(|len| *len > 0);
        let packed = Packed { stored: Vec::new(), places: Vec::new(), fragments: Vec::new(), duplicate: 0 };
        Self {
            feed,
            block_size,
            tail_packing: options.tail_packing,
            fragments: Fragments::default(),
            whole: Placed::new(with_blocks),
            tails: Placed::new(tails),
            packed,
        }
    }

    fn file(&mut self, file: &File<'a>) -> Result<usize, SquashfsError> {
        let len = file.content.len();
        if len == 0 {
            return Ok(self.store(Stored::default()));
        }
        let failed = read_error(file.path);
        let mut reader = file.content.reader().map_err(failed)?;
        let tail_len = tail_len(len, self.block_size, self.tail_packing);
        let mut stored = Stored::default();
        let mut left = len;
        let mut mark = None;
        while left > tail_len as u64 {
            let mut buffer = self.feed.buffer()?;
            let take = left.min(self.block_size as u64) as usize;
            reader.read_exact(buffer.fill(take)).map_err(failed)?;
            if left == len {
                mark = self.whole.mark(len, buffer.bytes());
                let piece = Piece { content: file.content, offset: 0, len };
                let found = mark.map(|mark| self.whole.find(mark, piece)).transpose().map_err(failed)?;
                if let Some(place) = found.flatten() {
                    self.feed.keep(buffer);
                    self.packed.duplicate += len;
                    return Ok(place);
                }
            }
            if is_zero(buffer.bytes()) {
                stored.holes.push(stored.blocks);
                stored.sparse += take as u64;
                self.feed.keep(buffer);
            } else {
                let number = self.feed.send(buffer)?;
                if stored.first().is_none() {
                    stored.first = number;
                }
            }
            stored.blocks += 1;
            left -= take as u64;
        }
        if tail_len > 0 {
            if begins_fragment(file.path) {
                self.fragments.close(self.feed)?;
            }
            let mut buffer = self.feed.buffer()?;
            reader.read_exact(buffer.fill(tail_len)).map_err(failed)?;
            stored.tail = Some(self.tail(file, buffer.bytes())?);
            self.feed.keep(buffer);
        }
        let place = self.store(stored);
        if let Some(mark) = mark {
            self.whole.add(mark, Piece { content: file.content, offset: 0, len }, place);
        }
        Ok(place)
    }

    fn tail(&mut self, file: &File<'a>, bytes: &[u8]) -> Result<Tail, SquashfsError> {
        let len = bytes.len() as u64;
        let Some(mark) = self.tails.mark(len, bytes) else { return self.fragments.add(self.feed, bytes) };
        if let Some(tail) = self.tails.find_bytes(mark, bytes).map_err(read_error(file.path))? {
            self.packed.duplicate += len;
            return Ok(tail);
        }
        let tail = self.fragments.add(self.feed, bytes)?;
        self.tails.add(mark, Piece { content: file.content, offset: file.content.len() - len, len }, tail);
        Ok(tail)
    }

    fn store(&mut self, stored: Stored) -> usize {
        self.packed.stored.push(stored);
        self.packed.stored.len() - 1
    }
}

/// One path in about a thousand begins a fragment block of its own. Without
/// that, a file that grows would shift what stands in all fragments behind it,
/// and a new image would share none of them with the old one.
fn begins_fragment(path: &TreePath) -> bool {
    const ONE_IN: u64 = 1024;
    dedup::fingerprint(path.as_bytes()) >> 32 & (ONE_IN - 1) == 0
}

/// How much of a file's end goes into a fragment.
fn tail_len(len: u64, block_size: usize, tail_packing: bool) -> usize {
    let in_fragment = len < block_size as u64 || tail_packing;
    if in_fragment { (len % block_size as u64) as usize } else { 0 }
}

fn read_error(path: &TreePath) -> impl Fn(std::io::Error) -> SquashfsError + Copy + '_ {
    |source| SquashfsError::Read { path: path.clone(), source }
}

fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<64>();
    words.iter().all(|word| *word == [0; 64]) && rest.iter().all(|byte| *byte == 0)
}

/// Where each block starts, if the first is at `at`.
pub(super) fn starts(words: &[u32], mut at: u64) -> Vec<u64> {
    let next = |word: &u32| {
        let start = at;
        at += len_on_disk(*word);
        start
    };
    words.iter().map(next).collect()
}
