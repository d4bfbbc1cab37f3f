//! A package that is an image, mounted by the kernel: copied like an archive,
//! entry by entry and under the same rules.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{major, minor};
use nix::sys::time::TimeSpec;

use super::error::{Refusal, UnpackError};
use super::member::{Attributes, Kind, Member};
use super::{ENTRIES_MAX, Extraction, Limits, Linked, Summary, names};
use crate::sys;

/// Copies what is in `from` over `root`. Nobody else may write in `from`.
pub fn tree(from: &Path, root: &Path, limits: &Limits) -> Result<Summary, UnpackError> {
    let mut extraction = Extraction::new(root, limits)?;
    let mut linked = Linked::default();
    // What is still to be copied, the next one last.
    let mut ahead = vec![PathBuf::new()];
    while let Some(path) = ahead.pop() {
        let name = path.as_os_str().as_bytes();
        let unreadable = |error| UnpackError::Read { after: name.to_vec(), error };
        let at = from.join(&path);
        let about = fs::symlink_metadata(&at).map_err(unreadable)?;
        let (member, file) = member(name, &at, &about, &mut linked)?;
        if member.kind == Kind::Directory {
            let names = names(&at, ENTRIES_MAX).map_err(unreadable)?;
            ahead.extend(names.into_iter().map(|name| path.join(name)));
        }
        let mut contents = file.map(|file| file.take(member.size));
        let mut left = member.size;
        extraction.place(&member, &mut |buffer| {
            let Some(contents) = contents.as_mut().filter(|_| left > 0) else { return Ok(0) };
            match contents.read(buffer).map_err(unreadable)? {
                0 => Err(unreadable(io::ErrorKind::UnexpectedEof.into())),
                len => {
                    left -= len as u64;
                    Ok(len)
                }
            }
        })?;
    }
    extraction.finish()
}

/// With the file that its contents are read from.
fn member(
    name: &[u8],
    at: &Path,
    about: &Metadata,
    linked: &mut Linked,
) -> Result<(Member, Option<File>), UnpackError> {
    let unreadable = |error| UnpackError::Read { after: name.to_vec(), error };
    let kind = about.file_type();
    let has_several = !kind.is_dir() && about.nlink() > 1;
    let first = if has_several { linked.first(about.ino(), name) } else { None };
    let device = |block| Kind::Device { block, major: major(about.rdev()) as u32, minor: minor(about.rdev()) as u32 };
    let kind = if let Some(first) = first {
        Kind::HardLink(first.to_vec())
    } else if kind.is_dir() {
        Kind::Directory
    } else if kind.is_file() {
        Kind::File
    } else if kind.is_symlink() {
        Kind::Symlink(fs::read_link(at).map_err(unreadable)?.into_os_string().into_encoded_bytes())
    } else if kind.is_fifo() {
        Kind::Fifo
    } else if kind.is_socket() {
        return Err(UnpackError::Refused { entry: name.to_vec(), why: Refusal::Socket });
    } else {
        device(kind.is_block_device())
    };
    let open = || {
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        OpenOptions::new().read(true).custom_flags(flags.bits()).open(at).map_err(unreadable)
    };
    let file = if matches!(kind, Kind::File | Kind::Directory) { Some(open()?) } else { None };
    let xattrs = match file.as_ref().map(|file| sys::xattrs(file.as_fd())) {
        // The file system has none, or this kernel leaves them out.
        None | Some(Err(Errno::EOPNOTSUPP)) => Vec::new(),
        Some(xattrs) => xattrs.map_err(|errno| unreadable(errno.into()))?,
    };
    let attributes = Attributes {
        mode: about.mode() & 0o7777,
        uid: about.uid(),
        gid: about.gid(),
        mtime: TimeSpec::new(about.mtime(), about.mtime_nsec()),
        xattrs,
    };
    let size = if kind == Kind::File { about.len() } else { 0 };
    let file = file.filter(|_| kind == Kind::File);
    Ok((Member { name: name.to_vec(), kind, size, attributes }, file))
}
