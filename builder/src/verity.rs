//! dm-verity's hash tree over an image, made while the image is written: byte
//! for byte what `veritysetup format` makes with the same salt and UUID.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

use init::verity::{BLOCK, Superblock, levels};
use sha2::{Digest, Sha256};

#[derive(Debug, thiserror::Error)]
pub enum VerityError {
    #[error("an image of {0} bytes: dm-verity covers whole blocks of 4096, and at least one")]
    Size(u64),
    #[error("its hash tree cannot be written")]
    Write(#[source] io::Error),
}

pub type RootHash = [u8; 32];

/// What goes before every block: another image's name gives other hashes.
/// Known before the first byte of the image is.
#[must_use]
pub fn salt(image: &str) -> RootHash {
    derived("salt", image.as_bytes())
}

fn derived(what: &str, from: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(format!("liveroot verity {what}")).chain_update(from).finalize().into()
}

/// Hashes an image's blocks while they are on their way to `inner`, so that
/// nobody has to read them again. The first block may be written twice: a
/// squashfs says only at its end what stands in its head.
#[derive(Debug)]
pub struct Passing<W> {
    inner: W,
    salt: RootHash,
    salted: Sha256,
    first: Box<[u8; BLOCK as usize]>,
    /// Where the next byte goes.
    at: u64,
    len: u64,
    /// Of the block that is not whole yet.
    open: Vec<u8>,
    hashes: Vec<u8>,
}

impl<W: Write + Seek> Passing<W> {
    /// `inner` is empty.
    pub fn new(inner: W, salt: RootHash) -> Self {
        let salted = Sha256::new().chain_update(salt);
        let (open, first) = (Vec::with_capacity(BLOCK as usize), Box::new([0; BLOCK as usize]));
        Self { inner, salt, salted, first, at: 0, len: 0, open, hashes: Vec::new() }
    }

    fn hash(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (block, rest) = bytes.split_at(bytes.len().min(BLOCK as usize - self.open.len()));
            self.open.extend(block);
            if self.open.len() == BLOCK as usize {
                self.hashes.extend(self.salted.clone().chain_update(&self.open).finalize());
                self.open.clear();
            }
            bytes = rest;
        }
    }

    /// Writes the hash device for what has passed into the empty file `out`.
    pub fn finish(mut self, out: &File) -> Result<RootHash, VerityError> {
        if self.len == 0 || !self.open.is_empty() {
            return Err(VerityError::Size(self.len));
        }
        let first = self.salted.clone().chain_update(self.first.as_slice()).finalize();
        self.hashes[..first.len()].copy_from_slice(&first);
        let data_blocks = self.len / BLOCK;
        let (root, tree) = tree(self.hashes, &self.salted, data_blocks);

        let mut uuid: [u8; 16] = derived("uuid", &root)[..16].try_into().expect("16 of 32");
        // RFC 9562, 5.8: version 8, for bits of one's own making; and its variant.
        uuid[6] = uuid[6] & 0x0f | 0x80;
        uuid[8] = uuid[8] & 0x3f | 0x80;
        let superblock = Superblock { uuid, data_blocks, salt: self.salt.into() };
        let mut block = [0; BLOCK as usize];
        block[..512].copy_from_slice(&superblock.print());
        out.write_all_at(&block, 0).map_err(VerityError::Write)?;
        // The root's level stands first.
        let mut at = BLOCK;
        for level in tree.iter().rev() {
            out.write_all_at(level, at).map_err(VerityError::Write)?;
            at += level.len() as u64;
        }
        Ok(root)
    }
}

/// The levels from the leaves up, each in whole blocks, and the hash of the last.
fn tree(mut hashes: Vec<u8>, salted: &Sha256, data_blocks: u64) -> (RootHash, Vec<Vec<u8>>) {
    let mut tree = Vec::new();
    for blocks in levels(data_blocks) {
        hashes.resize((blocks * BLOCK) as usize, 0);
        let above = hashes.chunks_exact(BLOCK as usize);
        let above = above.flat_map(|block| salted.clone().chain_update(block).finalize()).collect();
        tree.push(std::mem::replace(&mut hashes, above));
    }
    (hashes[..].try_into().expect("the last level is one block, and so is an image without levels"), tree)
}

impl<W: Write + Seek> Write for Passing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let wrote = self.inner.write(bytes)?;
        let bytes = &bytes[..wrote];
        if self.at < BLOCK {
            let (start, end) = (self.at as usize, (self.at as usize + wrote).min(BLOCK as usize));
            self.first[start..end].copy_from_slice(&bytes[..end - start]);
        }
        if self.at == self.len {
            self.hash(bytes);
        } else if self.at + wrote as u64 > self.len.min(BLOCK) {
            return Err(io::Error::other("what was hashed already is written again"));
        }
        self.at += wrote as u64;
        self.len = self.len.max(self.at);
        Ok(wrote)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<W: Write + Seek> Seek for Passing<W> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = self.inner.seek(to)?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn a_head_that_is_written_last_and_pieces_of_any_length_make_the_same_tree() {
        let bytes: Vec<u8> = (0..300 * BLOCK).map(|n| (n / 7) as u8).collect();
        let made = |pieces: usize, head_last: bool| {
            let mut passing = Passing::new(Cursor::new(Vec::new()), salt("test"));
            let mut image = bytes.clone();
            if head_last {
                image[..96].fill(0);
            }
            image.chunks(pieces).for_each(|piece| passing.write_all(piece).unwrap());
            if head_last {
                passing.rewind().unwrap();
                passing.write_all(&bytes[..96]).unwrap();
                passing.seek(SeekFrom::End(0)).unwrap();
            }
            assert!(*passing.inner.get_ref() == bytes);
            let mut out = tempfile::tempfile().unwrap();
            let root = passing.finish(&out).unwrap();
            let mut tree = Vec::new();
            out.rewind().unwrap();
            io::Read::read_to_end(&mut out, &mut tree).unwrap();
            (root, tree)
        };
        let whole = made(bytes.len(), false);
        assert_eq!(whole.1.len() as u64, init::verity::hashes_len(300));
        for (pieces, head_last) in [(1000, false), (4097, true), (1 << 20, true)] {
            assert!(whole == made(pieces, head_last), "pieces of {pieces}");
        }
    }

    #[test]
    fn what_was_hashed_is_not_written_again() {
        let mut passing = Passing::new(Cursor::new(Vec::new()), salt("test"));
        passing.write_all(&[1; 3 * BLOCK as usize]).unwrap();
        passing.seek(SeekFrom::Start(BLOCK)).unwrap();
        assert!(passing.write_all(&[2]).is_err());
    }

    #[test]
    fn what_is_no_whole_number_of_blocks_is_refused() {
        for len in [0, 1, 4095, 4097] {
            let mut passing = Passing::new(Cursor::new(Vec::new()), salt("test"));
            passing.write_all(&vec![0; len]).unwrap();
            let refused = passing.finish(&tempfile::tempfile().unwrap());
            assert!(matches!(refused, Err(VerityError::Size(found)) if found == len as u64), "{len}: {refused:?}");
        }
    }
}
