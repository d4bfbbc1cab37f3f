//! A directory of the host as a tree. Symlinks are taken as they are and
//! never followed, and nothing depends on the order the directory is read in.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::sys::stat::{major, minor};

use crate::{Conflict, Content, Kind, Leaf, Meta, PathError, Provenance, Tree, TreePath, archive};

/// Whose the entries are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owners {
    /// Everything is root's, whoever built the directory: for sources in a
    /// checkout. Of the xattrs only `user.*` and capabilities are taken; the
    /// others are the host's (labels, ACLs, overlayfs), and which of them are
    /// seen depends on who looks.
    Root,
    /// Everything is as the host says: for a root file system.
    AsIs,
}

#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error("{}: cannot {doing}", path.display())]
    Io { path: PathBuf, doing: &'static str, source: io::Error },
    #[error("{}: {problem}", path.display())]
    Unfit { path: PathBuf, problem: &'static str },
    #[error("{}: cannot stand in a tree", path.display())]
    Path { path: PathBuf, source: PathError },
    #[error("{}: contradicts the rest of its tree", path.display())]
    Conflict { path: PathBuf, source: Conflict },
}

/// Everything in `dir`, whose own metadata becomes the root's. Other file
/// systems mounted below it are taken too.
pub fn load(dir: &Path, owners: Owners, from: &Provenance) -> Result<Tree, HostError> {
    let top = fs::metadata(dir).map_err(io_error(dir, "look at it"))?;
    if !top.is_dir() {
        return Err(HostError::Unfit { path: dir.into(), problem: "is not a directory" });
    }
    let mut tree = Tree::new();
    let mut links: HashMap<(u64, u64), TreePath> = HashMap::new();
    let mut waiting = vec![(TreePath::root(), dir.to_path_buf(), top)];
    while let Some((path, host, stat)) = waiting.pop() {
        let conflict = |source| HostError::Conflict { path: host.clone(), source };
        if stat.is_dir() {
            let meta = meta(&host, &stat, owners)?;
            waiting.extend(children(&path, &host)?);
            tree.insert_dir(path, meta, from.clone()).map_err(conflict)?;
            continue;
        }
        if stat.nlink() > 1 {
            match links.entry((stat.dev(), stat.ino())) {
                std::collections::hash_map::Entry::Occupied(first) => {
                    tree.insert_link(path, first.get(), from.clone()).map_err(conflict)?;
                    continue;
                }
                std::collections::hash_map::Entry::Vacant(first) => {
                    first.insert(path.clone());
                }
            }
        }
        tree.insert_leaf(path, leaf(&host, &stat, owners)?, from.clone()).map_err(conflict)?;
    }
    Ok(tree)
}

/// One regular file of the host, which may be reached through symlinks.
pub fn file(path: &Path, owners: Owners) -> Result<Leaf, HostError> {
    let stat = fs::metadata(path).map_err(io_error(path, "look at it"))?;
    if !stat.is_file() {
        return Err(HostError::Unfit { path: path.into(), problem: "is not a regular file" });
    }
    let real = fs::canonicalize(path).map_err(io_error(path, "resolve it"))?;
    leaf(&real, &stat, owners)
}

/// Last name first, because [`load`] takes them from the end.
fn children(path: &TreePath, host: &Path) -> Result<Vec<(TreePath, PathBuf, Metadata)>, HostError> {
    let failed = |e| io_error(host, "list it")(e);
    let mut found = Vec::new();
    for entry in fs::read_dir(host).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let child = host.join(&name);
        let stat = fs::symlink_metadata(&child).map_err(io_error(&child, "look at it"))?;
        let path = path.join(name.as_bytes()).map_err(|source| HostError::Path { path: child.clone(), source })?;
        found.push((path, child, stat));
    }
    found.sort_by(|(a, ..), (b, ..)| b.cmp(a));
    Ok(found)
}

fn leaf(host: &Path, stat: &Metadata, owners: Owners) -> Result<Leaf, HostError> {
    let kind = stat.file_type();
    let device = (major(stat.rdev()) as u32, minor(stat.rdev()) as u32);
    let kind = if kind.is_file() {
        Kind::File(Content::host(host, stat.len()))
    } else if kind.is_symlink() {
        let target = fs::read_link(host).map_err(io_error(host, "read where it points to"))?;
        let unfit = |problem| HostError::Unfit { path: host.into(), problem };
        archive::symlink(target.into_os_string().as_bytes().to_vec()).map_err(unfit)?
    } else if kind.is_char_device() {
        Kind::CharDevice { major: device.0, minor: device.1 }
    } else if kind.is_block_device() {
        Kind::BlockDevice { major: device.0, minor: device.1 }
    } else if kind.is_fifo() {
        Kind::Fifo
    } else {
        Kind::Socket
    };
    Ok(Leaf { meta: meta(host, stat, owners)?, kind })
}

fn meta(host: &Path, stat: &Metadata, owners: Owners) -> Result<Meta, HostError> {
    let (uid, gid) = match owners {
        Owners::Root => (0, 0),
        Owners::AsIs => (stat.uid(), stat.gid()),
    };
    Ok(Meta { uid, gid, mtime: stat.mtime(), xattrs: xattrs(host, owners)?, ..Meta::new(stat.mode()) })
}

fn xattrs(host: &Path, owners: Owners) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, HostError> {
    let mut found = BTreeMap::new();
    let names = match xattr::list(host) {
        Ok(names) => names,
        // A file system without xattrs holds none that could be lost.
        Err(e) if e.kind() == io::ErrorKind::Unsupported => return Ok(found),
        Err(e) => return Err(io_error(host, "list its xattrs")(e)),
    };
    for name in names {
        let key = name.as_bytes();
        if owners == Owners::Root && !key.starts_with(b"user.") && key != b"security.capability" {
            continue;
        }
        // `None`: it went between the two calls.
        if let Some(value) = xattr::get(host, &name).map_err(io_error(host, "read its xattrs"))? {
            found.insert(key.to_vec(), value);
        }
    }
    Ok(found)
}

fn io_error(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> HostError {
    let path = path.to_path_buf();
    move |source| HostError::Io { path, doing, source }
}
