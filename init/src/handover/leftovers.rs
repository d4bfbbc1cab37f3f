//! Processes that a rescue shell or a hook left running.

use std::fs;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getsid};

use crate::{sys, watch};

const DEADLINE: Duration = Duration::from_secs(2);

/// TERM, and KILL for those that do not end.
pub(crate) fn end_leftovers() {
    let own = getsid(None);
    // Each shell and hook began a session; our own workers have not.
    let ending: Vec<Pid> =
        others().filter(|(pid, cmdline)| is_to_end(cmdline) && getsid(Some(*pid)) != own).map(|(pid, _)| pid).collect();
    for &pid in &ending {
        // One that has ended by itself is what is wanted.
        let _ = kill(pid, Signal::SIGTERM);
    }
    let deadline = Instant::now() + DEADLINE;
    for &pid in &ending {
        let Ok(process) = sys::pidfd_open(pid) else { continue };
        let left = deadline.saturating_duration_since(Instant::now()).as_millis() as u16;
        // Ended or not: KILL follows, and does nothing to one that has.
        let _ = poll(&mut [PollFd::new(process.as_fd(), PollFlags::POLLIN)], left);
        let _ = kill(pid, Signal::SIGKILL);
    }
}

/// Those of us that stayed behind.
pub(crate) fn end_watchers() {
    for (pid, _) in others().filter(|(_, cmdline)| cmdline.starts_with(watch::NAME.as_bytes())) {
        // See above.
        let _ = kill(pid, Signal::SIGKILL);
    }
}

/// Every process but PID 1, with its command line.
fn others() -> impl Iterator<Item = (Pid, Vec<u8>)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(|&pid| pid != 1);
    pids.map(|pid| (Pid::from_raw(pid), fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()))
}

/// Kernel threads have no command line; `@` is how a storage daemon that the
/// root stands on says that it must live (systemd.io/ROOT_STORAGE_DAEMONS).
fn is_to_end(cmdline: &[u8]) -> bool {
    !cmdline.is_empty() && cmdline[0] != b'@'
}

#[cfg(test)]
mod tests {
    use super::is_to_end;

    #[test]
    fn kernel_threads_and_storage_daemons_are_spared() {
        for (cmdline, ends) in [(&b""[..], false), (b"@ntfs-3g\0", false), (b"sleep\x00100\0", true)] {
            assert_eq!(is_to_end(cmdline), ends);
        }
    }
}
