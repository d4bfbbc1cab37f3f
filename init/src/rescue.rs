//! When the boot stops: why, what was seen, and a prompt on every console.
//!
//! The prompt is our own, since an image need not have a shell; the shell,
//! where there is one, is a child with a terminal of its own, so that PID 1
//! goes on serving devices and nobody's `exit` is the kernel's panic.
//!
//! Where the profile set a password, it stands before what leads past a fault.

mod console;
mod lock;
mod prompt;

use std::fmt::Write;
use std::fs;
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::sys::reboot::{RebootMode, reboot};
use nix::unistd::sync;

use crate::cmdline::{Action, Emergency, Shell};
use crate::contract::params;
use crate::devices::{self, Devices};
use crate::fault::{Code, Fault};
use crate::log::{self, error, warn};
use crate::sys;
use console::Console;
use lock::Lock;
use prompt::Command;

/// How many of the log's last lines stand above the prompt.
const LOG_LINES: usize = 12;
/// For buffers to reach their disks before the machine is stopped.
const FLUSH: Duration = Duration::from_secs(3);
/// For the kernel to stop its devices.
const STOP: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Retry,
    Continue,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    pub emergency: Emergency,
    pub shell: Shell,
}

/// Set once the command line is read; the panic hook has no other way to it.
static POLICY: OnceLock<Policy> = OnceLock::new();

pub(crate) fn set_policy(policy: Policy) {
    // The command line is read once.
    let _ = POLICY.set(policy);
    // The handover wipes the initramfs, and prompts may come after it.
    Lock::of_this_image();
}

fn policy() -> Policy {
    let waits = Emergency { action: Action::Shell, after: Duration::ZERO };
    *POLICY.get().unwrap_or(&Policy { emergency: waits, shell: Shell::OnFail })
}

/// A panic of PID 1 is the kernel's; this one is ours, and ends at the prompt.
pub(crate) fn catch_panics() {
    std::panic::set_hook(Box::new(|panic| {
        if nix::unistd::getpid().as_raw() != 1 {
            sys::end_process(101);
        }
        let fault = Fault::new(Code::Panic, panic.to_string().replace('\n', " "))
            .advise("this is a mistake in /init: please report it with the lines above; reboot to try again");
        error!("{fault}");
        refuse(&fault, "panic");
    }));
}

/// Nothing goes on from here: no answer leads further, and the policy is done
/// when there is none.
pub(crate) fn refuse(fault: &Fault, state: &str) -> ! {
    loop {
        let _ = ask(fault, state, None, &[]);
    }
}

/// Returns what somebody answered; without an answer, the policy is done.
/// `report` is what was seen of the devices, for a first look.
pub(crate) fn ask(fault: &Fault, state: &str, mut devices: Option<&mut Devices>, report: &[String]) -> Answer {
    let (policy, lock) = (policy(), Lock::of_this_image());
    let mut consoles = Console::open_all();
    let text = screen(fault, state, report, policy);
    for console in &mut consoles {
        console.write(&text);
        console.prompt();
    }
    let mut deadline = (policy.emergency.action != Action::Shell).then(|| Instant::now() + policy.emergency.after);
    loop {
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            warn!("nobody answered: {}={}", params::EMERGENCY, policy.emergency);
            end(policy.emergency.action);
            deadline = None;
        }
        let ready = {
            let fds: Vec<_> = consoles.iter().map(Console::fd).collect();
            match &mut devices {
                Some(devices) => devices.serve(&fds, deadline),
                None => devices::wait(&fds, deadline),
            }
        };
        for at in (0..consoles.len()).rev().filter(|&at| ready[at]) {
            let Some(lines) = consoles[at].read() else {
                consoles.remove(at);
                continue;
            };
            // Somebody is there: it is theirs to decide now.
            deadline = None;
            for line in lines {
                let console = &mut consoles[at];
                let (command, is_admitted) = lock.admit(console, &line);
                match command {
                    Command::Retry => return Answer::Retry,
                    Command::Shell if policy.shell == Shell::Never => {
                        console.write("no shell: the command line forbids it\n");
                    }
                    Command::Shell if fault.code == Code::Initramfs => {
                        console.write("no shell: it would be one of a damaged archive\n");
                    }
                    Command::Continue | Command::Shell if !is_admitted => lock.ask(console, command),
                    Command::Continue => return Answer::Continue,
                    Command::Shell => console.start_shell(),
                    Command::Reboot => end(Action::Reboot),
                    Command::Poweroff => end(Action::Poweroff),
                    Command::Log => console.write_lines(&log::last(usize::MAX)),
                    Command::Devices => match &devices {
                        Some(devices) => console.write_lines(&crate::medium::report(devices, None)),
                        None => console.write("devices were not looked at\n"),
                    },
                    Command::Nothing => {}
                    Command::Unknown => console.write(prompt::HELP),
                }
                console.prompt();
            }
        }
    }
}

/// What stands above the prompt, for somebody who sees only this screen.
fn screen(fault: &Fault, state: &str, report: &[String], policy: Policy) -> String {
    let mut text = format!("\nThe boot stopped in the state `{state}`: {fault}\n");
    if !fault.advice.is_empty() {
        let _ = writeln!(text, "What to do: {}", fault.advice);
    }
    if !report.is_empty() {
        text += "Devices:\n";
        for line in report {
            let _ = writeln!(text, "  {line}");
        }
    }
    text += "Last of the log:\n";
    for line in log::last(LOG_LINES) {
        let _ = writeln!(text, "  {line}");
    }
    text += prompt::HELP;
    if policy.emergency.action != Action::Shell {
        let Emergency { action, after } = policy.emergency;
        let _ = writeln!(text, "Without an answer within {} s: {action}", after.as_secs());
    }
    text
}

/// Whether a shell may be had without a password.
pub(crate) fn is_open() -> bool {
    Lock::of_this_image().is_open()
}

/// Whether a rescue shell was started, and may have left processes.
pub(crate) fn shell_was_started() -> bool {
    console::SHELL_WAS_STARTED.load(std::sync::atomic::Ordering::Relaxed)
}

/// Returns only where the kernel refuses.
pub(crate) fn end(action: Action) {
    let mode = match action {
        Action::Shell => return,
        Action::Reboot => RebootMode::RB_AUTOBOOT,
        Action::Poweroff => RebootMode::RB_POWER_OFF,
        Action::Halt => RebootMode::RB_HALT_SYSTEM,
    };
    in_time(FLUSH, sync);
    let refused = in_time(STOP, || {
        let Err(e) = reboot(mode);
        error!("{action}: {}", e.desc());
    });
    if !refused && action == Action::Reboot {
        // Without a word to any device: the kernel waits for each, and one of
        // them answers nobody (Documentation/admin-guide/sysrq.rst).
        let _ = fs::write("/proc/sysrq-trigger", "b");
    }
}

/// Both wait for every disk, and one of them may be why the boot stopped: by a
/// process of its own. Whether it came to its end.
fn in_time(patience: Duration, what: impl FnOnce()) -> bool {
    let process = sys::fork(|| {
        what();
        0
    });
    let ended = process.map_err(std::io::Error::from).and_then(sys::pidfd_open);
    ended.is_ok_and(|ended| devices::wait(&[ended.as_fd()], Some(Instant::now() + patience))[0])
}
