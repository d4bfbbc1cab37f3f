//! All kmods of a kernel and what each needs, read from the kmods themselves:
//! kernel packages come without depmod's files.

use std::collections::BTreeMap;

use tree::{Content, Escaped, TreePath};

use super::Kernel;
use super::builtin::Builtin;
use super::modinfo::{Modinfo, canonical};
use super::order::{self, Cycle};
use super::scan::{self, Scanned};
use super::symbols::{Exporters, Symbols};
use super::unsaid;
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
    /// What to try before it, names and aliases resolved: all its softdeps,
    /// where modprobe takes the first line alone, and what it does not say.
    pub pre: Vec<KmodId>,
    /// What to try once it is loaded, resolved likewise.
    pub post: Vec<KmodId>,
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
        let mut catalog = Self {
            release: kernel.release.clone(),
            kmods: Vec::new(),
            by_name: BTreeMap::new(),
            builtin: Builtin::load(&kernel.modules)?,
            warnings: Vec::new(),
        };
        let mut symbols = Vec::new();
        for scanned in scan::scan(kernel)? {
            symbols.extend(catalog.add(scanned));
        }
        catalog.link(&symbols)?;
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

    /// Everything that a user may call by its name, built in or not.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str).chain(self.builtin.names())
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

    /// Returns the symbols of a kmod that was taken.
    fn add(&mut self, scanned: Scanned) -> Option<Symbols> {
        let Scanned { name, path, content, info, symbols } = scanned;
        if let Some(first) = self.by_name.get(&name) {
            let first = &self.get(*first).path;
            self.warnings.push(format!("{path} is passed over: {first} has its name and comes first"));
            return None;
        }
        let built_for = info.vermagic.as_deref().and_then(|magic| magic.split(' ').next());
        if let Some(release) = built_for.filter(|release| *release != self.release) {
            let release = Escaped(release.as_bytes());
            self.warnings.push(format!("{path} was built for {release} and will not load into {}", self.release));
        }
        self.by_name.insert(name.clone(), KmodId(self.kmods.len()));
        let (direct, deps, pre, post, weak, missing) = Default::default();
        self.kmods.push(Kmod { name, path, content, info, direct, deps, pre, post, weak, missing });
        Some(symbols)
    }

    fn link(&mut self, symbols: &[Symbols]) -> Result<(), CatalogError> {
        let exporters = Exporters::of(symbols);
        let mut direct = Vec::with_capacity(self.kmods.len());
        for (n, symbols) in symbols.iter().enumerate() {
            let mut ids = Vec::new();
            let mut missing = Vec::new();
            for name in &self.kmods[n].info.depends {
                match self.find(name) {
                    Some(id) => ids.push(id.0),
                    None if self.builtin.has(name) => {}
                    None => missing.push(canonical(name)),
                }
            }
            exporters.sort_by_use(&mut ids, symbols);
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
            let info = &self.kmods[n].info;
            let said = info.softdeps.iter().flat_map(|softdep| &softdep.pre).map(String::as_str);
            let pre = said.chain(unsaid::pre(&self.kmods[n].name).iter().copied());
            let pre = self.resolve_soft(n, pre, &mut known);
            let said = info.softdeps.iter().flat_map(|softdep| &softdep.post).map(String::as_str);
            let post = self.resolve_soft(n, said, &mut known);
            let weak = self.resolve_soft(n, info.weak.iter().map(String::as_str), &mut known);
            self.kmods[n].pre = pre;
            self.kmods[n].post = post;
            self.kmods[n].weak = weak;
        }
        self.warn_of_soft_ring();
        Ok(())
    }

    /// /init tries each kmod of such a ring once, in some order, and goes on.
    fn warn_of_soft_ring(&mut self) {
        let before = |kmod: &Kmod| kmod.direct.iter().chain(&kmod.pre).map(|id| id.0).collect();
        let before: Vec<Vec<usize>> = self.kmods.iter().map(before).collect();
        if let Err(Cycle(ring)) = order::resolve(&before) {
            let names: Vec<_> = ring.into_iter().map(|n| self.kmods[n].name.as_str()).collect();
            let names = names.join(" -> ");
            self.warnings.push(format!("kmods ask in their softdeps for each other to be tried first: {names}"));
        }
    }

    /// Names and aliases to kmods, in the order written, `n` itself left out.
    fn resolve_soft<'a>(
        &self,
        n: usize,
        names: impl Iterator<Item = &'a str>,
        known: &mut BTreeMap<String, Vec<KmodId>>,
    ) -> Vec<KmodId> {
        let mut ids = Vec::new();
        for name in names {
            for &id in known.entry(name.into()).or_insert_with(|| self.lookup(name)).iter() {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::fake::kernel;

    fn scan(kmods: &[(&str, &[&str])], files: &[(&str, &str)]) -> Result<Catalog, CatalogError> {
        Catalog::scan(&kernel(kmods, files))
    }

    fn names(catalog: &Catalog, ids: &[KmodId]) -> Vec<String> {
        ids.iter().map(|&id| catalog.get(id).name.clone()).collect()
    }

    #[test]
    fn dependencies_are_resolved_through_each_other_in_loading_order() {
        let catalog = scan(
            &[
                ("a/usb-storage.ko", &["depends=usbcore,scsi-mod"]),
                ("a/usbcore.ko", &["depends=usb_common"]),
                ("a/scsi_mod.ko", &["depends=builtin_thing"]),
                ("a/usb-common.ko", &[]),
            ],
            &[("lib/modules/RELEASE/modules.builtin", "kernel/x/builtin-thing.ko\n")],
        );
        let catalog = catalog.unwrap();
        let storage = catalog.get(catalog.find("usb_storage").unwrap());
        assert_eq!(names(&catalog, &storage.deps), ["usb_common", "usbcore", "scsi_mod"]);
        assert_eq!(names(&catalog, &storage.direct), ["usbcore", "scsi_mod"]);
        assert!(catalog.kmods().all(|(_, kmod)| kmod.missing.is_empty()));
    }

    #[test]
    fn softdeps_are_names_or_aliases_of_any_number_of_kmods() {
        let catalog = scan(
            &[
                ("fs/ext4.ko", &["softdep=pre: crypto-crc32c ghost ext4 post: late"]),
                ("x/crc32c-intel.ko", &["alias=crypto-crc32c"]),
                ("x/crc32c_generic.ko", &["alias=crc32c", "alias=crypto-crc32c*"]),
                ("x/late.ko", &[]),
            ],
            &[],
        );
        let catalog = catalog.unwrap();
        let ext4 = catalog.get(catalog.find("ext4").unwrap());
        assert_eq!(names(&catalog, &ext4.pre), ["crc32c_intel", "crc32c_generic"]);
        assert_eq!(names(&catalog, &ext4.post), ["late"]);
    }

    #[test]
    fn what_a_kmod_asks_for_while_it_runs_is_tried_before_it() {
        let catalog = scan(&[("fs/vfat.ko", &[]), ("nls/nls_cp437.ko", &[]), ("nls/nls_utf8.ko", &[])], &[]).unwrap();
        let vfat = catalog.get(catalog.find("vfat").unwrap());
        assert_eq!(names(&catalog, &vfat.pre), ["nls_cp437", "nls_utf8"]);
    }

    #[test]
    fn a_ring_is_an_error_that_names_its_members() {
        let ring: &[(&str, &[&str])] = &[("a.ko", &["depends=b"]), ("b.ko", &["depends=a"]), ("c.ko", &[])];
        let error = scan(ring, &[]).unwrap_err().to_string();
        assert!(error.ends_with("a -> b") || error.ends_with("b -> a"), "{error}");
    }

    #[test]
    fn a_ring_of_softdeps_stops_nothing_and_is_told() {
        let catalog =
            scan(&[("a.ko", &["softdep=pre: b"]), ("b.ko", &["depends=c"]), ("c.ko", &["softdep=pre: a"])], &[]);
        let warnings = catalog.unwrap().warnings;
        assert!(warnings.len() == 1 && warnings[0].contains("tried first: "), "{warnings:?}");
    }

    #[test]
    fn odd_kmods_are_warned_about_and_damaged_ones_are_errors() {
        let catalog = scan(
            &[("a/twin.ko", &["vermagic=6.1.0-test SMP"]), ("b/twin.ko", &[]), ("c.ko", &["vermagic=5.0 SMP"])],
            &[("lib/modules/RELEASE/updates/dkms/c.ko.txt", "not a kmod")],
        );
        let warnings = catalog.unwrap().warnings;
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(warnings[0].contains("/kernel/b/twin.ko is passed over"), "{}", warnings[0]);
        assert!(warnings[1].contains("/kernel/c.ko was built for 5.0 "), "{}", warnings[1]);

        let error = scan(&[], &[("lib/modules/RELEASE/kernel/bad.ko", "junk")]).unwrap_err().to_string();
        assert!(error.contains("/kernel/bad.ko"), "{error}");
    }
}
