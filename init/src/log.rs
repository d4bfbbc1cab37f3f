//! The log: to the kernel's, to the consoles, to a file, and the last lines
//! kept for the rescue prompt.
//!
//! The kernel shows what comes through /dev/kmsg on every console if its
//! level lets it; the consoles are written to directly only where it would
//! not, so that nothing stands there twice and nothing is missing.

use std::collections::VecDeque;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Mutex, MutexGuard};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags};
use nix::time::{ClockId, clock_gettime};

use crate::contract::run;
use crate::sys;

/// syslog(3)'s numbers, as the kernel uses them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Error = 3,
    Warn = 4,
    Info = 6,
    Debug = 7,
}

impl Level {
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "err" => Self::Error,
            "warn" => Self::Warn,
            "info" => Self::Info,
            "debug" => Self::Debug,
            _ => return None,
        })
    }
}

/// How many lines the rescue prompt can show.
const KEPT: usize = 400;
const MAX_LINE: usize = 1024;
/// syslog's LOG_DAEMON.
const FACILITY: u8 = 3 << 3;
/// A console that sends no byte for so long (no carrier, Ctrl-S) is skipped.
const CONSOLE_PATIENCE_MS: u16 = 200;

struct Log {
    level: Level,
    kernel: Option<File>,
    /// The kernel's console level: it shows what is below.
    kernel_shows: u8,
    consoles: Vec<File>,
    file: Option<File>,
    kept: VecDeque<String>,
}

static LOG: Mutex<Log> = Mutex::new(Log {
    level: Level::Info,
    kernel: None,
    kernel_shows: 0,
    consoles: Vec::new(),
    file: None,
    kept: VecDeque::new(),
});

macro_rules! error { ($($arg:tt)*) => { $crate::log::write($crate::log::Level::Error, format_args!($($arg)*)) } }
macro_rules! warning { ($($arg:tt)*) => { $crate::log::write($crate::log::Level::Warn, format_args!($($arg)*)) } }
macro_rules! info { ($($arg:tt)*) => { $crate::log::write($crate::log::Level::Info, format_args!($($arg)*)) } }
macro_rules! debug { ($($arg:tt)*) => { $crate::log::write($crate::log::Level::Debug, format_args!($($arg)*)) } }
pub(crate) use {debug, error, info, warning as warn};

fn lock() -> MutexGuard<'static, Log> {
    // Who panicked with it has written its line, or never will.
    LOG.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// After /proc and /dev stand.
pub(crate) fn open_kernel() {
    // The kernel drops a process's lines beyond ten in five seconds. A boot
    // that set printk.devkmsg itself has this file locked, and its way.
    let _ = fs::write("/proc/sys/kernel/printk_devkmsg", "on\n");
    let levels = fs::read_to_string("/proc/sys/kernel/printk").unwrap_or_default();
    let mut log = lock();
    log.kernel_shows = levels.split_ascii_whitespace().next().and_then(|level| level.parse().ok()).unwrap_or(0);
    log.kernel = OpenOptions::new().write(true).open("/dev/kmsg").ok();
}

/// After /run stands.
pub(crate) fn open_file() {
    let mut log = lock();
    let Ok(mut file) = OpenOptions::new().append(true).create(true).open(run::LOG) else { return };
    for line in &log.kept {
        // A full /run must not stop a boot; the kernel's log has the line too.
        let _ = writeln!(file, "{line}");
    }
    log.file = Some(file);
}

pub(crate) fn open_consoles(level: Level) {
    lock().level = level;
    reopen_consoles();
}

/// Also after a shell on one of them ended: the kernel hangs a terminal up
/// when its session's leader leaves.
pub(crate) fn reopen_consoles() {
    lock().consoles = console_paths().iter().filter_map(|path| open_console(path).ok()).collect();
}

pub(crate) fn console_paths() -> Vec<String> {
    let active = fs::read_to_string("/sys/class/tty/console/active").unwrap_or_default();
    let mut paths: Vec<String> = active.split_ascii_whitespace().map(|name| format!("/dev/{name}")).collect();
    if paths.is_empty() {
        paths.push("/dev/console".into());
    }
    paths
}

pub(crate) fn open_console(path: &str) -> io::Result<File> {
    let flags = OFlag::O_NOCTTY | OFlag::O_NONBLOCK;
    OpenOptions::new().read(true).write(true).custom_flags(flags.bits()).open(path)
}

/// Bytes from the outside (labels, names of files) may stand in `message`:
/// control characters are escaped here, for all.
pub(crate) fn write(level: Level, message: fmt::Arguments<'_>) {
    let mut text = String::new();
    for c in message.to_string().chars().take(MAX_LINE) {
        if c.is_control() { text.extend(c.escape_default()) } else { text.push(c) }
    }
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or((0, 0), |time| (time.tv_sec(), time.tv_nsec() / 1000));

    let log = &mut *lock();
    if let Some(kernel) = &mut log.kernel {
        // Nothing is left to tell it to.
        let _ = kernel.write_all(format!("<{}>liveroot: {text}\n", FACILITY + level as u8).as_bytes());
    }
    if level <= log.level && level as u8 >= log.kernel_shows {
        for console in &mut log.consoles {
            write_console(console, format!("liveroot: {text}\n").as_bytes());
        }
    }
    let line = format!("[{:5}.{:06}] {text}", now.0, now.1);
    if let Some(file) = &mut log.file {
        // See open_file.
        let _ = writeln!(file, "{line}");
    }
    if log.kept.len() == KEPT {
        log.kept.pop_front();
    }
    log.kept.push_back(line);
}

pub(crate) fn write_console(mut console: &File, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match console.write(bytes) {
            Ok(written) if written > 0 => bytes = &bytes[written..],
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                let mut fds = [PollFd::new(console.as_fd(), PollFlags::POLLOUT)];
                let unsent = sys::unsent(console);
                match nix::poll::poll(&mut fds, CONSOLE_PATIENCE_MS) {
                    Ok(1..) | Err(Errno::EINTR) => {}
                    // The kernel says that there is room when all but 256 of its 4096 bytes
                    // are sent, which takes a line of 115200 baud a third of a second.
                    _ if sys::unsent(console) < unsent => {}
                    _ => return,
                }
            }
            // A console that is gone is not worth the boot; the others have it.
            _ => return,
        }
    }
}

pub(crate) fn last(lines: usize) -> Vec<String> {
    let log = lock();
    log.kept.iter().skip(log.kept.len().saturating_sub(lines)).cloned().collect()
}
