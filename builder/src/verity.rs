//! dm-verity's hash tree over an image, made in process: byte for byte what
//! `veritysetup format` makes with the same salt and UUID.

use std::fs::File;
use std::io;
use std::num::NonZero;
use std::os::unix::fs::FileExt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use init::verity::{BLOCK, FANOUT, Superblock, levels};
use sha2::{Digest, Sha256};
use tree::Content;

#[derive(Debug, thiserror::Error)]
pub enum VerityError {
    #[error("an image of {0} bytes: dm-verity covers whole blocks of 4096, and at least one")]
    Size(u64),
    #[error("the image cannot be read")]
    Read(#[source] io::Error),
    #[error("its hash tree cannot be written")]
    Write(#[source] io::Error),
}

pub type RootHash = [u8; 32];

/// Salt and UUID for an image with this digest: the same image gets the same
/// tree, and another one shares nothing with it.
pub fn superblock(image: &[u8; 32], len: u64) -> Superblock {
    let derive = |what: &str| -> [u8; 32] { Sha256::new().chain_update(what).chain_update(image).finalize().into() };
    let mut uuid: [u8; 16] = derive("liveroot verity uuid")[..16].try_into().expect("16 of 32");
    // RFC 9562, 5.8: version 8, for bits of one's own making; and its variant.
    uuid[6] = uuid[6] & 0x0f | 0x80;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    Superblock { uuid, data_blocks: len / BLOCK, salt: derive("liveroot verity salt").into() }
}

/// Writes the hash device for `data` into the empty file `out`, with so many
/// threads at work: the bytes are the same for any number of them.
pub fn write(
    data: &Content,
    superblock: &Superblock,
    threads: NonZero<usize>,
    out: &File,
) -> Result<RootHash, VerityError> {
    if data.is_empty() || data.len() != superblock.data_blocks * BLOCK {
        return Err(VerityError::Size(data.len()));
    }
    let mut block = [0; BLOCK as usize];
    block[..512].copy_from_slice(&superblock.print());
    out.write_all_at(&block, 0).map_err(VerityError::Write)?;

    let salted = Sha256::new().chain_update(&superblock.salt);
    let image = data.open_at().map_err(VerityError::Read)?;
    // The leaves stand last: each level begins where the one above it ends.
    let counts = levels(superblock.data_blocks);
    let mut start = (1 + counts.iter().sum::<u64>()) * BLOCK;
    let mut below = Level { at: 0, blocks: superblock.data_blocks };
    for (n, &blocks) in counts.iter().enumerate() {
        start -= blocks * BLOCK;
        let read = |at, len| if n == 0 { image.read(at, len).map_err(VerityError::Read) } else { read(out, at, len) };
        let level = Level { at: start, blocks };
        hash(&read, &below, &level, &salted, threads, out)?;
        below = level;
    }
    let top =
        if counts.is_empty() { image.read(0, BLOCK).map_err(VerityError::Read)? } else { read(out, BLOCK, BLOCK)? };
    Ok(salted.chain_update(top).finalize().into())
}

/// A run of blocks: of data, or of the hashes of the level below.
struct Level {
    at: u64,
    blocks: u64,
}

/// One block of hashes at a time for each thread: that bounds the memory.
fn hash(
    read: &(impl Fn(u64, u64) -> Result<Vec<u8>, VerityError> + Sync),
    below: &Level,
    level: &Level,
    salted: &Sha256,
    threads: NonZero<usize>,
    out: &File,
) -> Result<(), VerityError> {
    let (next, failed) = (AtomicU64::new(0), Mutex::new(None));
    let one = |n: u64| {
        let first = n * FANOUT;
        let blocks = read(below.at + first * BLOCK, FANOUT.min(below.blocks - first) * BLOCK)?;
        let mut hashes: Vec<u8> = blocks
            .chunks_exact(BLOCK as usize)
            .flat_map(|block| salted.clone().chain_update(block).finalize())
            .collect();
        hashes.resize(BLOCK as usize, 0);
        out.write_all_at(&hashes, level.at + n * BLOCK).map_err(VerityError::Write)
    };
    let work = || {
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= level.blocks {
                return;
            }
            if let Err(error) = one(n) {
                *failed.lock().expect("nobody panics with it") = Some(error);
                // Nobody begins another one.
                return next.store(level.blocks, Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        (0..threads.get().min(level.blocks as usize)).for_each(|_| drop(scope.spawn(work)));
    });
    failed.into_inner().expect("nobody panics with it").map_or(Ok(()), Err)
}

fn read(out: &File, at: u64, len: u64) -> Result<Vec<u8>, VerityError> {
    let mut bytes = vec![0; len as usize];
    out.read_exact_at(&mut bytes, at).map_err(VerityError::Write)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_threads_makes_the_same_tree() {
        let bytes: Vec<u8> = (0..300 * BLOCK).map(|n| (n / 7) as u8).collect();
        let trees: Vec<_> = [1, 2, 7]
            .map(|threads| {
                let out = tempfile::tempfile().unwrap();
                let superblock = superblock(&[3; 32], bytes.len() as u64);
                let threads = NonZero::new(threads).unwrap();
                let root = write(&bytes.clone().into(), &superblock, threads, &out).unwrap();
                let len = out.metadata().unwrap().len();
                (root, read(&out, 0, len).unwrap())
            })
            .into();
        assert!(trees[0] == trees[1] && trees[1] == trees[2]);
        assert_eq!(trees[0].1.len() as u64, init::verity::hashes_len(300));
    }

    #[test]
    fn what_is_no_whole_number_of_blocks_is_refused() {
        for len in [0, 1, 4095, 4097] {
            let superblock = superblock(&[0; 32], len);
            let out = tempfile::tempfile().unwrap();
            let data = Content::from(vec![0; len as usize]);
            let written = write(&data, &superblock, NonZero::<usize>::MIN, &out);
            assert!(matches!(written, Err(VerityError::Size(found)) if found == len), "{len}: {written:?}");
        }
    }
}
