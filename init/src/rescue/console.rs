//! One console at the prompt, or with a shell on it.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::termios::{FlushArg, LocalFlags, SetArg, Termios, tcflush, tcgetattr, tcsetattr};
use nix::sys::wait::waitpid;
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, execve, setsid};

use super::prompt::{Command, PASSWORD, PROMPT};
use crate::contract::initramfs;
use crate::{log, sys};

/// A line is short here; what is longer is not one.
const MAX_LINE: usize = 256;
/// So many empty reads in a row are a line that was hung up, and not somebody's Ctrl-D.
const MAX_EMPTY: u32 = 16;

pub(super) static SHELL_WAS_STARTED: AtomicBool = AtomicBool::new(false);

#[derive(Debug)]
pub(super) struct Console {
    path: String,
    tty: File,
    typed: Vec<u8>,
    empty: u32,
    /// Readable when it has ended. Its keys are its own until then.
    shell: Option<OwnedFd>,
    asked: Option<Asked>,
}

/// A password is being waited for, and keys are not shown.
#[derive(Debug)]
struct Asked {
    wanted: Command,
    before: Termios,
}

impl Console {
    pub(super) fn open_all() -> Vec<Self> {
        let open = |path: String| {
            let tty = log::open_console(&path).ok()?;
            Some(Self { path, tty, typed: Vec::new(), empty: 0, shell: None, asked: None })
        };
        log::console_paths().into_iter().filter_map(open).collect()
    }

    /// What to poll: the keys, or the shell's end.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.shell.as_ref().map_or_else(|| self.tty.as_fd(), AsFd::as_fd)
    }

    /// Whole lines, after [`Self::fd`] polled readable; None when the console is gone.
    pub(super) fn read(&mut self) -> Option<Vec<Vec<u8>>> {
        if self.shell.take().is_some() {
            log::reopen_consoles();
            self.tty = log::open_console(&self.path).ok()?;
            return Some(vec![Vec::new()]);
        }
        let mut bytes = [0; MAX_LINE];
        match self.tty.read(&mut bytes) {
            Ok(0) => {
                self.empty += 1;
                return (self.empty < MAX_EMPTY).then(Vec::new);
            }
            Ok(len) => {
                self.empty = 0;
                self.typed.extend_from_slice(&bytes[..len]);
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(_) => return None,
        }
        let mut lines = Vec::new();
        while let Some(end) = self.typed.iter().position(|b| matches!(b, b'\n' | b'\r')) {
            lines.push(self.typed.drain(..end).collect());
            self.typed.remove(0);
        }
        if self.typed.len() > MAX_LINE {
            self.typed.clear();
        }
        Some(lines)
    }

    pub(super) fn write(&mut self, text: &str) {
        log::write_console(&self.tty, text.as_bytes());
    }

    pub(super) fn write_lines(&mut self, lines: &[String]) {
        for line in lines {
            self.write(line);
            self.write("\n");
        }
    }

    pub(super) fn prompt(&mut self) {
        if self.shell.is_none() && self.asked.is_none() {
            self.write(PROMPT);
        }
    }

    pub(super) fn name(&self) -> &str {
        self.path.trim_start_matches("/dev/")
    }

    /// The next line is a password; `wanted` is for when it is right.
    pub(super) fn ask_password(&mut self, wanted: Command) {
        match self.hide_keys() {
            Ok(before) => {
                self.asked = Some(Asked { wanted, before });
                self.write(PASSWORD);
            }
            Err(e) => self.write(&format!("no password without hiding keys: {}\n", e.desc())),
        }
    }

    /// What the line that came was asked for, where it was.
    pub(super) fn take_asked(&mut self) -> Option<Command> {
        let Asked { wanted, before } = self.asked.take()?;
        // It took the like a moment ago; else the terminal is gone.
        let _ = tcsetattr(&self.tty, SetArg::TCSANOW, &before);
        self.write("\n");
        Some(wanted)
    }

    /// Never with TCSAFLUSH, which waits until all is written: for ever, on a
    /// console that takes no bytes.
    fn hide_keys(&self) -> nix::Result<Termios> {
        let before = tcgetattr(&self.tty)?;
        let mut hidden = before.clone();
        hidden.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(&self.tty, SetArg::TCSANOW, &hidden)?;
        // What was typed before was shown, and is no secret.
        tcflush(&self.tty, FlushArg::TCIFLUSH)?;
        Ok(before)
    }

    pub(super) fn start_shell(&mut self) {
        if let Err(e) = fs::metadata(initramfs::SHELL) {
            return self.write(&format!("no shell in this image: {}: {e}\n", initramfs::SHELL));
        }
        SHELL_WAS_STARTED.store(true, Ordering::Relaxed);
        let path = self.path.clone();
        match sys::fork(|| become_shell(&path).map_or_else(|e| e.raw_os_error().unwrap_or(1), |()| 0)) {
            Ok(pid) => match sys::pidfd_open(pid) {
                Ok(shell) => self.shell = Some(shell),
                // Before Linux 5.3: nothing else happens until it ends. That
                // it has been reaped already is how this returns.
                Err(_) => drop(waitpid(pid, None)),
            },
            Err(e) => self.write(&format!("no process for a shell: {}\n", e.desc())),
        }
    }
}

impl Drop for Console {
    /// Another console's answer may come while this one is asked.
    fn drop(&mut self) {
        self.take_asked();
    }
}

/// In the child. A session and a controlling terminal, so that Ctrl-C and job
/// control work.
fn become_shell(console: &str) -> io::Result<()> {
    setsid()?;
    let tty = OpenOptions::new().read(true).write(true).open(console)?;
    sys::set_controlling_terminal(&tty)?;
    dup2_stdin(&tty)?;
    dup2_stdout(&tty)?;
    dup2_stderr(&tty)?;
    sys::default_signals();
    let path = CString::new(initramfs::SHELL)?;
    let environment = [c"HOME=/", c"TERM=linux", c"PATH=/usr/sbin:/usr/bin:/sbin:/bin"];
    execve(&path, &[path.as_c_str()], &environment)?;
    Ok(())
}
