//! All kmods of a kernel and what each needs, read from the kmods themselves:
//! kernel packages come without depmod's files.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::thread;

use tree::{Content, Escaped, Item, Kind, Node, TreePath};

use super::Kernel;
use super::builtin::Builtin;
use super::modinfo::{Modinfo, canonical, kmod_name};
use super::order::{self, Cycle};
use crate::elf::Malformed;

/// A kmod's place in [`Catalog::kmods`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KmodId(usize);

#[derive(Debug)]
pub struct Kmod {
    /// With `_` for `-`.
    pub name: String,
    /// Relative to the release's directory: `kernel/fs/fat/vfat.ko.xz`.
    pub path: TreePath,
    pub content: Content,
    pub info: Modinfo,
    /// Those whose symbols it uses itself.
    pub direct: Vec<KmodId>,
    /// Everything it needs, in loading order: its line of modules.dep, reversed.
    pub deps: Vec<KmodId>,
    /// What its softdeps ask to try before it, names and aliases resolved.
    pub pre: Vec<KmodId>,
    /// What it may ask for while it runs, resolved likewise.
    pub weak: Vec<KmodId>,
    /// Dependencies that are neither kmods of this kernel nor built in.
    pub missing: Vec<String>,
}

#[derive(Debug)]
pub struct Catalog {
    pub release: String,
    /// In the order of modules.order; what it does not list follows by path.
    kmods: Vec<Kmod>,
    by_name: BTreeMap<String, KmodId>,
    pub builtin: Builtin,
    /// What is odd and stops nothing by itself.
    pub warnings: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    #[error("kmod {path} cannot be read")]
    Kmod { path: TreePath, source: Malformed },
    #[error("{path} cannot be read")]
    List { path: &'static str, source: std::io::Error },
    #[error("kmods need each other in a ring, so none of them can be loaded: {}", .0.join(" -> "))]
    Cycle(Vec<String>),
}

impl Catalog {
    pub fn scan(kernel: &Kernel) -> Result<Self, CatalogError> {
        let found = in_loading_order(kernel)?;
        let infos = read_all(&found)?;
        let mut catalog = Self {
            release: kernel.release.clone(),
            kmods: Vec::with_capacity(found.len()),
            by_name: BTreeMap::new(),
            builtin: Builtin::load(&kernel.modules)?,
            warnings: Vec::new(),
        };
        for (found, info) in found.into_iter().zip(infos) {
            catalog.add(found, info);
        }
        catalog.link()?;
        Ok(catalog)
    }

    pub fn kmods(&self) -> impl ExactSizeIterator<Item = (KmodId, &Kmod)> {
        self.kmods.iter().enumerate().map(|(n, kmod)| (KmodId(n), kmod))
    }

    pub fn get(&self, id: KmodId) -> &Kmod {
        &self.kmods[id.0]
    }

    /// By name; `-` and `_` alike.
    pub fn find(&self, name: &str) -> Option<KmodId> {
        self.by_name.get(&canonical(name)).copied()
    }

    /// The kmods that answer to a name or, if none has it, to a modalias or
    /// another alias: what modprobe would load.
    pub fn lookup(&self, name: &str) -> Vec<KmodId> {
        match self.find(name) {
            Some(id) => vec![id],
            None => self.answering(&canonical(name)),
        }
    }

    fn answering(&self, wanted: &str) -> Vec<KmodId> {
        let answers = |kmod: &Kmod| kmod.info.aliases.iter().any(|alias| alias_matches(alias, wanted));
        self.kmods().filter(|(_, kmod)| answers(kmod)).map(|(id, _)| id).collect()
    }

    fn add(&mut self, found: Found<'_>, info: Modinfo) {
        if let Some(first) = self.by_name.get(&found.name) {
            let first = &self.kmods[first.0].path;
            self.warnings.push(format!("{} is passed over: {first} has its name and comes first", found.path));
            return;
        }
        if let Some(magic) = info.vermagic.as_deref()
            && magic.split(' ').next() != Some(&self.release)
        {
            self.warnings.push(format!(
                "{} was built for `{}` and will not load into {}",
                found.path,
                Escaped(magic.as_bytes()),
                self.release
            ));
        }
        self.by_name.insert(found.name.clone(), KmodId(self.kmods.len()));
        let Found { name, path, content } = found;
        let (path, content) = (path.clone(), content.clone());
        let (direct, deps, pre, weak, missing) = Default::default();
        self.kmods.push(Kmod { name, path, content, info, direct, deps, pre, weak, missing });
    }

    fn link(&mut self) -> Result<(), CatalogError> {
        let mut direct = Vec::with_capacity(self.kmods.len());
        for n in 0..self.kmods.len() {
            let mut ids = Vec::new();
            let mut missing = Vec::new();
            for name in &self.kmods[n].info.depends {
                match self.find(name) {
                    Some(id) => ids.push(id.0),
                    None if self.builtin.has(name) => {}
                    None => missing.push(canonical(name)),
                }
            }
            self.kmods[n].missing = missing;
            direct.push(ids);
        }
        let all = order::resolve(&direct).map_err(|Cycle(ring)| {
            CatalogError::Cycle(ring.into_iter().map(|n| self.kmods[n].name.clone()).collect())
        })?;
        let mut known = BTreeMap::new();
        for (n, (direct, all)) in direct.into_iter().zip(all).enumerate() {
            self.kmods[n].direct = direct.into_iter().map(KmodId).collect();
            self.kmods[n].deps = all.into_iter().map(KmodId).collect();
            self.kmods[n].pre = self.resolve_soft(n, &self.kmods[n].info.pre, &mut known);
            self.kmods[n].weak = self.resolve_soft(n, &self.kmods[n].info.weak, &mut known);
        }
        Ok(())
    }

    /// Names and aliases to kmods, in the order written, `n` itself left out.
    fn resolve_soft(&self, n: usize, names: &[String], known: &mut BTreeMap<String, Vec<KmodId>>) -> Vec<KmodId> {
        let mut ids = Vec::new();
        for name in names {
            for &id in known.entry(name.clone()).or_insert_with(|| self.lookup(name)).iter() {
                if id.0 != n && !ids.contains(&id) {
                    ids.push(id);
                }
            }
        }
        ids
    }
}

/// modprobe takes `-` and `_` for one letter in aliases too, except in sets.
fn alias_matches(alias: &str, canonical_name: &str) -> bool {
    // Nearly every alias is a bus's, and fails on its first byte.
    let first = |text: &str| text.bytes().next();
    let may = first(alias) == first(canonical_name) || alias.starts_with(['*', '?', '[', '-', '_']);
    may && if alias.contains('[') {
        init::glob::matches(alias, canonical_name)
    } else {
        init::glob::matches(&canonical(alias), canonical_name)
    }
}

/// A kmod's file before it was read.
struct Found<'a> {
    name: String,
    path: &'a TreePath,
    content: &'a Content,
}

fn in_loading_order(kernel: &Kernel) -> Result<Vec<Found<'_>>, CatalogError> {
    const ORDER: &str = "modules.order";
    let listed =
        super::read_text(&kernel.modules, ORDER).map_err(|source| CatalogError::List { path: ORDER, source })?;
    let place: BTreeMap<&str, usize> = listed.lines().enumerate().map(|(n, line)| (line, n)).collect();
    let mut found: Vec<_> = kernel.modules.walk().filter_map(kmod_file).collect();
    let key = |found: &Found<'_>| {
        let path = String::from_utf8_lossy(found.path.as_bytes());
        let uncompressed = path.rfind(".ko").map_or(&*path, |end| &path[..end + 3]);
        // depmod's default search order: what an administrator updated wins.
        let updated = path.starts_with("updates/");
        (!updated, place.get(uncompressed).copied().unwrap_or(usize::MAX))
    };
    found.sort_by_cached_key(key);
    Ok(found)
}

fn kmod_file(item: Item<'_>) -> Option<Found<'_>> {
    let Node::Leaf { kind: Kind::File(content), .. } = item.node else { return None };
    Some(Found { name: kmod_name(item.path.name())?, path: item.path, content })
}

/// Every kmod's modinfo, in the order given, whatever the number of threads.
fn read_all(found: &[Found<'_>]) -> Result<Vec<Modinfo>, CatalogError> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(8);
    let read = |part: &[Found<'_>]| -> Result<Vec<Modinfo>, CatalogError> {
        let one = |found: &Found<'_>| {
            Modinfo::load(found.content).map_err(|source| CatalogError::Kmod { path: found.path.clone(), source })
        };
        part.iter().map(one).collect()
    };
    let parts: Vec<_> = thread::scope(|scope| {
        let spawn = |part| scope.spawn(move || read(part));
        let workers: Vec<_> = found.chunks(found.len().div_ceil(threads).max(1)).map(spawn).collect();
        workers.into_iter().map(|worker| worker.join().expect("reading a kmod does not panic")).collect()
    });
    let mut all = Vec::with_capacity(found.len());
    for part in parts {
        all.extend(part?);
    }
    Ok(all)
}

/// Names of the catalog that a user may have meant.
pub(super) fn known_names(catalog: &Catalog) -> BTreeSet<&str> {
    catalog.by_name.keys().map(String::as_str).chain(catalog.builtin.names()).collect()
}
