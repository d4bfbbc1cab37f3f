//! The indexes that modprobe and udev need beside a kernel's modules, equal
//! byte for byte to those of kmod's depmod.

mod config;
mod object;
mod search;
mod table;
mod text;
mod trie;

use std::collections::BTreeMap;

use tree::TreePath;

pub use config::Config;
pub use trie::TrieError;

use super::order::{self, Cycle};
use super::parallel;
use crate::elf::{ElfError, Malformed, Sysroot, sysroot};
use object::Object;

#[derive(Debug)]
pub struct Indexes {
    /// Name and bytes of each, in the order depmod writes them.
    pub files: Vec<(&'static str, Vec<u8>)>,
    pub kmods: usize,
    /// What is odd and changes nothing for the rest.
    pub warnings: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum DepmodError {
    #[error("{0} is no directory; a kernel's modules are in lib/modules/RELEASE")]
    NoDirectory(TreePath),
    #[error("kmod {path} cannot be read")]
    Kmod { path: String, source: Malformed },
    #[error("kmods need each other in a ring, so none of them can be loaded: {}", .0.join(" -> "))]
    Cycle(Vec<String>),
    #[error("{file} cannot be written")]
    Index { file: &'static str, source: TrieError },
    #[error(transparent)]
    Root(#[from] ElfError),
}

/// Lists of a kernel are a few hundred KiB.
const MAX_LIST: u64 = 16 << 20;

/// The indexes of the kmods in `dir` of a root.
pub fn index(root: &dyn Sysroot, dir: &TreePath, config: &Config) -> Result<Indexes, DepmodError> {
    if sysroot::real_dir(root, dir)?.is_none() {
        return Err(DepmodError::NoDirectory(dir.clone()));
    }
    let mut warnings = config.warnings.clone();
    let found = search::find(root, dir, config, &mut warnings)?;
    let objects = parallel::try_map(&found, |found| {
        let path = || String::from_utf8_lossy(&found.path).into_owned();
        Object::load(&found.content).map_err(|source| DepmodError::Kmod { path: path(), source })
    })?;
    let entry = |(found, object): (search::Found, Object)| {
        let search::Found { name, path, .. } = found;
        Entry { name, path, object, deps: Vec::new() }
    };
    let mut kmods: Vec<Entry> = found.into_iter().zip(objects).map(entry).collect();
    let deps = resolve(&kmods)?;
    for (kmod, deps) in kmods.iter_mut().zip(deps) {
        kmod.deps = deps;
    }
    let lists = [read(root, dir, "modules.builtin")?, read(root, dir, "modules.builtin.modinfo")?];
    let files = write(&kmods, &lists, &mut warnings)?;
    Ok(Indexes { files, kmods: kmods.len(), warnings })
}

#[derive(Debug)]
struct Entry {
    name: String,
    path: Vec<u8>,
    object: Object,
    /// In loading order.
    deps: Vec<usize>,
}

/// Symbols and the numbers of the kmods that export them.
type Names<'a> = BTreeMap<&'a [u8], usize>;

/// What each kmod needs, by the symbols it uses, in the order it uses them.
fn resolve(kmods: &[Entry]) -> Result<Vec<Vec<usize>>, DepmodError> {
    let owners = text::owners(kmods);
    let direct = |kmod: &Entry| {
        let mut direct = Vec::new();
        for owner in kmod.object.needed().filter_map(|name| owners.get(name)) {
            if !direct.contains(owner) {
                direct.push(*owner);
            }
        }
        direct
    };
    let direct: Vec<Vec<usize>> = kmods.iter().map(direct).collect();
    let named = |Cycle(ring)| DepmodError::Cycle(ring.into_iter().map(|n: usize| kmods[n].name.clone()).collect());
    order::resolve(&direct).map_err(named)
}

fn write(
    kmods: &[Entry],
    [builtin, modinfo]: &[Option<Vec<u8>>; 2],
    warnings: &mut Vec<String>,
) -> Result<Vec<(&'static str, Vec<u8>)>, DepmodError> {
    const SOFTDEP: &str = "# Soft dependencies extracted from modules themselves.\n";
    const WEAKDEP: &str = "# Weak dependencies extracted from modules themselves.\n";
    let in_file = |file| move |source| DepmodError::Index { file, source };
    let deps = text::deps(kmods).map_err(in_file("modules.dep.bin"))?;
    let aliases = text::aliases(kmods, warnings).map_err(in_file("modules.alias.bin"))?;
    let symbols = text::symbols(kmods, &text::owners(kmods)).map_err(in_file("modules.symbols.bin"))?;
    // Without its list, depmod leaves an empty file, which libkmod takes for none.
    let builtin = match builtin {
        Some(list) => text::builtin(list, warnings).map_err(in_file("modules.builtin.bin"))?,
        None => Vec::new(),
    };
    let builtin_aliases = match modinfo {
        Some(modinfo) => text::builtin_aliases(modinfo, warnings).map_err(in_file("modules.builtin.alias.bin"))?,
        None => Vec::new(),
    };
    let mut files = vec![
        ("modules.dep", deps.0),
        ("modules.dep.bin", deps.1),
        ("modules.alias", aliases.0),
        ("modules.alias.bin", aliases.1),
        ("modules.softdep", text::softdeps(kmods, SOFTDEP, "softdep")),
    ];
    // Only kmod since 33 knows it, and takes a missing one for an empty one.
    let weakdeps = text::softdeps(kmods, WEAKDEP, "weakdep");
    if weakdeps.len() > WEAKDEP.len() {
        files.push(("modules.weakdep", weakdeps));
    }
    files.extend([
        ("modules.symbols", symbols.0),
        ("modules.symbols.bin", symbols.1),
        ("modules.builtin.bin", builtin),
        ("modules.builtin.alias.bin", builtin_aliases),
        ("modules.devname", text::devnames(kmods, warnings)),
    ]);
    Ok(files)
}

/// A list of the kernel's own build, if it is there.
fn read(root: &dyn Sysroot, dir: &TreePath, name: &str) -> Result<Option<Vec<u8>>, DepmodError> {
    let path = dir.join(name).expect("a plain name");
    let Some(content) = sysroot::file(root, &path)? else { return Ok(None) };
    Ok(Some(content.read_all(MAX_LIST).map_err(|source| ElfError::Read { path, source })?))
}

#[cfg(test)]
mod tests;
