//! Somebody at a console who does not want to wait.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{FlushArg, tcflush};

use crate::log::{self, info};

#[derive(Debug)]
pub(super) struct Keys {
    consoles: Vec<File>,
    /// As [`Self::enter`] has found.
    pub(super) entered: bool,
}

impl Keys {
    pub(super) fn listen() -> Self {
        info!("checking the medium; Enter skips it");
        Self::of(log::console_paths().iter().filter_map(|path| log::open_console(path).ok()).collect())
    }

    fn of(consoles: Vec<File>) -> Self {
        for console in &consoles {
            // What the boot menu was answered with is no answer to this. One that is no
            // terminal has nothing waiting.
            let _ = tcflush(console, FlushArg::TCIFLUSH);
        }
        Self { consoles, entered: false }
    }

    /// Whether a line was entered since then, if an empty one.
    pub(super) fn enter(&mut self) -> bool {
        let mut polled: Vec<_> = self.consoles.iter().map(|tty| PollFd::new(tty.as_fd(), PollFlags::POLLIN)).collect();
        if !self.entered && poll(&mut polled, PollTimeout::ZERO).is_ok_and(|ready| ready > 0) {
            let mut line = [0; 64];
            self.entered = self.consoles.iter().any(|mut tty| tty.read(&mut line).is_ok_and(|len| len > 0));
        }
        self.entered
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    use nix::pty::openpty;
    use std::io::Write;

    #[test]
    fn a_line_counts_that_is_entered_from_now_on() {
        let pty = openpty(None, None).unwrap();
        fcntl(&pty.slave, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
        let mut keyboard = File::from(pty.master);
        keyboard.write_all(b"early\n").unwrap();
        let mut keys = Keys::of(vec![File::from(pty.slave)]);
        assert!(!keys.enter(), "the boot menu's");
        keyboard.write_all(b"half a line").unwrap();
        assert!(!keys.enter());
        keyboard.write_all(b"\n").unwrap();
        assert!(keys.enter() && keys.enter(), "and it stays so");
    }

    #[test]
    fn a_console_that_was_hung_up_says_nothing() {
        let pty = openpty(None, None).unwrap();
        drop(pty.master);
        assert!(!Keys::of(vec![File::from(pty.slave)]).enter());
    }
}
