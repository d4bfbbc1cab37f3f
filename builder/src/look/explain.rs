//! `liveroot explain`: where a file of an image came from, and what needs it.

use std::fs::File;
use std::path::Path;

use anyhow::{Result, bail};
use init::contract::medium;
use serde::Serialize;
use tree::{Provenance, Tree, TreePath};

use super::ours;
use crate::dpkg;
use crate::opened::Location;
use crate::provenance::role::words;
use crate::provenance::{Record, beside};

/// The causes, nearest first.
#[derive(Debug, Serialize)]
pub struct Explanation {
    path: String,
    image: String,
    causes: Vec<String>,
}

/// Why each of these entries of the last image of `location` is there.
pub fn explain(location: &Location, paths: &[TreePath]) -> Result<Vec<Explanation>> {
    let image = location.image();
    let Some(records) = Records::of(location)? else {
        bail!(
            "{}: there is no record of where its files came from: liveroot puts one on the media it builds, \
             and beside an initramfs it builds alone",
            location.levels[0].name
        );
    };
    let mut packages = dpkg::owners(&image.opened.tree, paths)?;
    let mut explained = Vec::new();
    for path in paths {
        let Some(from) = records.chain(path) else {
            bail!("{}: the record of where files came from says nothing of this image", image.name);
        };
        let package = packages.remove(path).map(|package| format!("{} {package}", words::PACKAGE));
        let way = on_the_way(&image.opened.tree, path, &records).map(|to| format!("directory on the way to {to}"));
        let causes = package.into_iter().chain(way).chain(from.causes().map(str::to_owned)).collect();
        explained.push(Explanation { path: path.to_string(), image: image.name.clone(), causes });
    }
    Ok(explained)
}

/// What a directory was made for, if not for itself: the file below it that
/// has its causes.
fn on_the_way<'a>(tree: &'a Tree, dir: &TreePath, records: &Records) -> Option<&'a TreePath> {
    tree.get(dir).filter(|item| item.is_dir() && !item.path.is_root())?;
    let causes = records.chain(dir);
    let below = tree.walk_below(dir).filter(|item| !item.is_dir());
    below.map(|item| item.path).find(|path| records.chain(path) == causes)
}

/// What is known of the entries of one image.
pub(super) struct Records {
    record: Record,
    /// Where the record says that the image stands.
    at: TreePath,
}

impl Records {
    /// `None` for an image of which nothing is known.
    pub(super) fn of(location: &Location) -> Result<Option<Self>> {
        Ok(record(location)?.map(|(record, at)| Self { record, at }))
    }

    pub(super) fn chain(&self, path: &TreePath) -> Option<&Provenance> {
        self.record.get(&self.at, path)
    }
}

impl std::fmt::Display for Explanation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{} in {}", self.path, self.image)?;
        self.causes.iter().enumerate().try_for_each(|(n, cause)| {
            writeln!(f, "{}{} {cause}", "  ".repeat(n), if n == 0 { "from" } else { "because of" })
        })
    }
}

/// The record, and where it says that the place's image stands.
fn record(location: &Location) -> Result<Option<(Record, TreePath)>> {
    let outer = &location.levels[0];
    let inner: Vec<&TreePath> = location.levels[1..].iter().map(|level| &level.at).collect();
    if let Some(content) = ours::file(&outer.opened.tree, &ours::on_medium(medium::PROVENANCE)) {
        let at = match *inner {
            [] => TreePath::root(),
            [at] => at.clone(),
            // What an image within a part holds, nobody wrote down.
            _ => return Ok(None),
        };
        return Ok(Some((Record::decode(content.open()?)?, at)));
    }
    if !inner.is_empty() {
        return Ok(None);
    }
    // An initramfs that was built alone has it beside it.
    match File::open(beside(Path::new(&outer.name))) {
        Ok(file) => Ok(Some((Record::decode(file)?, TreePath::root()))),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e.into()),
    }
}
