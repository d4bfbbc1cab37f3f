//! Which kmods were asked for, what they need, and why each is there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tree::Provenance;

use super::catalog::{Catalog, KmodId};
use super::machine::Machine;
use super::pattern::{Pattern, Pick};
use super::sets;
use crate::profile::nearest;

/// A word of `kernel.modules`, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub word: String,
    pub from: Provenance,
    /// The one that `@host` means.
    pub machine: Option<Machine>,
}

impl Asked {
    /// Words that stand in one place.
    pub fn all(words: &[&str], from: &Provenance) -> Vec<Self> {
        words.iter().map(|word| Self { word: (*word).into(), from: from.clone(), machine: None }).collect()
    }
}

/// Kmods in the order of modules.order.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    chosen: BTreeMap<KmodId, Provenance>,
    /// What is odd and stops nothing.
    pub warnings: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum SelectError {
    #[error("no kmod is called `{name}` in kernel {release}{} ({from})", hint(.nearest.as_deref()))]
    Unknown { name: String, nearest: Option<String>, release: String, from: Provenance },
    #[error("`{pattern}` matches no kmod of kernel {release} ({from})")]
    NoMatch { pattern: String, release: String, from: Provenance },
    #[error("there is no set `@{name}`; there are @{} ({from})", .known.join(", @"))]
    UnknownSet { name: String, known: Vec<&'static str>, from: Provenance },
    #[error("kmod {name} is excluded and needed: {chain}; exclude what needs it too")]
    ExcludedButNeeded { name: String, chain: Provenance },
    #[error("kmod {name} needs {missing}, which kernel {release} has neither as a kmod nor built in ({chain})")]
    Missing { name: String, missing: String, release: String, chain: Provenance },
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map(|name| format!("; is it `{name}`?")).unwrap_or_default()
}

impl Selection {
    /// Every kmod of it, and the chain of reasons: the nearest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (KmodId, &Provenance)> {
        self.chosen.iter().map(|(id, reason)| (*id, reason))
    }

    pub fn reason(&self, id: KmodId) -> Option<&Provenance> {
        self.chosen.get(&id)
    }

    pub fn contains(&self, id: KmodId) -> bool {
        self.chosen.contains_key(&id)
    }
}

/// Takes what the patterns name, then everything that needs to be there with
/// it. An exclusion holds wherever it stands in the list.
pub fn select(catalog: &Catalog, asked: &[Asked]) -> Result<Selection, SelectError> {
    let mut selection = Selection::default();
    let (out, into): (Vec<_>, Vec<_>) =
        asked.iter().map(|asked| (asked, Pattern::parse(&asked.word))).partition(|(_, pattern)| pattern.exclude);
    let mut excluded = BTreeSet::new();
    for (asked, pattern) in &out {
        let taken = pick(catalog, asked, &pattern.pick, &mut selection.warnings);
        // A set may name kmods that this kernel does not have; so may an exclusion.
        match taken {
            Ok(taken) => excluded.extend(taken.into_iter().map(|(id, _)| id)),
            Err(error @ SelectError::UnknownSet { .. }) => return Err(error),
            Err(error) => selection.warnings.push(format!("nothing to exclude: {error}")),
        }
    }
    let mut open = VecDeque::new();
    for (asked, pattern) in &into {
        for (id, reason) in pick(catalog, asked, &pattern.pick, &mut selection.warnings)? {
            if !excluded.contains(&id) && !selection.contains(id) {
                selection.chosen.insert(id, reason);
                open.push_back(id);
            }
        }
    }
    while let Some(id) = open.pop_front() {
        let kmod = catalog.get(id);
        let reason = selection.chosen[&id].clone();
        if let Some(missing) = kmod.missing.first() {
            let (name, missing, release) = (kmod.name.clone(), missing.clone(), catalog.release.clone());
            return Err(SelectError::Missing { name, missing, release, chain: reason });
        }
        let hard = kmod.direct.iter().map(|&dep| (dep, "needed by"));
        let soft = kmod.pre.iter().map(|&dep| (dep, "tried before"));
        let later = kmod.post.iter().map(|&dep| (dep, "tried after"));
        let weak = kmod.weak.iter().map(|&dep| (dep, "may be asked for by"));
        for (dep, relation) in hard.chain(soft).chain(later).chain(weak) {
            if selection.contains(dep) {
                continue;
            }
            let chain = reason.nearer(format!("{relation} {}", kmod.name));
            if excluded.contains(&dep) {
                if kmod.direct.contains(&dep) {
                    return Err(SelectError::ExcludedButNeeded { name: catalog.get(dep).name.clone(), chain });
                }
                continue;
            }
            selection.chosen.insert(dep, chain);
            open.push_back(dep);
        }
    }
    Ok(selection)
}

/// The kmods that one word names, and the reason it gives each.
fn pick(
    catalog: &Catalog,
    asked: &Asked,
    pick: &Pick,
    warnings: &mut Vec<String>,
) -> Result<Vec<(KmodId, Provenance)>, SelectError> {
    let Asked { word, from, machine } = asked;
    let asked = || from.nearer(format!("kernel.modules `{word}`"));
    let taken: Vec<_> = match pick {
        Pick::Set(name) => return pick_set(catalog, name, from),
        Pick::Host(_) => {
            let machine = machine.as_ref().expect("who parses the word brings the machine");
            return Ok(pick_host(catalog, machine, from, warnings));
        }
        Pick::Name(name) => match catalog.find(name) {
            Some(id) => vec![(id, asked())],
            None if catalog.builtin.has(name) => return Ok(Vec::new()),
            None => {
                let nearest = nearest(name, catalog.names()).map(String::from);
                let (name, release) = (name.clone(), catalog.release.clone());
                return Err(SelectError::Unknown { name, nearest, release, from: from.clone() });
            }
        },
        glob => catalog.kmods().filter(|(_, kmod)| glob.matches(kmod)).map(|(id, _)| (id, asked())).collect(),
    };
    if taken.is_empty() && !builtin_matches(catalog, pick) {
        let (pattern, release) = (word.clone(), catalog.release.clone());
        return Err(SelectError::NoMatch { pattern, release, from: from.clone() });
    }
    Ok(taken)
}

fn builtin_matches(catalog: &Catalog, pick: &Pick) -> bool {
    match pick {
        Pick::NameGlob(glob) => catalog.builtin.names().any(|name| init::glob::matches(glob, name)),
        Pick::Alias(alias) => catalog.builtin.answers_to(alias),
        Pick::Path(path) => catalog.builtin.has_path(path),
        Pick::Set(_) | Pick::Host(_) | Pick::Name(_) => false,
    }
}

fn pick_set(catalog: &Catalog, name: &str, from: &Provenance) -> Result<Vec<(KmodId, Provenance)>, SelectError> {
    let Some(rules) = sets::rules(name) else {
        let (name, known) = (name.to_string(), sets::names().collect());
        return Err(SelectError::UnknownSet { name, known, from: from.clone() });
    };
    let reason = |why: &str| from.nearer(format!("set @{name}: {why}"));
    let mut taken = Vec::new();
    for (id, kmod) in catalog.kmods() {
        taken.extend(rules.iter().find(|rule| rule.takes(kmod)).map(|rule| (id, reason(rule.why))));
    }
    Ok(taken)
}

/// What the machine has loaded, and all that answers to one of its devices.
fn pick_host(
    catalog: &Catalog,
    machine: &Machine,
    from: &Provenance,
    warnings: &mut Vec<String>,
) -> Vec<(KmodId, Provenance)> {
    let mut taken = Vec::new();
    let mut unknown = Vec::new();
    for name in &machine.loaded {
        match catalog.find(name) {
            Some(id) => taken.push((id, from.nearer("set @host: the machine has it loaded"))),
            None if catalog.builtin.has(name) => {}
            None => unknown.push(name.as_str()),
        }
    }
    for modalias in &machine.modaliases {
        let reason = from.nearer(format!("set @host: the machine's device {modalias}"));
        taken.extend(catalog.lookup(modalias).into_iter().map(|id| (id, reason.clone())));
    }
    if !unknown.is_empty() {
        warnings.push(format!(
            "kernel {} has not what this machine has loaded: {}",
            catalog.release,
            unknown.join(", ")
        ));
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::fake::kernel;

    fn catalog() -> Catalog {
        let kmods: &[(&str, &[&str])] = &[
            ("drivers/ata/ahci.ko", &["depends=libata", "alias=pci:v*d*sv*sd*bc01sc06i01*"]),
            ("drivers/ata/libata.ko", &["depends=scsi_mod"]),
            ("drivers/ata/pata_legacy.ko", &["depends=libata"]),
            ("drivers/scsi/scsi_mod.ko", &[]),
            ("drivers/block/floppy.ko", &["alias=pnp:dPNP0700*"]),
            ("fs/ext4/ext4.ko", &["alias=fs-ext4", "softdep=pre: crc32c", "weakdep=mbcache"]),
            ("fs/mbcache.ko", &[]),
            ("fs/orphan.ko", &["depends=gone"]),
            ("lib/crc32c.ko", &[]),
        ];
        let builtin = ("lib/modules/RELEASE/modules.builtin", "kernel/drivers/input/keyboard/atkbd.ko\n");
        Catalog::scan(&kernel(kmods, &[builtin])).unwrap()
    }

    fn chosen(catalog: &Catalog, patterns: &[&str]) -> Result<Selection, SelectError> {
        select(catalog, &Asked::all(patterns, &Provenance::new("profile")))
    }

    #[test]
    fn every_form_of_pattern_picks_and_dependencies_follow() {
        let catalog = catalog();
        for (patterns, wanted) in [
            (&["ext4"][..], &["ext4", "mbcache", "crc32c"][..]),
            (&["alias:fs-ext4", "!crc*"], &["ext4", "mbcache"]),
            (&["alias:pci:v00008086d00002922sv1sd1bc01sc06i01"], &["ahci", "libata", "scsi_mod"]),
            (&["kernel/drivers/block"], &["floppy"]),
            (&["kernel/*/flop*.ko"], &["floppy"]),
            (&["pata-*"], &["libata", "pata_legacy", "scsi_mod"]),
            (&["atkbd"], &[]),
            (&["at*d"], &[]),
            (&["kernel/drivers/input"], &[]),
            (&["@live", "!ext4"], &["ahci", "libata", "scsi_mod"]),
            (&[], &[]),
        ] {
            let selection = chosen(&catalog, patterns).unwrap();
            let names: Vec<_> = selection.iter().map(|(id, _)| catalog.get(id).name.as_str()).collect();
            assert_eq!(names, wanted, "{patterns:?}");
        }
    }

    #[test]
    fn every_kmod_knows_why_it_is_there() {
        let catalog = catalog();
        let selection = chosen(&catalog, &["@live"]).unwrap();
        let reason = |name: &str| selection.reason(catalog.find(name).unwrap()).unwrap().to_string();
        assert!(reason("ahci").starts_with("set @live: SATA"), "{}", reason("ahci"));
        assert_eq!(reason("scsi_mod"), format!("needed by libata <- needed by ahci <- {}", reason("ahci")));
        assert_eq!(reason("crc32c"), format!("tried before ext4 <- {}", reason("ext4")));
        assert!(reason("ahci").ends_with(" <- profile"));
    }

    #[test]
    fn the_machine_at_hand_names_its_drivers() {
        let catalog = catalog();
        let machine = Machine {
            loaded: ["floppy", "atkbd", "zfs"].map(String::from).into(),
            modaliases: ["pci:v00008086d00002922sv1sd1bc01sc06i01", "usb:v1"].map(String::from).into(),
        };
        let from = Provenance::new("profile");
        let asked = Asked { word: "@host".into(), from: from.clone(), machine: Some(machine.clone()) };
        let selection = select(&catalog, &[asked]).unwrap();
        let names: Vec<_> = selection.iter().map(|(id, _)| catalog.get(id).name.as_str()).collect();
        assert_eq!(names, ["ahci", "libata", "scsi_mod", "floppy"]);
        let reason = selection.reason(catalog.find("ahci").unwrap()).unwrap().to_string();
        assert_eq!(reason, "set @host: the machine's device pci:v00008086d00002922sv1sd1bc01sc06i01 <- profile");
        assert_eq!(selection.warnings, ["kernel 6.1.0-test has not what this machine has loaded: zfs"]);

        let out = Asked { word: "!@host".into(), from: from.clone(), machine: Some(machine) };
        let selection = select(&catalog, &[&Asked::all(&["floppy", "ext4"], &from)[..], &[out]].concat()).unwrap();
        assert!(!selection.contains(catalog.find("floppy").unwrap()));
    }

    #[test]
    fn what_cannot_be_selected_is_an_error_in_words() {
        let catalog = catalog();
        for (patterns, words) in [
            (&["ahcl"][..], "is it `ahci`?"),
            (&["zz*"], "`zz*` matches no kmod"),
            (&["@life"], "there is no set `@life`; there are @live"),
            (&["!@life"], "there is no set `@life`"),
            (&["ahci", "!libata"], "libata is excluded and needed: needed by ahci"),
            (&["orphan"], "orphan needs gone"),
        ] {
            let error = chosen(&catalog, patterns).unwrap_err().to_string();
            assert!(error.contains(words), "{patterns:?}: {error}");
        }
        let selection = chosen(&catalog, &["ahci", "!flopy"]).unwrap();
        assert!(selection.warnings[0].contains("is it `floppy`?"), "{:?}", selection.warnings);
    }
}
