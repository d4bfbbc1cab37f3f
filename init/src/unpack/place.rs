//! Makes the entries of a package below a root.
//!
//! A regular file, link or node is made under a temporary name and renamed, so
//! that what stood there is replaced whole or not at all and is never written
//! through. Directories get their owner, mode and time at the end: what is
//! made in them would change the time, and could be forbidden by the mode.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{
    FchmodatFlags, Mode, SFlag, UtimensatFlags, fchmod, fchmodat, futimens, makedev, mkdirat, mknodat, utimensat,
};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, fchownat, geteuid, linkat, symlinkat, unlinkat};

use super::archive::Archive;
use super::error::{Refusal, UnpackError};
use super::member::{Kind, Member};
use super::root::Root;

const TEMPORARY: &str = ".liveroot-unpack";

pub(super) struct Placer {
    root: Root,
    /// Owners are an administrator's to give: tests and tools run without.
    owners: bool,
    /// The last entry's parent, which is most often the next one's too.
    parent: Option<(Vec<u8>, OwnedFd)>,
    directories: BTreeMap<Vec<u8>, Attributes>,
    buffer: Vec<u8>,
}

struct Attributes {
    mode: u32,
    uid: u32,
    gid: u32,
    mtime: TimeSpec,
}

/// One call that failed, before the entry's name is known to the error.
struct Step(&'static str, Errno);

fn to<T>(doing: &'static str, result: nix::Result<T>) -> Result<T, Step> {
    result.map_err(|errno| Step(doing, errno))
}

impl Placer {
    pub(super) fn new(root: Root) -> Self {
        let owners = geteuid().is_root();
        Self { root, owners, parent: None, directories: BTreeMap::new(), buffer: vec![0; 128 << 10] }
    }

    /// `path` is normal: no `..`, no empty component; the root itself is empty.
    pub(super) fn place(&mut self, path: &[u8], member: &Member, archive: &mut Archive) -> Result<(), UnpackError> {
        let entry = member.name.clone();
        let failed = |Step(doing, errno)| match errno {
            Errno::EISDIR => UnpackError::Refused { entry: entry.clone(), why: Refusal::OverDirectory },
            errno => UnpackError::Failed { entry: entry.clone(), doing, errno },
        };
        if path.is_empty() {
            if member.kind != Kind::Directory {
                return Err(UnpackError::Refused { entry, why: Refusal::Nameless });
            }
            self.directories.insert(Vec::new(), attributes(member));
            return Ok(());
        }
        let (above, name) = split(path);
        let dir = match self.parent.take() {
            Some((cached, dir)) if cached == above => dir,
            _ => to("make the directory of", self.root.make_dir(above)).map_err(failed)?,
        };
        let done = match &member.kind {
            Kind::File => {
                self.file(&dir, name, member, archive, &failed)?;
                Ok(())
            }
            Kind::Directory => self.directory(&dir, path, name, member),
            Kind::Symlink(target) => self.other(&dir, name, member, |temporary| {
                to("make symlink", symlinkat(target.as_slice(), &dir, temporary))
            }),
            Kind::Fifo => self.node(&dir, name, member, SFlag::S_IFIFO, 0),
            Kind::Device { block, major, minor } => {
                let kind = if *block { SFlag::S_IFBLK } else { SFlag::S_IFCHR };
                self.node(&dir, name, member, kind, makedev(u64::from(*major), u64::from(*minor)))
            }
            Kind::HardLink(target) => {
                let target = super::normal(target).map_err(|why| UnpackError::Refused { entry: entry.clone(), why })?;
                self.hard_link(&dir, name, &target)
            }
        };
        done.map_err(failed)?;
        // A link may have changed where the parent's path leads.
        if matches!(member.kind, Kind::File | Kind::Directory) {
            self.parent = Some((above.to_vec(), dir));
        }
        Ok(())
    }

    /// To be called once after all entries, deepest directories first, so that
    /// none becomes forbidden before those in it are done.
    pub(super) fn finish(&mut self) -> Result<(), UnpackError> {
        for (path, attributes) in std::mem::take(&mut self.directories).iter().rev() {
            self.finish_directory(path, attributes).map_err(|Step(doing, errno)| UnpackError::Failed {
                entry: path.clone(),
                doing,
                errno,
            })?;
        }
        Ok(())
    }

    fn finish_directory(&mut self, path: &[u8], attributes: &Attributes) -> Result<(), Step> {
        let dir = to("open directory", self.root.open_dir(path))?;
        // /proc, /dev and the like while the root is `/`: what is mounted
        // there is not the package's directory.
        if to("look at", self.root.is_device_of(dir.as_fd()))? {
            self.describe(dir.as_fd(), attributes)?;
        }
        Ok(())
    }

    fn describe(&self, fd: BorrowedFd<'_>, attributes: &Attributes) -> Result<(), Step> {
        let Attributes { mode, uid, gid, mtime } = attributes;
        // In this order: chown takes set-uid bits away.
        if self.owners {
            to("set the owner of", fchown(fd, Some(Uid::from_raw(*uid)), Some(Gid::from_raw(*gid))))?;
        }
        to("set the mode of", fchmod(fd, Mode::from_bits_truncate(*mode)))?;
        to("set the time of", futimens(fd, &TimeSpec::UTIME_OMIT, mtime))
    }

    fn file(
        &mut self,
        dir: &OwnedFd,
        name: &[u8],
        member: &Member,
        archive: &mut Archive,
        failed: &impl Fn(Step) -> UnpackError,
    ) -> Result<(), UnpackError> {
        let temporary = Temporary::new(dir);
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let made = temporary.make(|temporary| openat(dir, temporary, flags, Mode::from_bits_truncate(0o600)));
        let mut file = File::from(to("make", made).map_err(failed)?);
        loop {
            let n = archive.read(&mut self.buffer)?;
            if n == 0 {
                break;
            }
            file.write_all(&self.buffer[..n])
                .map_err(|error| failed(Step("write", error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))))?;
        }
        self.describe(file.as_fd(), &attributes(member)).map_err(failed)?;
        temporary.publish(name).map_err(failed)
    }

    fn directory(&mut self, dir: &OwnedFd, path: &[u8], name: &[u8], member: &Member) -> Result<(), Step> {
        let make = || mkdirat(dir, name, Mode::from_bits_truncate(0o700));
        match make() {
            // A symlink to a directory does as one: packages of a merged /usr
            // and others meet on it.
            Err(Errno::EEXIST) => match self.root.open_dir(path) {
                Ok(_) => {}
                Err(Errno::ENOTDIR | Errno::ENOENT | Errno::ELOOP) => {
                    to("replace", unlinkat(dir, name, UnlinkatFlags::NoRemoveDir))?;
                    to("make directory", make())?;
                }
                Err(errno) => return Err(Step("open directory", errno)),
            },
            result => to("make directory", result)?,
        }
        self.directories.insert(path.to_vec(), attributes(member));
        Ok(())
    }

    fn node(&self, dir: &OwnedFd, name: &[u8], member: &Member, kind: SFlag, device: u64) -> Result<(), Step> {
        self.other(dir, name, member, |temporary| {
            to("make node", mknodat(dir, temporary, kind, Mode::from_bits_truncate(0o600), device))?;
            let mode = Mode::from_bits_truncate(member.mode);
            // What the name stands for was made by the line before.
            to("set the mode of", fchmodat(dir, temporary, mode, FchmodatFlags::FollowSymlink))
        })
    }

    fn other(
        &self,
        dir: &OwnedFd,
        name: &[u8],
        member: &Member,
        make: impl Fn(&str) -> Result<(), Step>,
    ) -> Result<(), Step> {
        let temporary = Temporary::new(dir);
        temporary.make(|name| make(name).map_err(|Step(_, errno)| errno)).map_err(|errno| Step("make", errno))?;
        if self.owners {
            let (uid, gid) = (Some(Uid::from_raw(member.uid)), Some(Gid::from_raw(member.gid)));
            to("set the owner of", fchownat(dir, TEMPORARY, uid, gid, AtFlags::AT_SYMLINK_NOFOLLOW))?;
        }
        let times = (&TimeSpec::UTIME_OMIT, &member.mtime);
        to("set the time of", utimensat(dir, TEMPORARY, times.0, times.1, UtimensatFlags::NoFollowSymlink))?;
        temporary.publish(name)
    }

    /// Owner, mode and time of a hard link are the file's own, which has them.
    fn hard_link(&mut self, dir: &OwnedFd, name: &[u8], target: &[u8]) -> Result<(), Step> {
        let (above, target) = split(target);
        let from = to("find the target of hard link", self.root.dir(above))?;
        let temporary = Temporary::new(dir);
        let made = temporary.make(|temporary| linkat(&from, target, dir, temporary, AtFlags::empty()));
        to("make hard link", made)?;
        temporary.publish(name)
    }
}

/// Whatever has the temporary name in a directory is removed on every way out.
struct Temporary<'a> {
    dir: &'a OwnedFd,
}

impl<'a> Temporary<'a> {
    fn new(dir: &'a OwnedFd) -> Self {
        Self { dir }
    }

    /// One that an earlier run left behind is in the way only once.
    fn make<T>(&self, make: impl Fn(&str) -> nix::Result<T>) -> nix::Result<T> {
        match make(TEMPORARY) {
            Err(Errno::EEXIST) => {
                unlinkat(self.dir, TEMPORARY, UnlinkatFlags::NoRemoveDir)?;
                make(TEMPORARY)
            }
            result => result,
        }
    }

    fn publish(self, name: &[u8]) -> Result<(), Step> {
        to("replace", nix::fcntl::renameat(self.dir, TEMPORARY, self.dir, name))
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        // Mostly there is none left. A rename between two links to one file
        // does nothing and leaves it (POSIX), and so does any error before.
        let _ = unlinkat(self.dir, TEMPORARY, UnlinkatFlags::NoRemoveDir);
    }
}

fn attributes(member: &Member) -> Attributes {
    Attributes { mode: member.mode, uid: member.uid, gid: member.gid, mtime: member.mtime }
}

/// A normal path's parent and name.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&b| b == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}
