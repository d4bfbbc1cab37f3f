//! `liveroot diff`: two images compared by what is in them, not by their bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::Result;
use serde::Serialize;
use tree::listing::{self, Difference, Line, Listing, What, With};
use tree::{Tree, TreePath};

use super::loader;
use super::ls::Entry;
use crate::opened::{Format, Level, Location, is_image, open};

/// What is different, image by image.
#[derive(Debug, Default)]
pub struct Report {
    images: Vec<Image>,
}

#[derive(Debug)]
struct Image {
    /// Empty for the images that were asked for, else where it stands in both.
    at: TreePath,
    differences: Vec<Difference>,
    cmdlines: Sets,
    kmods: Sets,
}

#[derive(Debug, Default, Serialize)]
struct Sets {
    added: Vec<String>,
    removed: Vec<String>,
}

/// Compares two places. The parts and the initramfs of an ISO are compared by
/// what is in them, too.
pub fn diff(old: &Location, new: &Location) -> Result<Report> {
    let sides = [old, new].map(|side| {
        let tree = &side.image().opened.tree;
        tree.subtree(&side.path).unwrap_or_else(|| tree.clone())
    });
    let [old_tree, new_tree] = &sides;
    let whole = compare(TreePath::root(), old_tree, new_tree)?;
    let inner: Vec<TreePath> = match (&old.image().opened.format, &new.image().opened.format) {
        (Format::Iso(_), Format::Iso(_)) => whole.differences.iter().filter_map(changed_file).collect(),
        _ => Vec::new(),
    };
    let mut report = Report::default();
    report.images.push(whole);
    for path in inner {
        let sides = [(old, old_tree), (new, new_tree)].map(|(side, tree)| inside(side.image(), tree, &path));
        if let [Some(old), Some(new)] = sides {
            report.images.push(compare(path.clone(), &old?, &new?)?);
        }
    }
    report.images.retain(|image| !image.is_empty());
    Ok(report)
}

fn changed_file(difference: &Difference) -> Option<TreePath> {
    match difference {
        Difference::Changed { old, new } => {
            let differs =
                old.what != new.what && matches!((&old.what, &new.what), (What::File { .. }, What::File { .. }));
            differs.then(|| new.path.clone())
        }
        _ => None,
    }
}

/// The tree of the image at `path`, if there is an image.
fn inside(level: &Level, tree: &Tree, path: &TreePath) -> Option<Result<Tree>> {
    let content = tree.get(path)?.content()?.clone();
    let name = format!("{}:{path}", level.name);
    is_image(&content).then(|| Ok(open(&name, content)?.tree))
}

fn compare(at: TreePath, old: &Tree, new: &Tree) -> Result<Image> {
    let (mut old_listing, mut new_listing) = (listing::of(old, With::Metadata)?, listing::of(new, With::Metadata)?);
    mark_contents((old, &mut old_listing), (new, &mut new_listing))?;
    let (old_entries, new_entries) = (loader::entries(old)?, loader::entries(new)?);
    Ok(Image {
        at,
        differences: listing::diff(&old_listing, &new_listing),
        cmdlines: Sets::of(&loader::cmdlines(&old_entries), &loader::cmdlines(&new_entries)),
        kmods: Sets::of(&kmods(old), &kmods(new)),
    })
}

/// Files of one length at one path are read and compared; where they differ,
/// the lines get digests that do.
fn mark_contents((old, old_listing): (&Tree, &mut Listing), (new, new_listing): (&Tree, &mut Listing)) -> Result<()> {
    let mut lines: BTreeMap<TreePath, &mut Line> =
        old_listing.lines.iter_mut().map(|line| (line.path.clone(), line)).collect();
    for line in &mut new_listing.lines {
        let Some(twin) = lines.get_mut(&line.path) else { continue };
        let contents = [old, new].map(|tree| tree.get(&line.path).and_then(|item| item.content()));
        let [Some(a), Some(b)] = contents else { continue };
        if a.len() == b.len() && !a.is_same(b)? {
            for (line, digest) in [(&mut line.what, [1; 32]), (&mut twin.what, [0; 32])] {
                if let What::File { sha256, .. } = line {
                    *sha256 = Some(digest);
                }
            }
        }
    }
    Ok(())
}

/// Names without the release and the compression: a new kernel has the same kmods elsewhere.
fn kmods(tree: &Tree) -> BTreeSet<String> {
    let name = |name: &[u8]| {
        let name = String::from_utf8_lossy(name).into_owned();
        name.split_once(".ko")
            .filter(|(_, end)| matches!(*end, "" | ".gz" | ".xz" | ".zst"))
            .map(|(name, _)| name.to_owned())
    };
    tree.walk().filter(|item| !item.is_dir()).filter_map(|item| name(item.path.name())).collect()
}

impl Sets {
    fn of<T: Ord + ToString>(old: &BTreeSet<T>, new: &BTreeSet<T>) -> Self {
        let names = |set: std::collections::btree_set::Difference<'_, T>| set.map(ToString::to_string).collect();
        Self { added: names(new.difference(old)), removed: names(old.difference(new)) }
    }

    fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }

    fn show(&self, f: &mut fmt::Formatter<'_>, what: &str, each: bool) -> fmt::Result {
        if self.is_empty() {
            return Ok(());
        }
        writeln!(f, "{what}: {} added, {} removed", self.added.len(), self.removed.len())?;
        let (added, removed) = (self.added.iter().map(|name| ('+', name)), self.removed.iter().map(|name| ('-', name)));
        let mut all = removed.chain(added);
        if each {
            return all.try_for_each(|(sign, name)| writeln!(f, "  {sign} {name}"));
        }
        let all: Vec<String> = all.map(|(sign, name)| format!("{sign}{name}")).collect();
        writeln!(f, "  {}", all.join(" "))
    }
}

impl Image {
    fn is_empty(&self) -> bool {
        self.differences.is_empty() && self.cmdlines.is_empty() && self.kmods.is_empty()
    }
}

impl Report {
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// As docs/reading.md says.
    pub fn json(&self) -> serde_json::Value {
        let images = self.images.iter().map(|image| {
            let (mut added, mut removed, mut changed) = (Vec::new(), Vec::new(), Vec::new());
            for difference in &image.differences {
                match difference {
                    Difference::Added(line) => added.push(Entry::from(line)),
                    Difference::Removed(line) => removed.push(Entry::from(line)),
                    Difference::Changed { old, new } => changed.push(serde_json::json!({
                        "path": new.path.to_string(),
                        "old": Entry::from(old),
                        "new": Entry::from(new),
                        "content": old.what != new.what,
                    })),
                }
            }
            serde_json::json!({
                "image": image.at.to_string(), "added": added, "removed": removed, "changed": changed,
                "cmdlines": image.cmdlines, "kmods": image.kmods,
            })
        });
        serde_json::json!({ "different": !self.is_empty(), "images": images.collect::<Vec<_>>() })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for image in &self.images {
            if !image.at.is_root() {
                writeln!(f, "in {}:", image.at)?;
            }
            image.differences.iter().try_for_each(|difference| writeln!(f, "{difference}"))?;
            image.cmdlines.show(f, "command lines", true)?;
            image.kmods.show(f, "kmods", false)?;
        }
        Ok(())
    }
}
