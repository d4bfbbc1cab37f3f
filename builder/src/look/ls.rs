//! `liveroot ls`: entries of an image, in the words of the tree's listing.

use serde::Serialize;
use tree::listing::{self, Line, What, With};
use tree::{Escaped, TreePath};

use crate::opened::Location;

/// The entries that are asked for: of a directory what stands in it, or all
/// that stands below it, and anything else by itself.
pub fn lines(location: &Location, recursive: bool) -> std::io::Result<Vec<Line>> {
    let tree = &location.image().opened.tree;
    let path = &location.path;
    let lines = listing::of(tree, With::Metadata)?.lines;
    let is_dir = tree.get(path).is_some_and(|item| item.is_dir());
    let depth = path.depth() + 1;
    let asked = |line: &Line| match (is_dir, recursive) {
        (false, _) => line.path == *path,
        (true, true) => line.path.is_within(path),
        (true, false) => line.path.is_within(path) && line.path.depth() == depth,
    };
    Ok(lines.into_iter().filter(asked).collect())
}

/// As `ls` prints it: a name where one directory is listed, else the whole path.
pub fn name(line: &Line, dir: &TreePath, recursive: bool) -> String {
    match line.path.strip_dir(dir) {
        Some(name) if !recursive && !name.is_root() => Escaped(name.as_bytes()).to_string(),
        _ => line.path.to_string(),
    }
}

/// One entry in JSON; see docs/reading.md.
#[derive(Debug, Serialize)]
pub struct Entry {
    path: String,
    #[serde(rename = "type")]
    kind: &'static str,
    mode: String,
    uid: u32,
    gid: u32,
    mtime: i64,
    links: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    xattrs: Vec<String>,
}

impl From<&Line> for Entry {
    fn from(line: &Line) -> Self {
        let (kind, size, target, device) = match &line.what {
            What::Dir => ("directory", None, None, None),
            What::File { size, .. } => ("file", Some(*size), None, None),
            What::Symlink(target) => ("symlink", None, Some(Escaped(target).to_string()), None),
            What::CharDevice { major, minor } => ("character device", None, None, Some(format!("{major}:{minor}"))),
            What::BlockDevice { major, minor } => ("block device", None, None, Some(format!("{major}:{minor}"))),
            What::Fifo => ("fifo", None, None, None),
            What::Socket => ("socket", None, None, None),
        };
        Self {
            path: line.path.to_string(),
            kind,
            mode: format!("{:04o}", line.mode),
            uid: line.uid,
            gid: line.gid,
            mtime: line.mtime,
            links: line.links,
            link: line.link.as_ref().map(ToString::to_string),
            size,
            target,
            device,
            xattrs: line.xattrs.keys().map(|name| Escaped(name).to_string()).collect(),
        }
    }
}
