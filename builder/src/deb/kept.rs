//! Data tars of packages kept without their compression: undoing that is most
//! of what a build from a kernel's package costs, and each build would do it anew.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use init::manifest::Hex;
use tree::{Content, Provenance, Tree};
use xz2::stream::MtStreamBuilder;

use super::{DebError, LIMITS, load, tar};
use crate::publish::Draft;
use crate::{compress, digest};

/// The folder of one package's data tar, by the digest of what it was compressed to.
#[derive(Debug)]
pub struct Keep {
    dir: PathBuf,
}

/// What became of it; also for a build's summary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    Found,
    Made,
    /// The cache cannot be written: this build unpacks for itself.
    Not(String),
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Found => f.write_str("found unpacked in the cache"),
            Self::Made => f.write_str("unpacked into the cache"),
            Self::Not(why) => write!(f, "unpacked for this build alone: {why}"),
        }
    }
}

impl Keep {
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The files of the package at `deb`, as [`load`] gives them.
    pub fn load(&self, deb: &Path, from: &Provenance) -> Result<(Tree, Kept), DebError> {
        let (name, packed) = tar(deb, "data.tar")?;
        let sum = digest::content(&packed).map_err(|source| DebError::Read { path: deb.into(), source })?;
        let target = self.dir.join(format!("{}.tar", Hex(&sum)));
        // A kept tar that cannot be read is made anew, and its reason told if that fails too.
        if let Ok(tree) = open(&target).and_then(|tar| parse(&name, &tar, deb, from)) {
            return Ok((tree, Kept::Found));
        }
        match self.make(&name, &packed, &target) {
            Ok(tar) => Ok((parse(&name, &tar, deb, from)?, Kept::Made)),
            // A damaged package fails here once more, and with its place.
            Err(why) => Ok((load(deb, from)?, Kept::Not(format!("{why:#}")))),
        }
    }

    fn make(&self, name: &str, packed: &Content, target: &Path) -> anyhow::Result<Content> {
        fs::create_dir_all(&self.dir)?;
        let mut draft = Draft::create(target)?;
        let mut plain = decoder(name, packed)?.take(LIMITS.bytes + 1);
        let len = io::copy(&mut plain, draft.file())?;
        anyhow::ensure!(len <= LIMITS.bytes, "{name} is longer than {} bytes", LIMITS.bytes);
        draft.file().flush()?;
        // Held open: a build from another version may forget this one at once.
        let file = Arc::new(draft.file().try_clone()?);
        draft.publish()?;
        self.forget_others(target);
        Ok(Content::span(file, target.display().to_string(), 0, len))
    }

    /// What an older package of that name left. Builds that have it open go on with it.
    fn forget_others(&self, target: &Path) {
        let Ok(listed) = fs::read_dir(&self.dir) else { return };
        for path in listed.filter_map(|entry| Some(entry.ok()?.path())) {
            let is_other = path != target && path.extension().is_some_and(|ending| ending == "tar");
            // One that stays costs space and nothing else.
            let _ = is_other.then(|| fs::remove_file(&path));
        }
    }
}

fn open(tar: &Path) -> Result<Content, DebError> {
    let read = |source| DebError::Read { path: tar.into(), source };
    let file = File::open(tar).map_err(read)?;
    let len = file.metadata().map_err(read)?.len();
    Ok(Content::span(Arc::new(file), tar.display().to_string(), 0, len))
}

fn parse(name: &str, tar: &Content, deb: &Path, from: &Provenance) -> Result<Tree, DebError> {
    tree::tar::parse(name, tar, LIMITS, from).map_err(|source| DebError::Tar { path: deb.into(), source })
}

/// By the member's name, which [`tar`] has looked at; xz on every processor,
/// where its blocks tell their lengths as dpkg's do.
fn decoder(name: &str, packed: &Content) -> io::Result<Box<dyn Read>> {
    /// What its threads may hold together, and what one may.
    const MEMORY: u64 = 512 << 20;
    let input = packed.open()?;
    let ending = name.trim_end_matches(')').rsplit('.').next();
    Ok(match ending {
        Some("gz") => Box::new(flate2::read::MultiGzDecoder::new(input)),
        Some("zst") => Box::new(zstd::Decoder::new(input)?),
        Some("xz") => {
            let mut stream = MtStreamBuilder::new();
            stream.threads(compress::threads().get() as u32).memlimit_threading(MEMORY).memlimit_stop(MEMORY);
            Box::new(xz2::read::XzDecoder::new_stream(input, stream.decoder()?))
        }
        _ => input,
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{package, written};
    use super::*;
    use tree::TreePath;

    fn tool(tree: &Tree) -> Vec<u8> {
        let item = tree.get(&TreePath::new("usr/bin/tool").unwrap()).unwrap();
        item.content().unwrap().read_all(99).unwrap()
    }

    fn tars(dir: &Path) -> Vec<PathBuf> {
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn what_one_build_unpacked_the_next_one_finds() {
        let dir = tempfile::tempdir().unwrap();
        let keep = Keep::new(dir.path().join("a/b"));
        let deb = written(&package());
        let from = Provenance::new("deb");
        for kept in [Kept::Made, Kept::Found] {
            let (tree, how) = keep.load(deb.path(), &from).unwrap();
            assert_eq!((tool(&tree), how), (b"program".to_vec(), kept));
        }
        // Damaged by somebody: unpacked again.
        let tar = tars(&dir.path().join("a/b")).pop().unwrap();
        fs::write(&tar, "no tar").unwrap();
        assert_eq!(keep.load(deb.path(), &from).unwrap().1, Kept::Made);
        // Another version: the older one goes.
        fs::rename(&tar, tar.with_file_name("old.tar")).unwrap();
        assert_eq!(keep.load(deb.path(), &from).unwrap().1, Kept::Made);
        assert_eq!(tars(tar.parent().unwrap()), [tar]);
    }

    #[test]
    fn a_cache_that_cannot_be_written_stops_no_build_and_a_damaged_package_does() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let keep = Keep::new(file.path());
        let from = Provenance::new("deb");
        let (tree, how) = keep.load(written(&package()).path(), &from).unwrap();
        assert_eq!(tool(&tree), b"program");
        assert!(matches!(how, Kept::Not(_)), "{how}");

        let dir = tempfile::tempdir().unwrap();
        let mut cut = package();
        cut.truncate(cut.len() - 20);
        assert!(Keep::new(dir.path()).load(written(&cut).path(), &from).is_err());
        assert_eq!(tars(dir.path()), Vec::<PathBuf>::new());
    }

    #[test]
    fn eight_builds_at_once_all_have_it_whole() {
        let dir = tempfile::tempdir().unwrap();
        let deb = written(&package());
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let (tree, _) = Keep::new(dir.path()).load(deb.path(), &Provenance::new("deb")).unwrap();
                    assert_eq!(tool(&tree), b"program");
                });
            }
        });
        assert_eq!(tars(dir.path()).len(), 1);
    }
}
