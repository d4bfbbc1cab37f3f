//! What the threads pack with: the codec, and before it the cache.

use std::io;

use super::Options;
use super::blocks::Pack;
use super::cache::{BlockCache, Found, Key};
use super::codecs::Encoder;

pub(super) struct Packer<'a> {
    encoder: Encoder,
    cache: Option<&'a BlockCache>,
    /// An entry of the cache, as it is read.
    entry: Vec<u8>,
}

impl<'a> Packer<'a> {
    pub(super) fn new(options: &Options, cache: Option<&'a BlockCache>) -> io::Result<Self> {
        Ok(Self { encoder: Encoder::new(options.compression, options.block_size)?, cache, entry: Vec::new() })
    }
}

impl Pack for Packer<'_> {
    fn pack(&mut self, block: &[u8], out: &mut [u8]) -> io::Result<Option<usize>> {
        let Some(cache) = self.cache else { return self.encoder.encode(block, out) };
        let key = Key::of(block);
        match cache.take(&key, out, &mut self.entry) {
            Some(Found::Packed(len)) => return Ok(Some(len)),
            Some(Found::Raw) => return Ok(None),
            None => {}
        }
        let packed = self.encoder.encode(block, out)?;
        cache.keep(&key, packed.map(|len| &out[..len]));
        Ok(packed)
    }
}

impl Pack for Encoder {
    fn pack(&mut self, block: &[u8], out: &mut [u8]) -> io::Result<Option<usize>> {
        self.encode(block, out)
    }
}

/// Writes for each block one byte: whether the cache has it.
pub(super) struct Lookup<'a>(pub(super) &'a BlockCache);

impl Pack for Lookup<'_> {
    fn pack(&mut self, block: &[u8], out: &mut [u8]) -> io::Result<Option<usize>> {
        out[0] = u8::from(self.0.has(&Key::of(block)));
        Ok(Some(1))
    }
}
