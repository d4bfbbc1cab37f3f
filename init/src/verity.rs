//! dm-verity's hash device, as veritysetup writes it: a superblock in a block
//! of its own, then the levels of the hash tree, the root's block first.
//!
//! Law: Documentation/admin-guide/device-mapper/verity.rst for the tree;
//! cryptsetup's lib/verity/verity.c, `struct verity_sb`, for the superblock.
//! Format version 1, SHA-256 and blocks of 4096 bytes, for data and hashes alike.

use crate::manifest::Hex;

/// Of data and of hashes.
pub const BLOCK: u64 = 4096;
pub const DIGEST_LEN: u64 = 32;
/// Digests in one block of hashes.
pub const FANOUT: u64 = BLOCK / DIGEST_LEN;

const SUPERBLOCK_LEN: usize = 512;
const SIGNATURE: &[u8; 8] = b"verity\0\0";
const ALGORITHM: &str = "sha256";
const MAX_SALT: usize = 256;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock {
    pub uuid: [u8; 16],
    pub data_blocks: u64,
    /// Goes before every block that is hashed.
    pub salt: Vec<u8>,
}

impl Superblock {
    /// The salt must fit: 256 bytes.
    pub fn print(&self) -> [u8; SUPERBLOCK_LEN] {
        let mut bytes = [0; SUPERBLOCK_LEN];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, SIGNATURE);
        put(8, &1_u32.to_le_bytes()); // the superblock's version
        put(12, &1_u32.to_le_bytes()); // the hashes' type: 0 would be Chrome OS's
        put(16, &self.uuid);
        put(32, ALGORITHM.as_bytes());
        put(64, &(BLOCK as u32).to_le_bytes());
        put(68, &(BLOCK as u32).to_le_bytes());
        put(72, &self.data_blocks.to_le_bytes());
        put(80, &(self.salt.len() as u16).to_le_bytes());
        put(88, &self.salt);
        bytes
    }

    /// The problem is a predicate of the file that holds it.
    pub fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        let bytes: &[u8; SUPERBLOCK_LEN] =
            bytes.get(..SUPERBLOCK_LEN).and_then(|bytes| bytes.try_into().ok()).ok_or("is too short")?;
        let number = |at: usize, len: usize| bytes[at..at + len].iter().rev().fold(0, |n, &b| n << 8 | u64::from(b));
        if &bytes[..8] != SIGNATURE {
            return Err("has no verity superblock");
        }
        let algorithm = bytes[32..64].split(|&b| b == 0).next().unwrap_or_default();
        let known = number(8, 4) == 1 && number(12, 4) == 1 && algorithm == ALGORITHM.as_bytes();
        if !known || number(64, 4) != BLOCK || number(68, 4) != BLOCK {
            return Err("has a verity superblock of another kind than version 1 with sha256 and blocks of 4096 bytes");
        }
        let salt = number(80, 2) as usize;
        if salt > MAX_SALT {
            return Err("has a verity superblock with a salt longer than it can hold");
        }
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&bytes[16..32]);
        Ok(Self { uuid, data_blocks: number(72, 8), salt: bytes[88..88 + salt].to_vec() })
    }

    /// The parameters of the kernel's `verity` target. Without an option, what
    /// does not match its digest is an EIO to its reader.
    pub fn table(&self, data: &str, hashes: &str, root_hash: &[u8; 32]) -> String {
        let salt = if self.salt.is_empty() { "-".to_owned() } else { Hex(&self.salt).to_string() };
        let Self { data_blocks, .. } = self;
        format!("1 {data} {hashes} {BLOCK} {BLOCK} {data_blocks} 1 {ALGORITHM} {} {salt}", Hex(root_hash))
    }
}

/// Blocks in each level of the tree, the leaves first and the root's last. A
/// single block of data has none: its digest is the root hash.
pub fn levels(data_blocks: u64) -> Vec<u64> {
    let (mut blocks, mut levels) = (data_blocks, Vec::new());
    while blocks > 1 {
        blocks = blocks.div_ceil(FANOUT);
        levels.push(blocks);
    }
    levels
}

/// Bytes of the whole hash device.
pub fn hashes_len(data_blocks: u64) -> u64 {
    (1 + levels(data_blocks).iter().sum::<u64>()) * BLOCK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_superblock_comes_back_and_a_foreign_one_is_refused() {
        let superblock = Superblock { uuid: [7; 16], data_blocks: 1 << 40, salt: vec![1, 2, 3] };
        let bytes = superblock.print();
        assert_eq!(Superblock::parse(&bytes), Ok(superblock));
        assert!(Superblock::parse(&bytes[..511]).is_err());
        for at in [0, 8, 12, 32, 36, 64, 69, 81] {
            let mut other = bytes;
            other[at] ^= 0x10;
            assert!(Superblock::parse(&other).is_err(), "byte {at}");
        }
    }

    #[test]
    fn levels_are_those_of_veritysetup() {
        // As `veritysetup format` counts the hash blocks of so many data blocks.
        for (data, hashes) in [(1, 0), (2, 1), (128, 1), (129, 3), (16_384, 129), (16_385, 132)] {
            assert_eq!(hashes_len(data), (1 + hashes) * BLOCK, "{data}");
        }
        assert_eq!(levels(u64::MAX).len(), 10);
    }

    #[test]
    fn the_table_names_everything_that_the_kernel_wants_to_know() {
        let mut superblock = Superblock { uuid: [0; 16], data_blocks: 3, salt: vec![0xab] };
        let table = superblock.table("/dev/loop0", "/dev/loop1", &[0x11; 32]);
        assert_eq!(table, format!("1 /dev/loop0 /dev/loop1 4096 4096 3 1 sha256 {} ab", "11".repeat(32)));
        superblock.salt.clear();
        assert!(superblock.table("a", "b", &[0; 32]).ends_with(" -"));
    }
}
