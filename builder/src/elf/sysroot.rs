//! A file system to look libraries up in, which is not the one that runs.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tree::{Content, Kind, Leaf, Meta, Node, Tree, TreePath};

use super::ElfError;

/// As Linux (include/linux/namei.h).
const MAX_LINKS: usize = 40;

#[derive(Debug, Clone)]
pub enum Found {
    Dir,
    Symlink(Vec<u8>),
    /// The content once more, beside the leaf that has it.
    File(Leaf, Content),
    Special,
}

/// The paths asked for have no symlink in them before their last component.
pub trait Sysroot {
    fn lookup(&self, path: &TreePath) -> io::Result<Option<Found>>;

    /// Names in a directory, in any order; none if it is none.
    fn list(&self, dir: &TreePath) -> io::Result<Vec<Vec<u8>>>;
}

impl Sysroot for Tree {
    fn lookup(&self, path: &TreePath) -> io::Result<Option<Found>> {
        Ok(self.get(path).map(|item| match item.node {
            Node::Dir => Found::Dir,
            Node::Leaf { kind: Kind::Symlink(target), .. } => Found::Symlink(target.clone()),
            Node::Leaf { kind: Kind::File(content), .. } => {
                let leaf = Leaf { meta: item.meta.clone(), kind: Kind::File(content.clone()) };
                Found::File(leaf, content.clone())
            }
            Node::Leaf { .. } => Found::Special,
        }))
    }

    fn list(&self, dir: &TreePath) -> io::Result<Vec<Vec<u8>>> {
        Ok(self.children(dir).map(|item| item.path.name().to_vec()).collect())
    }
}

/// A directory of the host; `/` is one too.
#[derive(Debug)]
pub struct HostSysroot(PathBuf);

impl HostSysroot {
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self(dir.into())
    }

    fn at(&self, path: &TreePath) -> PathBuf {
        self.0.join(Path::new(std::ffi::OsStr::from_bytes(path.as_bytes())))
    }
}

impl Sysroot for HostSysroot {
    fn lookup(&self, path: &TreePath) -> io::Result<Option<Found>> {
        let at = self.at(path);
        let meta = match fs::symlink_metadata(&at) {
            Ok(meta) => meta,
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(None),
            Err(e) => return Err(e),
        };
        Ok(Some(if meta.is_dir() {
            Found::Dir
        } else if meta.is_symlink() {
            Found::Symlink(fs::read_link(&at)?.into_os_string().into_vec())
        } else if meta.is_file() {
            let content = Content::host(at, meta.len());
            // Owners and times of the host are not the image's.
            Found::File(Leaf { meta: Meta::new(meta.mode()), kind: Kind::File(content.clone()) }, content)
        } else {
            Found::Special
        }))
    }

    fn list(&self, dir: &TreePath) -> io::Result<Vec<Vec<u8>>> {
        match fs::read_dir(self.at(dir)) {
            Ok(entries) => entries.map(|entry| Ok(entry?.file_name().into_vec())).collect(),
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(Vec::new()),
            Err(e) => Err(e),
        }
    }
}

/// A step of the way to a file: what has to be in the image so that the path
/// leads there too.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Link { at: TreePath, target: Vec<u8> },
    File { at: TreePath, leaf: Leaf, content: Content },
}

/// Every step from `path` to the file it leads to; empty if there is none.
///
/// Symlinks to files are kept. Symlinks to directories are not: a merged /usr
/// would claim /lib, where the image has directories of its own. A path
/// through one becomes a symlink to the file's real place.
pub(super) fn steps(sysroot: &dyn Sysroot, path: &TreePath) -> Result<Vec<Step>, ElfError> {
    let mut steps = Vec::new();
    let mut path = path.clone();
    for _ in 0..MAX_LINKS {
        let Some(dir) = real_dir(sysroot, &path.parent().unwrap_or_default())? else { return Ok(Vec::new()) };
        let real = dir.join(path.name()).map_err(|source| ElfError::Path { path: path.clone(), source })?;
        if real != path {
            let target = [b"/", real.as_bytes()].concat();
            steps.push(Step::Link { at: path, target });
        }
        match lookup(sysroot, &real)? {
            Some(Found::File(leaf, content)) => {
                steps.push(Step::File { at: real, leaf, content });
                return Ok(steps);
            }
            Some(Found::Symlink(target)) => {
                let next = follow(&dir, &target);
                steps.push(Step::Link { at: real.clone(), target });
                path = next.map_err(|source| ElfError::Path { path: real, source })?;
            }
            Some(Found::Dir | Found::Special) | None => return Ok(Vec::new()),
        }
    }
    Err(ElfError::Links { path })
}

/// The files that a glob over whole paths names, `*` stopping at `/`, by the
/// real places of their directories.
pub(crate) fn files(sysroot: &dyn Sysroot, glob: &str) -> Result<BTreeSet<TreePath>, ElfError> {
    let (dirs, name) = glob.rsplit_once('/').unwrap_or(("", glob));
    let mut found = BTreeSet::from([TreePath::root()]);
    for part in dirs.split('/').filter(|part| !part.is_empty()) {
        let mut below = BTreeSet::new();
        for path in children(sysroot, &found, part)? {
            below.extend(real_dir(sysroot, &path)?);
        }
        found = below;
    }
    let mut files = children(sysroot, &found, name)?;
    let mut failed = None;
    files.retain(|path| match steps(sysroot, path) {
        Ok(steps) => !steps.is_empty(),
        Err(error) => {
            failed = Some(error);
            false
        }
    });
    failed.map_or(Ok(files), Err)
}

/// What is called `name`, a glob, in any of the directories.
fn children(sysroot: &dyn Sysroot, dirs: &BTreeSet<TreePath>, name: &str) -> Result<BTreeSet<TreePath>, ElfError> {
    let mut found = BTreeSet::new();
    for dir in dirs {
        let names = sysroot.list(dir).map_err(|source| ElfError::Read { path: dir.clone(), source })?;
        let fitting = names.iter().filter(|entry| init::glob::matches(name, &String::from_utf8_lossy(entry)));
        found.extend(fitting.filter_map(|entry| dir.join(entry).ok()));
    }
    Ok(found)
}

/// The file that a path leads to, through whatever symlinks.
pub(crate) fn file(sysroot: &dyn Sysroot, path: &TreePath) -> Result<Option<Content>, ElfError> {
    Ok(steps(sysroot, path)?.pop().and_then(|step| match step {
        Step::File { content, .. } => Some(content),
        Step::Link { .. } => None,
    }))
}

/// Where a directory really is, or `None` if it is none.
pub(crate) fn real_dir(sysroot: &dyn Sysroot, dir: &TreePath) -> Result<Option<TreePath>, ElfError> {
    let mut real = TreePath::root();
    let mut open: Vec<Vec<u8>> = dir.components().map(<[u8]>::to_vec).collect();
    open.reverse();
    let mut links = 0;
    while let Some(part) = open.pop() {
        match part.as_slice() {
            b"" | b"." => continue,
            b".." => {
                real = real.parent().unwrap_or_default();
                continue;
            }
            _ => {}
        }
        let next = real.join(&part).map_err(|source| ElfError::Path { path: dir.clone(), source })?;
        match lookup(sysroot, &next)? {
            Some(Found::Dir) => real = next,
            Some(Found::Symlink(target)) => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(ElfError::Links { path: dir.clone() });
                }
                if target.starts_with(b"/") {
                    real = TreePath::root();
                }
                open.extend(target.split(|&b| b == b'/').rev().map(<[u8]>::to_vec));
            }
            _ => return Ok(None),
        }
    }
    Ok(Some(real))
}

/// Where a symlink in `dir` leads, by its text alone.
pub(super) fn follow(dir: &TreePath, target: &[u8]) -> Result<TreePath, tree::PathError> {
    let mut parts: Vec<&[u8]> = if target.starts_with(b"/") { Vec::new() } else { dir.components().collect() };
    for part in target.split(|&b| b == b'/') {
        match part {
            b".." => drop(parts.pop()),
            b"" | b"." => {}
            name => parts.push(name),
        }
    }
    TreePath::new(parts.join(&b'/'))
}

fn lookup(sysroot: &dyn Sysroot, path: &TreePath) -> Result<Option<Found>, ElfError> {
    sysroot.lookup(path).map_err(|source| ElfError::Read { path: path.clone(), source })
}

/// The text of a small configuration file, symlinks followed; empty if there is none.
pub(crate) fn read_text(sysroot: &dyn Sysroot, path: &TreePath) -> Result<String, ElfError> {
    const MAX_TEXT: u64 = 1 << 20;
    let Some(Step::File { at, content, .. }) = steps(sysroot, path)?.pop() else { return Ok(String::new()) };
    let bytes = content.read_all(MAX_TEXT).map_err(|source| ElfError::Read { path: at, source })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
