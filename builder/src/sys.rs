//! The system calls that the compiler cannot check, and nothing else.
#![allow(unsafe_code)]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

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
