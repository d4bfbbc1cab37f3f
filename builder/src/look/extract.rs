//! `liveroot extract`: what stands in an image, as files of this system.
//!
//! Everything is made in a new folder beside the one that was asked for, which
//! takes its name when it is whole. Nothing in a tree stands below a symlink,
//! so nothing is ever written through one.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use tree::{Content, Item, Kind, LeafId, Meta, Node, Tree, TreePath};

use crate::publish::{Draft, PublishError};

#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    #[error("{}: is there already; name a folder that is new or empty", .0.display())]
    Occupied(PathBuf),
    #[error("{}: its folder does not exist", .0.display())]
    NoFolder(PathBuf),
    #[error("{}: {need} bytes are to be written, and there is room for {room}", path.display())]
    NoRoom { path: PathBuf, need: u64, room: u64 },
    #[error("{0}: is neither a directory nor a file")]
    Special(TreePath),
    #[error("{path}: cannot be extracted to {}", to.display())]
    Entry { path: TreePath, to: PathBuf, source: io::Error },
    #[error("{}: cannot be made", path.display())]
    Make { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Publish(#[from] PublishError),
}

/// What was made, and what was not.
#[derive(Debug, Default)]
pub struct Summary {
    pub entries: usize,
    pub bytes: u64,
    /// Devices, fifos and sockets: a folder of files is no place for them.
    pub special: Vec<TreePath>,
    /// Entries whose owner or set-uid bit took root to keep.
    pub without_owner: usize,
    pub without_xattrs: usize,
}

/// One file, under the name `target`.
pub fn file(path: &TreePath, content: &Content, target: &Path) -> Result<u64, ExtractError> {
    let mut draft = Draft::create(target)?;
    let copied = content.open().and_then(|mut reader| io::copy(&mut reader, draft.file()));
    let len = copied.map_err(|source| ExtractError::Entry { path: path.clone(), to: target.into(), source })?;
    draft.publish()?;
    Ok(len)
}

/// The directory `dir` and all below it, as the folder `target`.
pub fn tree(tree: &Tree, dir: &TreePath, target: &Path) -> Result<Summary, ExtractError> {
    let sub = tree.subtree(dir).ok_or_else(|| ExtractError::Special(dir.clone()))?;
    let parent = match target.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Err(ExtractError::Occupied(target.into())),
    };
    if !parent.is_dir() {
        return Err(ExtractError::NoFolder(target.into()));
    }
    match fs::read_dir(target).map(Iterator::count) {
        Ok(0) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Ok(_) | Err(_) => return Err(ExtractError::Occupied(target.into())),
    }
    check_room(&sub, parent)?;
    let made = |source| ExtractError::Make { path: target.into(), source };
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let scratch = tempfile::Builder::new().prefix(&format!(".{name}.draft-")).tempdir_in(parent).map_err(made)?;
    let mut making = Making {
        dir: scratch.path(),
        as_root: nix::unistd::geteuid().is_root(),
        summary: Summary::default(),
        links: HashMap::new(),
    };
    for item in sub.walk() {
        let to = making.place(item.path);
        making.entry(&item).map_err(|source| ExtractError::Entry { path: item.path.clone(), to, source })?;
    }
    // Last, and children first: a directory may forbid to write in it, and
    // gets a new date by what is made in it.
    let dirs: Vec<_> = sub.walk().filter(Item::is_dir).collect();
    for item in dirs.iter().rev() {
        let to = making.place(item.path);
        making.metadata(&to, item.meta).map_err(|source| ExtractError::Entry {
            path: item.path.clone(),
            to,
            source,
        })?;
    }
    let summary = making.summary;
    fs::rename(scratch.path(), target).map_err(made)?;
    // Its name is gone, and with it the guard's work.
    let _ = scratch.keep();
    Ok(summary)
}

/// A few bytes may promise a file of any length.
fn check_room(tree: &Tree, dir: &Path) -> Result<(), ExtractError> {
    let stat =
        nix::sys::statvfs::statvfs(dir).map_err(|e| ExtractError::Make { path: dir.into(), source: e.into() })?;
    let (need, room) = (tree.content_len(), stat.blocks_available() * stat.fragment_size());
    if need > room {
        return Err(ExtractError::NoRoom { path: dir.into(), need, room });
    }
    Ok(())
}

struct Making<'a> {
    dir: &'a Path,
    as_root: bool,
    summary: Summary,
    links: HashMap<LeafId, PathBuf>,
}

impl Making<'_> {
    fn place(&self, path: &TreePath) -> PathBuf {
        self.dir.join(OsStr::from_bytes(path.as_bytes()))
    }

    fn entry(&mut self, item: &Item<'_>) -> io::Result<()> {
        let to = self.place(item.path);
        self.summary.entries += 1;
        let Node::Leaf { id, kind, .. } = item.node else {
            if !item.path.is_root() {
                fs::create_dir(&to)?;
            }
            return fs::set_permissions(&to, Permissions::from_mode(0o700));
        };
        if let Some(first) = self.links.get(&id) {
            return fs::hard_link(first, to);
        }
        match kind {
            Kind::File(content) => {
                let mut out = File::create_new(&to)?;
                self.summary.bytes += copy_sparse(content, &mut out)?;
                drop(out);
                self.metadata(&to, item.meta)?;
            }
            Kind::Symlink(target) => {
                std::os::unix::fs::symlink(OsStr::from_bytes(target), &to)?;
                self.owner(&to, item.meta)?;
                set_time(&to, item.meta)?;
            }
            Kind::CharDevice { .. } | Kind::BlockDevice { .. } | Kind::Fifo | Kind::Socket => {
                self.summary.entries -= 1;
                self.summary.special.push(item.path.clone());
                return Ok(());
            }
        }
        self.links.insert(id, to);
        Ok(())
    }

    /// Of a file or a directory.
    fn metadata(&mut self, to: &Path, meta: &Meta) -> io::Result<()> {
        self.owner(to, meta)?;
        // Without its owner, a set-uid file would give away somebody else's rights.
        let mode = if self.as_root { meta.mode } else { meta.mode & 0o1777 };
        fs::set_permissions(to, Permissions::from_mode(mode))?;
        self.summary.without_xattrs += usize::from(!meta.xattrs.is_empty());
        set_time(to, meta)
    }

    fn owner(&mut self, to: &Path, meta: &Meta) -> io::Result<()> {
        if self.as_root {
            return std::os::unix::fs::lchown(to, Some(meta.uid), Some(meta.gid));
        }
        self.summary.without_owner += usize::from(meta.uid != 0 || meta.gid != 0 || meta.mode & 0o6000 != 0);
        Ok(())
    }
}

fn set_time(to: &Path, meta: &Meta) -> io::Result<()> {
    let time = TimeSpec::new(meta.mtime, 0);
    Ok(utimensat(AT_FDCWD, to, &time, &time, UtimensatFlags::NoFollowSymlink)?)
}

/// Zeros become holes: what was sparse is sparse again.
fn copy_sparse(content: &Content, out: &mut File) -> io::Result<u64> {
    let mut reader = content.open()?;
    let mut buf = vec![0; 1 << 17];
    let mut len = 0;
    loop {
        let got = reader.read(&mut buf)?;
        if got == 0 {
            break;
        }
        if buf[..got].iter().all(|b| *b == 0) {
            out.seek(SeekFrom::Current(got as i64))?;
        } else {
            out.write_all(&buf[..got])?;
        }
        len += got as u64;
    }
    out.set_len(len)?;
    Ok(len)
}
