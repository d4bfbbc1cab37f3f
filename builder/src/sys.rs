//! The system calls that the compiler cannot check, and nothing else.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::errno::Errno;
use nix::libc;

/// The program is killed when the thread that starts it ends, this process's
/// own violent end included.
pub(crate) fn kill_with_us(command: &mut Command) {
    let parent = std::process::id().cast_signed();
    // SAFETY: between fork and exec only two system calls are made, and nothing
    // is allocated or locked.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(io::Error::last_os_error());
            }
            // We may have been gone before that was asked for.
            if libc::getppid() != parent {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            Ok(())
        });
    }
}

/// linux/fs.h
mod ioctl {
    pub(super) const BLKRRPART: nix::libc::Ioctl = 0x125F;
    pub(super) const BLKFLSBUF: nix::libc::Ioctl = 0x1261;
}

/// Writes what the kernel still has of a block device, and forgets it.
pub(crate) fn flush_buffers(device: &File) -> io::Result<()> {
    // SAFETY: takes no argument.
    Ok(Errno::result(unsafe { libc::ioctl(device.as_raw_fd(), ioctl::BLKFLSBUF, 0) }).map(drop)?)
}

/// Has the kernel read a disk's partition table again.
pub(crate) fn reread_partitions(device: &File) -> io::Result<()> {
    // SAFETY: takes no argument.
    Ok(Errno::result(unsafe { libc::ioctl(device.as_raw_fd(), ioctl::BLKRRPART, 0) }).map(drop)?)
}

/// Has the kernel start to write `len` dirty bytes at `at` to the disk, and
/// waits for none of them: only for room in the disk's queue.
pub(crate) fn start_writeback(file: &File, at: u64, len: u64) -> io::Result<()> {
    let flags = libc::SYNC_FILE_RANGE_WRITE;
    // SAFETY: no memory of ours is passed.
    let done = unsafe { libc::sync_file_range(file.as_raw_fd(), at.cast_signed(), len.cast_signed(), flags) };
    Ok(Errno::result(done).map(drop)?)
}
