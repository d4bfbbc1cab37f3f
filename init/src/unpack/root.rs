//! Directories below a root, found as if that root were `/`: a symlink that
//! points up or is absolute leads to somewhere in the root, and nothing that a
//! package brings leads out of it.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat, openat2, readlinkat};
use nix::sys::stat::{Mode, fstat, mkdirat};

/// The kernel's own bound on symlinks in one path.
const LINKS_MAX: u32 = 40;
/// openat2 says EAGAIN when a mount or rename anywhere came between its steps
/// through a `..`; more than a few in a row is something else.
const TRIES: u32 = 100;

#[derive(Debug)]
pub(super) struct Root {
    fd: OwnedFd,
    device: u64,
    openat2: bool,
}

impl Root {
    pub(super) fn open(path: &Path) -> nix::Result<Self> {
        let fd = open(path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        let device = fstat(&fd)?.st_dev;
        Ok(Self { fd, device, openat2: true })
    }

    /// Whether a directory stands on the root's own file system.
    pub(super) fn has_on_its_device(&self, dir: BorrowedFd<'_>) -> nix::Result<bool> {
        Ok(fstat(dir)?.st_dev == self.device)
    }

    /// The directory, if it is there, as a place to find things in.
    pub(super) fn dir(&mut self, path: &[u8]) -> nix::Result<OwnedFd> {
        self.find(path, OFlag::O_PATH)
    }

    /// The same; it and those above it are made if they are missing.
    pub(super) fn make_dir(&mut self, path: &[u8]) -> nix::Result<OwnedFd> {
        match self.dir(path) {
            Err(Errno::ENOENT) => self.walk(path, OFlag::O_PATH, true),
            result => result,
        }
    }

    /// The directory, if it is there, as something to change.
    pub(super) fn open_dir(&mut self, path: &[u8]) -> nix::Result<OwnedFd> {
        self.find(path, OFlag::O_RDONLY)
    }

    fn find(&mut self, path: &[u8], access: OFlag) -> nix::Result<OwnedFd> {
        if !self.openat2 {
            return self.walk(path, access, false);
        }
        let how = OpenHow::new()
            .flags(access | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        let name: &[u8] = if path.is_empty() { b"." } else { path };
        for _ in 0..TRIES {
            match openat2(&self.fd, name, how) {
                Err(Errno::EAGAIN) => {}
                // Linux before 5.6, or a container's filter from that time.
                Err(Errno::ENOSYS | Errno::EPERM) => {
                    self.openat2 = false;
                    return self.walk(path, access, false);
                }
                result => return result,
            }
        }
        Err(Errno::EAGAIN)
    }

    /// The same, one component at a time, following no link but by hand.
    fn walk(&self, path: &[u8], access: OFlag, make: bool) -> nix::Result<OwnedFd> {
        let step = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        // What is entered, outermost first: `..` goes back along it and no further.
        let mut trail: Vec<OwnedFd> = Vec::new();
        let mut ahead: Vec<Vec<u8>> = Vec::new();
        push_components(&mut ahead, path);
        let mut links = 0;
        while let Some(name) = ahead.pop() {
            if name == b".." {
                trail.pop();
                continue;
            }
            let here = trail.last().map_or(self.fd.as_fd(), AsFd::as_fd);
            let mut entered = openat(here, name.as_slice(), step, Mode::empty());
            if make && matches!(entered, Err(Errno::ENOENT)) {
                mkdirat(here, name.as_slice(), Mode::from_bits_truncate(0o755))?;
                entered = openat(here, name.as_slice(), step, Mode::empty());
            }
            match entered {
                Ok(dir) => trail.push(dir),
                Err(Errno::ENOTDIR | Errno::ELOOP) => {
                    // EINVAL: no link either.
                    let target = readlinkat(here, name.as_slice()).map_err(|_| Errno::ENOTDIR)?.into_vec();
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(Errno::ELOOP);
                    }
                    if target.starts_with(b"/") {
                        trail.clear();
                    }
                    push_components(&mut ahead, &target);
                }
                Err(errno) => return Err(errno),
            }
        }
        let here = trail.last().map_or(self.fd.as_fd(), AsFd::as_fd);
        openat(here, OsStr::from_bytes(b"."), access | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
    }
}

/// The first on top.
fn push_components(stack: &mut Vec<Vec<u8>>, path: &[u8]) {
    stack.extend(path.split(|&b| b == b'/').rev().filter(|name| !matches!(*name, b"" | b".")).map(<[u8]>::to_vec));
}
