//! `liveroot explain`: where a file of an image came from, and what needs it.

use std::fs::File;
use std::path::Path;

use anyhow::{Result, bail};
use init::contract::medium;
use serde::Serialize;
use tree::{Content, TreePath};

use super::ours;
use crate::opened::{Level, Location, follow};
use crate::provenance::{Record, beside};

/// The causes, nearest first.
#[derive(Debug, Serialize)]
pub struct Explanation {
    path: String,
    image: String,
    causes: Vec<String>,
}

/// Why the entry at `location` is there.
pub fn explain(location: &Location) -> Result<Explanation> {
    let image = location.image();
    let Some((record, at)) = record(location)? else {
        bail!(
            "{}: there is no record of where its files came from: liveroot puts one on the media it builds, \
             and beside an initramfs it builds alone",
            location.levels[0].name
        );
    };
    let Some(from) = record.get(&at, &location.path) else {
        bail!("{}: the record of where files came from says nothing of this image", image.name);
    };
    let mut causes: Vec<String> = from.causes().map(str::to_owned).collect();
    if let Some(package) = dpkg_owner(image, &location.path)? {
        causes.insert(0, format!("Debian package {package}"));
    }
    Ok(Explanation { path: location.path.to_string(), image: image.name.clone(), causes })
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

/// Which package of a Debian root the file belongs to, by dpkg's own lists.
fn dpkg_owner(image: &Level, path: &TreePath) -> Result<Option<String>> {
    const LIST_MAX: u64 = 16 << 20;
    let tree = &image.opened.tree;
    let info = TreePath::new("var/lib/dpkg/info").expect("a plain path");
    for item in tree.children(&info) {
        let Some(package) = item.path.name().strip_suffix(b".list") else { continue };
        let Some(list) = item.content().map(|content| Content::read_all(content, LIST_MAX)).transpose()? else {
            continue;
        };
        // A merged /usr: the list says /bin/sh where /usr/bin/sh is meant.
        let named = list.split(|&b| b == b'\n').any(|line| {
            let same_name = line.rsplit(|&b| b == b'/').next() == Some(path.name());
            same_name && follow(tree, line, false).is_ok_and(|real| real == *path)
        });
        if named {
            return Ok(Some(String::from_utf8_lossy(package).into_owned()));
        }
    }
    Ok(None)
}
