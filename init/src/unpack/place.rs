//! Makes the entries of a package below a root.
//!
//! Everything but a directory is made under a temporary name and renamed, so
//! that what stood there is replaced whole or not at all and is never written
//! through: a link in its place is replaced, and a program that runs goes on.
//! Directories get their attributes at the end: what is made in them would
//! change their time, and could be forbidden by their mode.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{
    FchmodatFlags, Mode, SFlag, UtimensatFlags, fchmod, fchmodat, fstatat, futimens, makedev, mkdirat, mknodat,
    utimensat,
};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, fchownat, geteuid, linkat, symlinkat, unlinkat};

use super::error::{Refusal, UnpackError};
use super::member::{Attributes, Kind, Member};
use super::root::Root;
use crate::sys;

/// No entry may be called so.
pub(super) const TEMPORARY: &str = ".liveroot-unpack";

/// Reads on in the contents of the member that is placed; 0 at their end.
pub(super) type Contents<'a> = dyn FnMut(&mut [u8]) -> Result<usize, UnpackError> + 'a;

pub(super) struct Placer {
    root: Root,
    /// Owners are an administrator's to give: tests and tools run without.
    owners: bool,
    /// A second name may be given to what gives rights.
    privileged: bool,
    /// The last entry's parent, which is most often the next one's too.
    parent: Option<(Vec<u8>, OwnedFd)>,
    directories: BTreeMap<Vec<u8>, Attributes>,
    buffer: Vec<u8>,
}

impl Placer {
    pub(super) fn new(root: Root, privileged: bool) -> Self {
        let owners = geteuid().is_root();
        Self { root, owners, privileged, parent: None, directories: BTreeMap::new(), buffer: vec![0; 128 << 10] }
    }

    /// `path` is normal: no `..`, no empty component; the root itself is empty.
    pub(super) fn place(
        &mut self,
        path: &[u8],
        member: &Member,
        contents: &mut Contents<'_>,
    ) -> Result<(), UnpackError> {
        self.make(path, member, contents).map_err(|stop| stop.at(&member.name))
    }

    /// To be called once after all entries.
    pub(super) fn finish(&mut self) -> Result<(), UnpackError> {
        // Deepest first, so that none is forbidden before those in it are done.
        for (path, attributes) in std::mem::take(&mut self.directories).iter().rev() {
            self.finish_directory(path, attributes).map_err(|stop| stop.at(path))?;
        }
        Ok(())
    }

    fn make(&mut self, path: &[u8], member: &Member, contents: &mut Contents<'_>) -> Result<(), Stop> {
        if path.is_empty() {
            if member.kind != Kind::Directory {
                return Err(Stop::Refused(Refusal::Nameless));
            }
            self.directories.insert(Vec::new(), member.attributes.clone());
            return Ok(());
        }
        let (above, name) = split(path);
        let dir = match self.parent.take() {
            Some((cached, dir)) if cached == above => dir,
            _ => self.root.make_dir(above).map_err(failed("make the directory for"))?,
        };
        match &member.kind {
            Kind::File => self.file(&dir, name, member, contents)?,
            Kind::Directory => self.directory(&dir, path, name, member)?,
            Kind::HardLink(target) => self.hard_link(&dir, name, target)?,
            Kind::Symlink(target) => {
                let make = |temporary: &str| symlinkat(target.as_slice(), &dir, temporary);
                let temporary = Temporary::make(&dir, make)?.0;
                self.describe_name(&dir, &member.attributes)?;
                temporary.publish(name)?;
            }
            Kind::Fifo => self.node(&dir, name, SFlag::S_IFIFO, 0, &member.attributes)?,
            Kind::Device { block, major, minor } => {
                let kind = if *block { SFlag::S_IFBLK } else { SFlag::S_IFCHR };
                self.node(&dir, name, kind, makedev(u64::from(*major), u64::from(*minor)), &member.attributes)?;
            }
        }
        // A link may have changed where the parent's path leads.
        if matches!(member.kind, Kind::File | Kind::Directory) {
            self.parent = Some((above.to_vec(), dir));
        }
        Ok(())
    }

    fn file(&mut self, dir: &OwnedFd, name: &[u8], member: &Member, contents: &mut Contents<'_>) -> Result<(), Stop> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let make = |temporary: &str| openat(dir, temporary, flags, Mode::S_IRUSR | Mode::S_IWUSR);
        let (temporary, fd) = Temporary::make(dir, make)?;
        let mut file = File::from(fd);
        loop {
            let n = contents(&mut self.buffer)?;
            if n == 0 {
                break;
            }
            file.write_all(&self.buffer[..n])
                .map_err(|error| Stop::Failed("write", error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)))?;
        }
        self.describe(file.as_fd(), &member.attributes)?;
        temporary.publish(name)
    }

    fn directory(&mut self, dir: &OwnedFd, path: &[u8], name: &[u8], member: &Member) -> Result<(), Stop> {
        let make = || mkdirat(dir, name, Mode::S_IRWXU);
        match make() {
            // A symlink to a directory does as one: packages with a merged
            // /usr and without meet on it.
            Err(Errno::EEXIST) => match self.root.dir(path) {
                Ok(_) => {}
                Err(Errno::ENOTDIR | Errno::ENOENT | Errno::ELOOP) => {
                    unlinkat(dir, name, UnlinkatFlags::NoRemoveDir).map_err(failed("replace"))?;
                    make().map_err(failed("make"))?;
                }
                Err(errno) => return Err(Stop::Failed("open", errno)),
            },
            result => result.map_err(failed("make"))?,
        }
        self.directories.insert(path.to_vec(), member.attributes.clone());
        Ok(())
    }

    fn finish_directory(&mut self, path: &[u8], attributes: &Attributes) -> Result<(), Stop> {
        let dir = self.root.open_dir(path).map_err(failed("open"))?;
        // What is mounted on /proc, /dev and the like, while the root is `/`,
        // is not the package's directory.
        if self.root.has_on_its_device(dir.as_fd()).map_err(failed("open"))? {
            self.describe(dir.as_fd(), attributes)?;
        }
        Ok(())
    }

    /// The attributes of a hard link are those of the file, which has them.
    fn hard_link(&mut self, dir: &OwnedFd, name: &[u8], target: &[u8]) -> Result<(), Stop> {
        let target = super::normal(target).map_err(Stop::Refused)?;
        let (above, target) = split(&target);
        let from = self.root.dir(above).map_err(failed("find what to link to"))?;
        if !self.privileged {
            let linked = fstatat(&from, target, AtFlags::AT_SYMLINK_NOFOLLOW);
            refuse_rights(linked.map_err(failed("find what to link to"))?.st_mode)?;
        }
        let make = |temporary: &str| linkat(&from, target, dir, temporary, AtFlags::empty());
        Temporary::make(dir, make)?.0.publish(name)
    }

    fn node(&self, dir: &OwnedFd, name: &[u8], kind: SFlag, device: u64, attributes: &Attributes) -> Result<(), Stop> {
        let make = |temporary: &str| mknodat(dir, temporary, kind, Mode::S_IRUSR | Mode::S_IWUSR, device);
        let temporary = Temporary::make(dir, make)?.0;
        self.describe_name(dir, attributes)?;
        let mode = Mode::from_bits_truncate(attributes.mode);
        // Nothing to follow: it is the node that was just made.
        fchmodat(dir, TEMPORARY, mode, FchmodatFlags::FollowSymlink).map_err(failed("set the mode of"))?;
        temporary.publish(name)
    }

    fn describe(&self, fd: BorrowedFd<'_>, attributes: &Attributes) -> Result<(), Stop> {
        let Attributes { mode, uid, gid, mtime, xattrs } = attributes;
        // The owner first: giving it away takes set-uid bits and capabilities with it.
        if self.owners {
            let (uid, gid) = (Some(Uid::from_raw(*uid)), Some(Gid::from_raw(*gid)));
            fchown(fd, uid, gid).map_err(failed("set the owner of"))?;
        }
        fchmod(fd, Mode::from_bits_truncate(*mode)).map_err(failed("set the mode of"))?;
        for (name, value) in xattrs {
            let set = match CString::new(name.as_slice()) {
                Ok(name) => sys::set_xattr(fd, &name, value),
                Err(_) => Err(Errno::EINVAL),
            };
            match set {
                // A ramfs has none at all. A program without its capability
                // does not work; without the others (labels, checksums) it does.
                Err(Errno::EOPNOTSUPP) if name != b"security.capability" => {}
                set => set.map_err(failed("set an attribute of"))?,
            }
        }
        futimens(fd, &TimeSpec::UTIME_OMIT, mtime).map_err(failed("set the time of"))
    }

    /// Owner and time of what cannot be opened and has the temporary name.
    fn describe_name(&self, dir: &OwnedFd, attributes: &Attributes) -> Result<(), Stop> {
        let Attributes { uid, gid, mtime, .. } = attributes;
        if self.owners {
            let (uid, gid) = (Some(Uid::from_raw(*uid)), Some(Gid::from_raw(*gid)));
            let owned = fchownat(dir, TEMPORARY, uid, gid, AtFlags::AT_SYMLINK_NOFOLLOW);
            owned.map_err(failed("set the owner of"))?;
        }
        utimensat(dir, TEMPORARY, &TimeSpec::UTIME_OMIT, mtime, UtimensatFlags::NoFollowSymlink)
            .map_err(failed("set the time of"))
    }
}

/// What has the temporary name in a directory, removed on every way out.
struct Temporary<'a> {
    dir: &'a OwnedFd,
}

impl<'a> Temporary<'a> {
    fn make<T>(dir: &'a OwnedFd, make: impl Fn(&str) -> nix::Result<T>) -> Result<(Self, T), Stop> {
        let made = match make(TEMPORARY) {
            // Left by a run that was killed.
            Err(Errno::EEXIST) => unlinkat(dir, TEMPORARY, UnlinkatFlags::NoRemoveDir).and_then(|()| make(TEMPORARY)),
            result => result,
        };
        Ok((Self { dir }, made.map_err(failed("make"))?))
    }

    fn publish(self, name: &[u8]) -> Result<(), Stop> {
        renameat(self.dir, TEMPORARY, self.dir, name).map_err(|errno| match errno {
            Errno::EISDIR => Stop::Refused(Refusal::OverDirectory),
            errno => Stop::Failed("replace", errno),
        })
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        // After a rename there is none, but for one: between two links to the
        // same file it does nothing (POSIX). An error has been told already.
        let _ = unlinkat(self.dir, TEMPORARY, UnlinkatFlags::NoRemoveDir);
    }
}

/// An error that does not know its entry yet.
enum Stop {
    Failed(&'static str, Errno),
    Refused(Refusal),
    Archive(UnpackError),
}

impl Stop {
    fn at(self, entry: &[u8]) -> UnpackError {
        let entry = entry.to_vec();
        match self {
            Self::Failed(doing, errno) => UnpackError::Failed { entry, doing, errno },
            Self::Refused(why) => UnpackError::Refused { entry, why },
            Self::Archive(error) => error,
        }
    }
}

impl From<UnpackError> for Stop {
    fn from(error: UnpackError) -> Self {
        Self::Archive(error)
    }
}

fn failed(doing: &'static str) -> impl Fn(Errno) -> Stop {
    move |errno| Stop::Failed(doing, errno)
}

/// A program that gives rights would get a name where nobody looks for one,
/// and keep it when its own is replaced by a mended one.
fn refuse_rights(mode: u32) -> Result<(), Stop> {
    match SFlag::from_bits_truncate(mode & SFlag::S_IFMT.bits()) {
        SFlag::S_IFREG | SFlag::S_IFIFO if mode & 0o6000 != 0 => Err(Stop::Refused(Refusal::SetId)),
        SFlag::S_IFCHR | SFlag::S_IFBLK => Err(Stop::Refused(Refusal::Device)),
        _ => Ok(()),
    }
}

/// A normal path's parent and name.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&b| b == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}
