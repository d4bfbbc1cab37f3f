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
pub(crate) struct Root {
    fd: OwnedFd,
    device: u64,
    openat2: bool,
}

impl Root {
    pub(crate) fn open(path: &Path) -> nix::Result<Self> {
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
    pub(crate) fn make_dir(&mut self, path: &[u8]) -> nix::Result<OwnedFd> {
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

#[cfg(test)]
mod tests {
    use std::fs::{self, DirBuilder};
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    /// Below `dir`: a root with links of all sorts in it, and something beside it.
    fn roots(dir: &Path) -> [Root; 2] {
        let root = dir.join("root");
        DirBuilder::new().recursive(true).create(root.join("usr/lib/deep")).unwrap();
        fs::create_dir(dir.join("beside")).unwrap();
        fs::write(root.join("file"), "").unwrap();
        let links = [
            ("lib", "usr/lib"),
            ("absolute", "/usr/lib"),
            ("usr/up", "../lib/deep"),
            ("out", "../beside"),
            ("far-out", "../../../usr/./lib//"),
            ("usr/lib/self", "."),
            ("usr/lib/parent", ".."),
            ("to-root", "/"),
            ("ring-a", "ring-b"),
            ("ring-b", "ring-a"),
            ("dangling", "usr/none"),
            ("to-file", "file"),
            ("magic", "/proc/self/root"),
        ];
        for (name, target) in links {
            symlink(target, root.join(name)).unwrap();
        }
        for n in 0..50 {
            let target = if n == 0 { "usr".into() } else { format!("chain-{}", n - 1) };
            symlink(target, root.join(format!("chain-{n}"))).unwrap();
        }
        [true, false].map(|openat2| Root { openat2, ..Root::open(&root).unwrap() })
    }

    #[test]
    fn both_ways_find_the_same_directory_and_never_one_outside() {
        let dir = tempfile::tempdir().unwrap();
        let rows = [
            ("", Ok("")),
            ("usr/lib", Ok("usr/lib")),
            ("lib", Ok("usr/lib")),
            ("lib/deep", Ok("usr/lib/deep")),
            ("absolute/deep", Ok("usr/lib/deep")),
            ("usr/up", Ok("usr/lib/deep")),
            ("far-out", Ok("usr/lib")),
            ("lib/self/self/deep", Ok("usr/lib/deep")),
            ("lib/parent/parent/lib", Err(Errno::ENOENT)),
            ("lib/parent/lib", Ok("usr/lib")),
            ("to-root/to-root/usr", Ok("usr")),
            ("chain-39", Ok("usr")),
            ("chain-40", Err(Errno::ELOOP)),
            ("ring-a/x", Err(Errno::ELOOP)),
            ("out", Err(Errno::ENOENT)),
            ("dangling", Err(Errno::ENOENT)),
            ("none/x", Err(Errno::ENOENT)),
            ("magic", Err(Errno::ENOENT)),
            ("file", Err(Errno::ENOTDIR)),
            ("file/x", Err(Errno::ENOTDIR)),
            ("to-file", Err(Errno::ENOTDIR)),
        ];
        for mut root in roots(dir.path()) {
            for (path, expected) in rows {
                let what = format!("{path} with openat2: {}", root.openat2);
                let inode = |fd: OwnedFd| fstat(&fd).unwrap().st_ino;
                let expected = expected.map(|path| fs::metadata(dir.path().join("root").join(path)).unwrap().ino());
                assert_eq!(root.dir(path.as_bytes()).map(inode), expected, "{what}");
                assert_eq!(root.open_dir(path.as_bytes()).map(inode), expected, "{what}");
            }
        }
    }

    #[test]
    fn missing_directories_are_made_in_the_root_and_nowhere_else() {
        for way in 0..2 {
            let dir = tempfile::tempdir().unwrap();
            let root = &mut roots(dir.path())[way];
            for path in ["new/a/b", "lib/c", "out/d", "dangling/e", "absolute/f"] {
                root.make_dir(path.as_bytes()).unwrap();
            }
            for path in ["new/a/b", "usr/lib/c", "beside/d", "usr/none/e", "usr/lib/f"] {
                assert!(dir.path().join("root").join(path).is_dir(), "{path}");
            }
            assert_eq!(fs::read_dir(dir.path().join("beside")).unwrap().count(), 0);
            assert_eq!(root.make_dir(b"file/x").err(), Some(Errno::ENOTDIR));
        }
    }

    #[test]
    fn what_is_mounted_below_the_root_is_not_of_its_device() {
        let mut root = Root::open(Path::new("/")).unwrap();
        for (path, expected) in [("", true), ("proc", false)] {
            let dir = root.open_dir(path.as_bytes()).unwrap();
            assert_eq!(root.has_on_its_device(dir.as_fd()), Ok(expected), "/{path}");
        }
    }

    #[test]
    fn the_walk_gives_its_descriptors_back() {
        let dir = tempfile::tempdir().unwrap();
        let [_, mut root] = roots(dir.path());
        let open = || fs::read_dir("/proc/self/fd").unwrap().count();
        let before = open();
        for _ in 0..2_000 {
            root.dir(b"lib/self/parent/lib/deep").unwrap();
            root.dir(b"ring-a").unwrap_err();
        }
        // Other tests run beside this one.
        assert!(open() < before + 1_000);
    }
}
