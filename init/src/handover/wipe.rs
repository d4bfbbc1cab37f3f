//! Deletes the files of the root that was left: they are memory.

use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use nix::sys::statfs::{FsType, TMPFS_MAGIC, fstatfs};
use nix::unistd::{UnlinkatFlags, unlinkat};

/// linux/magic.h.
const RAMFS_MAGIC: FsType = FsType(0x8584_58f6_u32 as _);
/// An initramfs that is deeper is left with what is deeper.
const MAX_DEPTH: usize = 64;

/// Freed pages stay on lists of their processor, which with few processors are as
/// long as one page in forty: MemAvailable, and whoever plans by it, would miss them
/// (Documentation/admin-guide/sysctl/vm.rst; since Linux 5.14).
const PAGE_LISTS: &str = "/proc/sys/vm/percpu_pagelist_high_fraction";
/// The kernel makes it four batches.
const SHORTEST: &str = "1000000";

/// Refuses whatever is not in memory, and never leaves the device it began on.
pub(super) fn wipe(root: &File) -> Result<u64, String> {
    let kind = fstatfs(root).map_err(|e| e.desc().to_owned())?.filesystem_type();
    if kind != RAMFS_MAGIC && kind != TMPFS_MAGIC {
        return Err("it is neither a ramfs nor a tmpfs".into());
    }
    let device = fstat(root).map_err(|e| e.desc().to_owned())?.st_dev;
    let root = root.try_clone().map_err(|e| e.to_string())?;
    let mut count = 0;
    let lists = fs::read_to_string(PAGE_LISTS).unwrap_or_default();
    let _ = fs::write(PAGE_LISTS, SHORTEST);
    empty(&root.into(), device, MAX_DEPTH, &mut count);
    // Neither this kernel's to say, nor worth more than the numbers: see above.
    let _ = fs::write(PAGE_LISTS, lists);
    Ok(count)
}

/// Whatever cannot be deleted stays: it costs memory, not the boot.
fn empty(dir: &OwnedFd, device: u64, depth: usize, count: &mut u64) {
    let Ok(mut listing) = dir.try_clone().map_err(|_| Errno::EMFILE).and_then(Dir::from_fd) else { return };
    // All names before the first is deleted: what readdir gives while the
    // directory changes is left open by POSIX.
    let names: Vec<_> = listing.iter().flatten().map(|entry| entry.file_name().to_owned()).collect();
    for name in names {
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let name = name.as_c_str();
        let Ok(stat) = fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW) else { continue };
        if stat.st_dev != device {
            continue;
        }
        let flag = if is_dir(&stat) {
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            if let (Ok(inner), 1..) = (openat(dir.as_fd(), name, flags, Mode::empty()), depth) {
                empty(&inner, device, depth - 1, count);
            }
            UnlinkatFlags::RemoveDir
        } else {
            UnlinkatFlags::NoRemoveDir
        };
        if unlinkat(dir, name, flag).is_ok() {
            *count += 1;
        }
    }
}

fn is_dir(stat: &FileStat) -> bool {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn everything_below_goes_and_nothing_that_links_lead_to() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("kept"), "").unwrap();
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b/c")).unwrap();
        fs::write(dir.path().join("a/b/file"), "x").unwrap();
        symlink(outside.path(), dir.path().join("a/link")).unwrap();
        let root = File::open(dir.path()).unwrap();
        let device = fstat(&root).unwrap().st_dev;
        let mut count = 0;
        empty(&root.try_clone().unwrap().into(), device + 1, MAX_DEPTH, &mut count);
        assert_eq!(count, 0, "another device's are not touched");
        empty(&root.into(), device, MAX_DEPTH, &mut count);
        assert_eq!(count, 5);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(outside.path().join("kept").exists());
    }
}
