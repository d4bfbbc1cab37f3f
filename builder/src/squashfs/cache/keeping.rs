//! Keeping the cache within bounds, and telling what is in it.

use std::collections::BTreeMap;
use std::fs::{self, DirEntry, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::fcntl::{Flock, FlockArg};

use super::{DAY, UNFINISHED};

/// Room for several roots of a desktop in several codecs.
pub const DEFAULT_MAX: u64 = 4 << 30;
/// Its lock says that somebody is trimming.
const LOCK: &str = "lock";

/// The entries of one codec with its settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Codec, block size and the encoder's print.
    pub name: String,
    pub blocks: u64,
    /// As the disk counts them.
    pub bytes: u64,
    /// When the one that was used last was used, to a day.
    pub last_used: SystemTime,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Trimmed {
    pub blocks: u64,
    pub bytes: u64,
    /// What is left, in bytes.
    pub left: u64,
}

/// What is in the cache; nothing if there is none.
pub fn list(home: &Path) -> io::Result<Vec<Kept>> {
    let mut kept: BTreeMap<String, Kept> = BTreeMap::new();
    each(home, |name, entry| {
        let kept = kept.entry(name.to_owned()).or_insert_with(|| Kept {
            name: name.to_owned(),
            blocks: 0,
            bytes: 0,
            last_used: SystemTime::UNIX_EPOCH,
        });
        kept.blocks += 1;
        kept.bytes += entry.bytes;
        kept.last_used = kept.last_used.max(entry.used);
        Ok(())
    })?;
    Ok(kept.into_values().collect())
}

/// Removes the entries that were not used for longest until `max` bytes are
/// left, and what killed builds left. `None` if another build is at it.
pub fn trim(home: &Path, max: u64) -> io::Result<Option<Trimmed>> {
    let lock = match File::create(home.join(LOCK)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Some(Trimmed::default())),
        made => made?,
    };
    let Ok(_lock) = Flock::lock(lock, FlockArg::LockExclusiveNonblock) else { return Ok(None) };
    let mut entries = Vec::new();
    each(home, |_, entry| {
        entries.push(entry);
        Ok(())
    })?;
    entries.sort_by(|a, b| (a.used, &a.path).cmp(&(b.used, &b.path)));
    let mut trimmed = Trimmed { left: entries.iter().map(|entry| entry.bytes).sum(), ..Trimmed::default() };
    for entry in entries {
        let abandoned = entry.unfinished && entry.used.elapsed().is_ok_and(|age| age > DAY);
        if trimmed.left <= max && !abandoned {
            continue;
        }
        fs::remove_file(&entry.path).or_else(gone)?;
        trimmed.blocks += 1;
        trimmed.bytes += entry.bytes;
        trimmed.left -= entry.bytes;
    }
    Ok(Some(trimmed))
}

struct Entry {
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
    unfinished: bool,
}

/// Other builds write and trim meanwhile: what vanishes under way is passed over.
fn each(home: &Path, mut tell: impl FnMut(&str, Entry) -> io::Result<()>) -> io::Result<()> {
    for codec in folders(home)? {
        for shard in folders(&codec.path())? {
            for entry in entries(&shard.path())? {
                let meta = match entry.metadata() {
                    Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                    meta => meta?,
                };
                let unfinished = entry.file_name().as_encoded_bytes().starts_with(UNFINISHED.as_bytes());
                // stat(2) counts in 512 bytes whatever the disk's block is.
                let entry =
                    Entry { path: entry.path(), bytes: meta.blocks() * 512, used: meta.modified()?, unfinished };
                tell(&codec.file_name().to_string_lossy(), entry)?;
            }
        }
    }
    Ok(())
}

fn entries(dir: &Path) -> io::Result<Vec<DirEntry>> {
    match fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read?.collect(),
    }
}

fn folders(dir: &Path) -> io::Result<Vec<DirEntry>> {
    let mut folders = entries(dir)?;
    folders.retain(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    Ok(folders)
}

fn gone(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::squashfs::cache::{BlockCache, Key};
    use crate::squashfs::options::BlockSize;

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(list(&home.path().join("none")).unwrap(), []);
        assert_eq!(trim(&home.path().join("none"), 0).unwrap(), Some(Trimmed::default()));
        let cache = BlockCache::open(home.path(), "zstd:3".parse().unwrap(), BlockSize::default()).unwrap().unwrap();
        let days_ago = |days: u32| SystemTime::now() - DAY * days;
        for n in 0..8 {
            let key = Key::of(&[n]);
            cache.keep(&key, Some(&[n; 5000]));
            let file = File::options().write(true).open(cache.path(&key)).unwrap();
            file.set_modified(days_ago(u32::from(n) + 2)).unwrap();
        }
        // Reading an old one makes it new.
        cache.take(&Key::of(&[7]), &mut [0; 6000], &mut Vec::new()).unwrap();
        let shard = cache.path(&Key::of(&[0])).parent().unwrap().to_owned();
        for (name, days) in [(".new-old", 3), (".new-now", 0)] {
            fs::write(shard.join(name), "").unwrap();
            File::options().write(true).open(shard.join(name)).unwrap().set_modified(days_ago(days)).unwrap();
        }

        let before = list(home.path()).unwrap();
        assert_eq!((before.len(), before[0].blocks), (1, 10));
        let one = before[0].bytes / 8;
        let trimmed = trim(home.path(), one * 3).unwrap().unwrap();
        assert_eq!((trimmed.left, trimmed.bytes), (one * 3, one * 5));
        let left: Vec<u8> = (0..8).filter(|n| cache.has(&Key::of(&[*n]))).collect();
        assert_eq!(left, [0, 1, 7]);
        assert!(!shard.join(".new-old").exists() && shard.join(".new-now").exists());

        let _other = Flock::lock(File::open(home.path().join(LOCK)).unwrap(), FlockArg::LockExclusive).unwrap();
        assert_eq!(trim(home.path(), 0).unwrap(), None, "another build trims");
    }
}
