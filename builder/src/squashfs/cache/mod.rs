//! Blocks that were packed before, each a file named by what it was packed
//! from: `FOLDER/CODEC-BLOCKSIZE-PRINT/3f/3f0a…`.
//!
//! Builds share it without locks. An entry appears whole, by a rename, and who
//! reads one that is being removed still has it open. Nothing is synced: an
//! entry that a crash has cut does not have the sum it begins with, and counts
//! as not there.

mod keeping;
mod print;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use init::manifest::Hex;
use sha2::{Digest, Sha256};

use super::options::{BlockSize, Compression};

pub use keeping::{DEFAULT_MAX, Kept, Trimmed, list, trim};

const SUM_LEN: usize = 32;
/// Entries that are used look new again, so that the ones nobody uses are the
/// oldest. Once a day is often enough for that.
const DAY: Duration = Duration::from_hours(24);
/// Entries on their way; what killed builds leave has such a name.
const UNFINISHED: &str = ".new-";

/// The block's SHA-256. A weaker sum could take one block for another, and the
/// image would be wrong.
pub(super) struct Key([u8; 32]);

impl Key {
    pub(super) fn of(block: &[u8]) -> Self {
        Self(Sha256::digest(block).into())
    }

    fn sum(&self, packed: &[u8]) -> [u8; SUM_LEN] {
        Sha256::new().chain_update(self.0).chain_update(packed).finalize().into()
    }
}

/// What a block was packed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Packed(usize),
    /// It is stored as it is.
    Raw,
}

/// The entries of one codec with its settings.
#[derive(Debug)]
pub(super) struct BlockCache {
    dir: PathBuf,
    taken: AtomicU64,
    kept: AtomicU64,
    /// No use to try again after the first entry that could not be written.
    failed: AtomicBool,
    failure: Mutex<Option<io::Error>>,
}

impl BlockCache {
    /// `None` for codecs that are as fast as looking a block up.
    pub(super) fn open(home: &Path, compression: Compression, block_size: BlockSize) -> io::Result<Option<Self>> {
        if matches!(compression, Compression::None | Compression::Lz4 { high: false }) {
            return Ok(None);
        }
        let dir = home.join(format!("{compression}-{block_size}-{}", print::of(compression, block_size)?));
        fs::create_dir_all(&dir)?;
        let (taken, kept) = (AtomicU64::new(0), AtomicU64::new(0));
        Ok(Some(Self { dir, taken, kept, failed: AtomicBool::new(false), failure: Mutex::new(None) }))
    }

    fn path(&self, key: &Key) -> PathBuf {
        let name = Hex(&key.0).to_string();
        self.dir.join(&name[..2]).join(name)
    }

    pub(super) fn has(&self, key: &Key) -> bool {
        self.path(key).exists()
    }

    /// Whatever is wrong with an entry, packing the block again mends it.
    pub(super) fn take(&self, key: &Key, out: &mut [u8], entry: &mut Vec<u8>) -> Option<Found> {
        let file = File::open(self.path(key)).ok()?;
        entry.clear();
        let longest = (SUM_LEN + out.len()) as u64;
        (&file).take(longest).read_to_end(entry).ok()?;
        let (sum, packed) = entry.split_at_checked(SUM_LEN)?;
        if sum != key.sum(packed) {
            return None;
        }
        let age = file.metadata().and_then(|meta| meta.modified()).map(|then| then.elapsed().unwrap_or_default());
        if age.is_ok_and(|age| age > DAY) {
            // In somebody else's cache it goes on looking old, and that is all.
            let _ = file.set_modified(SystemTime::now());
        }
        self.taken.fetch_add(1, Relaxed);
        out[..packed.len()].copy_from_slice(packed);
        Some(if packed.is_empty() { Found::Raw } else { Found::Packed(packed.len()) })
    }

    pub(super) fn keep(&self, key: &Key, packed: Option<&[u8]>) {
        if self.failed.load(Relaxed) {
            return;
        }
        match self.write(key, packed.unwrap_or_default()) {
            Ok(()) => drop(self.kept.fetch_add(1, Relaxed)),
            // The image does not need the cache; its owner hears of it at the end.
            Err(error) => {
                self.failed.store(true, Relaxed);
                *self.failure.lock().expect("nobody panics with it") = Some(error);
            }
        }
    }

    fn write(&self, key: &Key, packed: &[u8]) -> io::Result<()> {
        let path = self.path(key);
        let dir = path.parent().expect("it was joined to one");
        let mut name = tempfile::Builder::new();
        let mut file = match name.prefix(UNFINISHED).tempfile_in(dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(dir)?;
                name.tempfile_in(dir)?
            }
            made => made?,
        };
        file.write_all(&key.sum(packed))?;
        file.write_all(packed)?;
        file.persist(path).map(drop).map_err(|e| e.error)
    }

    pub(super) fn used(self) -> Used {
        let failure = self.failure.into_inner().expect("nobody panics with it");
        Used { taken: self.taken.into_inner(), kept: self.kept.into_inner(), failure: failure.map(|e| e.to_string()) }
    }
}

/// What a build had of the cache, in blocks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Used {
    pub taken: u64,
    pub kept: u64,
    /// Why the rest could not be kept.
    pub failure: Option<String>,
}

/// Gives each of two entries the other's packed bytes, with a sum that fits.
#[cfg(test)]
pub(crate) fn swap_entries(home: &Path) {
    let mut found: Vec<(PathBuf, Vec<u8>)> = Vec::new();
    let mut waiting = vec![home.to_owned()];
    while let Some(dir) = waiting.pop() {
        for path in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
            match path.file_name().unwrap().len() {
                64 => found.push((path.clone(), fs::read(&path).unwrap())),
                _ if path.is_dir() => waiting.push(path),
                _ => {}
            }
        }
    }
    let [(one, of_one), (other, of_other)] = &found[..] else { panic!("{} entries", found.len()) };
    for (path, entry) in [(one, of_other), (other, of_one)] {
        let name = path.file_name().unwrap().to_str().unwrap();
        let digits = |n| u8::from_str_radix(&name[2 * n..2 * n + 2], 16).unwrap();
        let (key, packed) = (Key(std::array::from_fn(digits)), &entry[SUM_LEN..]);
        fs::write(path, [&key.sum(packed), packed].concat()).unwrap();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(home: &Path) -> BlockCache {
        BlockCache::open(home, "zstd:3".parse().unwrap(), BlockSize::default()).unwrap().unwrap()
    }

    #[test]
    fn an_entry_comes_back_and_a_damaged_one_does_not() {
        let home = tempfile::tempdir().unwrap();
        let cache = cache(home.path());
        let (mut out, mut entry) = (vec![0; 100], Vec::new());
        let (key, raw) = (Key::of(b"block"), Key::of(b"noise"));
        assert_eq!(cache.take(&key, &mut out, &mut entry), None);
        cache.keep(&key, Some(b"packed"));
        cache.keep(&raw, None);
        assert_eq!(cache.take(&raw, &mut out, &mut entry), Some(Found::Raw));
        assert_eq!(cache.take(&key, &mut out, &mut entry), Some(Found::Packed(6)));
        assert_eq!(&out[..6], b"packed");

        let path = cache.path(&key);
        let whole = fs::read(&path).unwrap();
        let longer = [&whole[..], &[0; 100]].concat();
        let flipped = [&whole[..SUM_LEN], b"Packed"].concat();
        let of_another = fs::read(cache.path(&raw)).unwrap();
        for damaged in [&whole[..SUM_LEN + 3], &whole[..5], b"", &[0; 50], &longer, &flipped, &of_another] {
            fs::write(&path, damaged).unwrap();
            assert_eq!(cache.take(&key, &mut out, &mut entry), None, "{damaged:?}");
        }
        cache.keep(&key, Some(b"packed"));
        assert_eq!(cache.take(&key, &mut out, &mut entry), Some(Found::Packed(6)));
        assert_eq!(cache.used(), Used { taken: 3, kept: 3, failure: None });
    }

    #[test]
    fn a_cache_that_cannot_be_written_is_told_and_tried_once() {
        let home = tempfile::tempdir().unwrap();
        let cache = cache(home.path());
        let key = Key::of(b"block");
        // A file where the folder should be: that stops root too.
        fs::write(cache.path(&key).parent().unwrap(), "").unwrap();
        cache.keep(&key, Some(b"packed"));
        cache.keep(&Key::of(b"another"), Some(b"packed"));
        let used = cache.used();
        assert!(used.kept == 0 && used.failure.is_some(), "{used:?}");
    }

    #[test]
    fn codecs_and_their_settings_do_not_share_entries() {
        let home = tempfile::tempdir().unwrap();
        let dir = |codec: &str, block: &str| {
            let cache = BlockCache::open(home.path(), codec.parse().unwrap(), block.parse().unwrap()).unwrap();
            cache.map(|cache| cache.dir)
        };
        let settings = [("zstd:3", "128K"), ("zstd:4", "128K"), ("zstd:3", "64K"), ("xz,x86", "128K"), ("xz", "128K")];
        let dirs: std::collections::BTreeSet<_> = settings.iter().map(|(codec, block)| dir(codec, block)).collect();
        assert_eq!((dirs.len(), dirs.contains(&None)), (settings.len(), false));
        assert_eq!((dir("lz4", "128K"), dir("none", "128K")), (None, None), "as fast as looking up");
    }
}
