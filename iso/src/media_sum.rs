//! isomd5sum's checksum: an MD5 of the image with the field it will stand in
//! left blank, and a few digits of it on the way, so that a check can stop at
//! the first damage.

use std::fmt::Write as _;
use std::io;

use md5::{Digest, Md5};

use crate::format::SECTOR;

/// libcheckisomd5 leaves the end out: what drives that read ahead cannot read.
const SKIPPED_SECTORS: u64 = 15;

const FRAGMENTS: u64 = 20;
const DIGITS_PER_FRAGMENT: usize = 3;

/// libcheckisomd5 reads by as much, and notes a fragment with the whole of
/// the read that it ended in.
const CHUNK: usize = 16 * SECTOR;

/// Hashes an image that is written to it.
pub(crate) struct MediaSum {
    md5: Md5,
    chunk: Vec<u8>,
    hashed: u64,
    total: u64,
    fragment: u64,
    fragment_digits: String,
}

impl MediaSum {
    pub(crate) fn new(image_len: u64) -> Self {
        Self {
            md5: Md5::new(),
            chunk: Vec::with_capacity(CHUNK),
            hashed: 0,
            total: image_len.saturating_sub(SKIPPED_SECTORS * SECTOR as u64),
            fragment: 0,
            fragment_digits: String::new(),
        }
    }

    /// The text for the primary descriptor.
    pub(crate) fn finish(mut self) -> String {
        self.hash_chunk();
        let mut digest = String::new();
        for byte in self.md5.finalize() {
            // Writing to a String cannot fail.
            let _ = write!(digest, "{byte:02x}");
        }
        format!(
            "ISO MD5SUM = {digest};SKIPSECTORS = {SKIPPED_SECTORS};RHLISOSTATUS=0;FRAGMENT SUMS = {};\
             FRAGMENT COUNT = {FRAGMENTS};THIS IS NOT THE SAME AS RUNNING MD5SUM ON THIS ISO!!",
            self.fragment_digits
        )
    }

    fn hash_chunk(&mut self) {
        if self.chunk.is_empty() {
            return;
        }
        self.md5.update(&self.chunk);
        let fragment = self.hashed / (self.total / (FRAGMENTS + 1)).max(1);
        if fragment != self.fragment {
            self.fragment = fragment;
            // The first digit of each of the first bytes, without a leading
            // zero: "%01x" cut to one character.
            for byte in self.md5.clone().finalize().iter().take(DIGITS_PER_FRAGMENT) {
                self.fragment_digits.extend(format!("{byte:x}").chars().take(1));
            }
        }
        self.hashed += self.chunk.len() as u64;
        self.chunk.clear();
    }
}

impl io::Write for MediaSum {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.total - self.hashed - self.chunk.len() as u64;
        let room = (CHUNK - self.chunk.len()).min(bytes.len());
        let taken = (room as u64).min(left) as usize;
        self.chunk.extend_from_slice(&bytes[..taken]);
        if self.chunk.len() == CHUNK {
            self.hash_chunk();
        }
        // What comes after the end is not hashed and not refused.
        Ok(if left == 0 { bytes.len() } else { taken })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
