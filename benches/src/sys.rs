//! The system call that std does not have.
#![allow(unsafe_code)]

use std::io;
use std::process::Child;
use std::time::Duration;

use nix::libc;

pub(crate) struct Ended {
    pub(crate) success: bool,
    pub(crate) cpu: Duration,
    pub(crate) peak_rss: u64,
}

/// Waits for the child and takes the kernel's account of it.
pub(crate) fn wait(child: &Child) -> io::Result<Ended> {
    let pid = child.id() as libc::pid_t;
    let mut status = 0;
    // SAFETY: rusage is plain numbers, for which zeros are a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both pointers lead to variables that outlive the call.
        let waited = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
        if waited == pid {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    let time = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000);
    Ok(Ended {
        success: libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0,
        cpu: time(usage.ru_utime) + time(usage.ru_stime),
        // getrusage(2): Linux counts in KiB.
        peak_rss: usage.ru_maxrss as u64 * 1024,
    })
}
