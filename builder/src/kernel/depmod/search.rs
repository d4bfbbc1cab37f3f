//! Which kmods of a root count, and in which order the indexes have them.

use std::collections::{BTreeMap, BTreeSet};

use tree::{Content, TreePath};

use super::DepmodError;
use super::config::{Config, Search};
use super::table;
use crate::elf::{ElfError, Found as Entry, Sysroot, sysroot};
use crate::kernel::modinfo::kmod_name;

#[derive(Debug)]
pub(super) struct Found {
    pub name: String,
    /// As the indexes spell it: below the modules' directory, or absolute.
    pub path: Vec<u8>,
    pub content: Content,
}

/// One file for each name, in the order of modules.order; what it does not
/// list follows in the order of kmod's hash table.
pub(super) fn find(
    root: &dyn Sysroot,
    dir: &TreePath,
    config: &Config,
    warnings: &mut Vec<String>,
) -> Result<Vec<Found>, DepmodError> {
    let mut best: BTreeMap<String, (Rank, Found)> = BTreeMap::new();
    let mut take = |place: Place, path: &TreePath| {
        let Some(name) = kmod_name(path.name()) else { return Ok(()) };
        let Some(content) = sysroot::file(root, path)? else {
            warnings.push(format!("{path} leads to no file, and is passed over"));
            return Ok(());
        };
        let rank = place.rank(config);
        let better = best.get(&name).is_none_or(|(other, _)| rank < *other);
        if better {
            best.insert(name.clone(), (rank, Found { name, path: place.spelled(), content }));
        }
        Ok::<_, DepmodError>(())
    };
    each_file(root, dir, config, |path, below| take(Place::Inside(below.to_vec()), path))?;
    for (n, external) in config.externals.iter().enumerate() {
        each_file(root, external, config, |path, _| take(Place::External(n, path.clone()), path))?;
    }
    let mut found: Vec<Found> = best.into_values().map(|(_, found)| found).collect();
    found.sort_by(|a, b| table::compare(a.name.as_bytes(), b.name.as_bytes(), table::KMODS));
    let order = read_order(root, dir)?;
    found.sort_by_key(|found| order.get(uncompressed(&found.path)).copied().unwrap_or(usize::MAX));
    Ok(found)
}

/// Where a kmod stands.
enum Place {
    Inside(Vec<u8>),
    /// Below the external directory of that number.
    External(usize, TreePath),
}

/// The lesser wins: overridden ones first, then as `search` says; of equal
/// ones the first by path.
type Rank = (usize, usize);

impl Place {
    fn rank(&self, config: &Config) -> Rank {
        let overridden = match self {
            Self::Inside(path) => {
                let stem = stem(path);
                config.overrides.iter().rev().position(|path| path.as_bytes() == stem).unwrap_or(usize::MAX)
            }
            Self::External(..) => usize::MAX,
        };
        let rules = config.search.iter().flat_map(|rule| {
            let count = if *rule == Search::External { config.externals.len() } else { 1 };
            (0..count).map(move |n| (rule, n))
        });
        let mut built_in = usize::MAX;
        for (rank, (rule, n)) in rules.enumerate() {
            if self.is_meant_by(rule, n) {
                return (overridden, rank);
            }
            if *rule == Search::BuiltIn {
                built_in = rank;
            }
        }
        (overridden, built_in)
    }

    fn is_meant_by(&self, rule: &Search, external: usize) -> bool {
        match (rule, self) {
            (Search::Dir(dir), Self::Inside(path)) => {
                path.strip_prefix(dir.as_bytes()).is_some_and(|rest| rest.starts_with(b"/"))
            }
            (Search::External, Self::External(number, _)) => external == *number,
            _ => false,
        }
    }

    fn spelled(self) -> Vec<u8> {
        match self {
            Self::Inside(path) => path,
            Self::External(_, path) => path.to_string().into_bytes(),
        }
    }
}

/// Every file below a directory by its path, and by that below the directory;
/// symlinks to directories are followed, each directory once.
fn each_file(
    root: &dyn Sysroot,
    dir: &TreePath,
    config: &Config,
    mut visit: impl FnMut(&TreePath, &[u8]) -> Result<(), DepmodError>,
) -> Result<(), DepmodError> {
    // Where a kernel's own build tree hangs.
    const PASSED_OVER: [&[u8]; 2] = [b"build", b"source"];
    let mut seen = BTreeSet::new();
    let mut open = vec![dir.clone()];
    while let Some(at) = open.pop() {
        let Some(real) = sysroot::real_dir(root, &at)? else { continue };
        if !seen.insert(real.clone()) {
            continue;
        }
        let failed = |source| ElfError::Read { path: at.clone(), source };
        let mut names = root.list(&real).map_err(failed)?;
        names.sort_unstable();
        let mut dirs = Vec::new();
        for name in names {
            let excluded = config.excludes.iter().any(|excluded| excluded.as_bytes() == name);
            if excluded || PASSED_OVER.contains(&name.as_slice()) {
                continue;
            }
            let unfit = |source| ElfError::Path { path: at.clone(), source };
            let path = at.join(&name).map_err(unfit)?;
            let is_dir = match root.lookup(&real.join(&name).map_err(unfit)?).map_err(failed)? {
                Some(Entry::Dir) => true,
                Some(Entry::Symlink(_)) => sysroot::real_dir(root, &path)?.is_some(),
                _ => false,
            };
            if is_dir {
                dirs.push(path);
            } else if let Some(below) = path.strip_dir(dir) {
                visit(&path, below.as_bytes())?;
            }
        }
        open.extend(dirs.into_iter().rev());
    }
    Ok(())
}

fn read_order(root: &dyn Sysroot, dir: &TreePath) -> Result<BTreeMap<Vec<u8>, usize>, DepmodError> {
    let text = super::read(root, dir, "modules.order")?.unwrap_or_default();
    Ok(text.split(|&b| b == b'\n').enumerate().map(|(n, line)| (line.to_vec(), n)).collect())
}

/// `kernel/fs/fat/vfat.ko.xz` is listed as `kernel/fs/fat/vfat.ko`.
fn uncompressed(path: &[u8]) -> &[u8] {
    &path[..stem(path).len() + b".ko".len()]
}

/// The path of a file that is named as a kmod, without its ending.
fn stem(path: &[u8]) -> &[u8] {
    let endings: [&[u8]; 4] = [b".ko", b".ko.gz", b".ko.xz", b".ko.zst"];
    endings.iter().find_map(|end| path.strip_suffix(*end)).unwrap_or(path)
}
