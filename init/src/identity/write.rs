//! Changes done to a root: every path is found as if that root were `/`, and a
//! file is replaced whole or not at all.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, symlinkat, unlinkat};

use super::Change;
use crate::preflight::resolve;
use crate::unpack::Root;

/// Beside what it will replace.
const PART: &str = ".live-part";
const SKELETON: &str = "/etc/skel";
/// A skeleton that is deeper is left with what is deeper.
const MAX_DEPTH: u32 = 16;

/// The file's text, where there is one.
pub(crate) fn read(root: &Path, path: &str) -> Result<Option<String>, String> {
    match resolve(root, Path::new(path)).and_then(fs::read_to_string) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(format!("{path}: {e}")),
    }
}

pub(crate) fn write(root: &Path, change: &Change) -> Result<(), String> {
    let path = match change {
        Change::File { path, .. } | Change::Link { path, .. } | Change::Home { path, .. } => path,
    };
    let write = || match change {
        Change::File { path, text } => put(root, path, text),
        Change::Link { path, target } => {
            let (dir, name) = place(root, path)?;
            symlinkat(target.as_str(), &dir, PART)?;
            Ok(renameat(&dir, PART, &dir, name)?)
        }
        Change::Home { path, id, group } => {
            let home = Root::open(root)?.make_dir(path.as_bytes())?;
            let owner = (Uid::from_raw(*id), Gid::from_raw(*group));
            if let Ok(skeleton) = resolve(root, Path::new(SKELETON)) {
                copy(&skeleton, &home, owner, MAX_DEPTH)?;
            }
            give(&home, ".", owner)
        }
    };
    write().map_err(|e: io::Error| format!("{path}: {e}"))
}

fn put(root: &Path, path: &str, text: &str) -> io::Result<()> {
    let before = resolve(root, Path::new(path)).and_then(fs::metadata).ok();
    let (dir, name) = place(root, path)?;
    let mut file = create(&dir, PART)?;
    file.write_all(text.as_bytes())?;
    let mode = before.as_ref().map_or(0o644, |before| before.mode() & 0o7777);
    if let Some(before) = before {
        fchown(&file, Some(before.uid()), Some(before.gid()))?;
    }
    file.set_permissions(Permissions::from_mode(mode))?;
    Ok(renameat(&dir, PART, &dir, name)?)
}

/// The directory, made if it is missing, and the name in it.
fn place<'a>(root: &Path, path: &'a str) -> io::Result<(OwnedFd, &'a str)> {
    let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
    let dir = Root::open(root)?.make_dir(dir.as_bytes())?;
    match unlinkat(&dir, PART, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok((dir, name)),
        Err(e) => Err(e.into()),
    }
}

fn create(dir: &OwnedFd, name: &str) -> io::Result<File> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    Ok(openat(dir.as_fd(), name, flags, Mode::from_bits_truncate(0o600))?.into())
}

fn give(dir: &OwnedFd, name: &str, (user, group): (Uid, Gid)) -> io::Result<()> {
    Ok(fchownat(dir, name, Some(user), Some(group), nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW)?)
}

/// Files, directories and links; what is there already is its user's.
fn copy(from: &Path, into: &OwnedFd, owner: (Uid, Gid), depth: u32) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, path) = (entry.file_type()?, entry.path());
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if kind.is_symlink() {
            ignore_existing(symlinkat(&fs::read_link(&path)?, into, name).map_err(Into::into))?;
        } else if kind.is_file() {
            let copied = create(into, name).and_then(|mut to| {
                io::copy(&mut File::open(&path)?, &mut to)?;
                to.set_permissions(entry.metadata()?.permissions())
            });
            ignore_existing(copied)?;
        } else if kind.is_dir() && depth > 0 {
            let mode = Mode::from_bits_truncate(entry.metadata()?.mode() & 0o777);
            ignore_existing(nix::sys::stat::mkdirat(into, name, mode).map_err(Into::into))?;
            let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            copy(&path, &openat(into, name, flags, Mode::empty())?, owner, depth - 1)?;
        } else {
            continue;
        }
        give(into, name, owner)?;
    }
    Ok(())
}

fn ignore_existing(made: io::Result<()>) -> io::Result<()> {
    match made {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}
