//! The order of kmod's hash tables. depmod writes modules.symbols, and what
//! modules.order does not list, in the order its tables happen to have.

use std::cmp::Ordering;

/// `hash_new()` in kmod: tools/depmod.c.
pub(super) const KMODS: u32 = 512;
pub(super) const SYMBOLS: u32 = 2048;

/// Buckets in turn, and by name within one.
pub(super) fn compare(a: &[u8], b: &[u8], buckets: u32) -> Ordering {
    let bucket = |key| hash(key) & (buckets - 1);
    bucket(a).cmp(&bucket(b)).then_with(|| a.cmp(b))
}

/// Paul Hsieh's SuperFastHash, with a final avalanche step of kmod's own
/// choice, as it comes out on a little-endian machine with signed characters.
fn hash(key: &[u8]) -> u32 {
    let half = |at: &[u8]| u32::from(u16::from_le_bytes([at[0], at[1]]));
    let signed = |byte: u8| byte as i8 as u32;
    let mut hash = key.len() as u32;
    let mut words = key.chunks_exact(4);
    for word in &mut words {
        hash = hash.wrapping_add(half(word));
        hash = (hash << 16) ^ (half(&word[2..]) << 11) ^ hash;
        hash = hash.wrapping_add(hash >> 11);
    }
    match words.remainder() {
        tail @ [_, _, last] => {
            hash = hash.wrapping_add(half(tail));
            hash ^= hash << 16;
            hash ^= signed(*last) << 18;
            hash = hash.wrapping_add(hash >> 11);
        }
        tail @ [_, _] => {
            hash = hash.wrapping_add(half(tail));
            hash ^= hash << 11;
            hash = hash.wrapping_add(hash >> 17);
        }
        [last] => {
            hash = hash.wrapping_add(signed(*last));
            hash ^= hash << 10;
            hash = hash.wrapping_add(hash >> 1);
        }
        _ => {}
    }
    for (left, right) in [(3, 5), (4, 17), (25, 6)] {
        hash ^= hash << left;
        hash = hash.wrapping_add(hash >> right);
    }
    hash
}
