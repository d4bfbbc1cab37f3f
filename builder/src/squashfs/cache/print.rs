//! Which encoder made an entry: another release of a codec's library may pack
//! a block to other bytes, and an image must not be a mixture that depends on
//! what was built before.

use std::io;

use init::manifest::Hex;
use sha2::{Digest, Sha256};

use crate::squashfs::codecs::Encoder;
use crate::squashfs::options::{BlockSize, Compression};

const SAMPLE_LEN: usize = 32 << 10;

/// A sum over what the encoder makes of a sample.
pub(super) fn of(compression: Compression, block_size: BlockSize) -> io::Result<String> {
    let sample = sample(SAMPLE_LEN.min(block_size.bytes()));
    let mut packed = vec![0; sample.len()];
    let len = Encoder::new(compression, block_size)?.encode(&sample, &mut packed)?.unwrap_or_default();
    let sum = Sha256::new().chain_update(env!("CARGO_PKG_VERSION")).chain_update(&packed[..len]).finalize();
    Ok(Hex(&sum[..4]).to_string())
}

/// Words that come back at distances of all sizes, and now and then noise: an
/// encoder has choices to make here.
fn sample(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    // Numerical Recipes' linear congruence.
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 16
    };
    let mut sample = Vec::with_capacity(len + 16);
    while sample.len() < len {
        let word = next() % 300;
        sample.extend(format!("{:x} ", word * word * 7919).bytes());
        if word < 20 {
            sample.push(next() as u8);
        }
    }
    sample.truncate(len);
    sample
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_of_a_codec_can_be_told_apart() {
        let print = |codec: &str| of(codec.parse().unwrap(), BlockSize::default()).unwrap();
        let codecs = ["zstd:1", "zstd:3", "zstd:15", "zstd:19", "gzip:1", "gzip:9", "xz:0", "xz:6", "lz4:hc"];
        let prints: std::collections::BTreeSet<_> = codecs.iter().map(|codec| print(codec)).collect();
        assert_eq!(prints.len(), codecs.len());
        assert_eq!(print("zstd:15"), print("zstd:15"));
    }
}
