//! Programs of the image, run to their end or their deadline.

use std::ffi::CString;
use std::fs::{self, OpenOptions};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, dup2_stderr, dup2_stdin, dup2_stdout, execve, setsid};

use crate::contract::initramfs;
use crate::devices::wait;
use crate::sys;

/// As shells have it.
pub(crate) const CANNOT_EXECUTE: i32 = 126;

#[derive(Debug, Clone, Copy)]
struct Patience {
    /// Before TERM.
    work: Duration,
    /// Between TERM and KILL, and for what KILL does.
    end: Duration,
}

pub(crate) fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// What it exited with, or why it did not. What it says goes to the console.
pub(crate) fn run(
    program: &Path,
    arguments: &[&str],
    environment: &[String],
    deadline: Duration,
) -> Result<i32, String> {
    // How a child ended is not told to a parent that ignores their ends.
    sys::heed_children();
    let patience = Patience { work: deadline, end: Duration::from_secs(2) };
    let ended = run_with(program, arguments, environment, patience);
    sys::ignore_children();
    // Those that ended in between are nobody's else.
    while !matches!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Ok(WaitStatus::StillAlive) | Err(_)) {}
    ended
}

fn run_with(program: &Path, arguments: &[&str], environment: &[String], patience: Patience) -> Result<i32, String> {
    let word = |bytes: &[u8]| CString::new(bytes).map_err(|e| e.to_string());
    let program = word(program.as_os_str().as_bytes())?;
    let mut words = vec![program.clone()];
    for argument in arguments {
        words.push(word(argument.as_bytes())?);
    }
    let mut variables = vec![word(["PATH=", initramfs::PATH].concat().as_bytes())?];
    for variable in environment {
        variables.push(word(variable.as_bytes())?);
    }
    let output = OpenOptions::new().write(true).open("/dev/console");
    let streams = [OpenOptions::new().read(true).open("/dev/null"), output];
    let become_it = || {
        // A group of its own, to be ended with all that it started.
        let _ = setsid();
        if let [Ok(null), Ok(console)] = &streams {
            // What it says is lost otherwise, and it is run all the same.
            let _ = (dup2_stdin(null), dup2_stdout(console), dup2_stderr(console));
        }
        sys::default_signals();
        match execve(&program, &words, &variables) {
            Ok(never) => match never {},
            Err(_) => CANNOT_EXECUTE,
        }
    };
    let pid = sys::fork(become_it).map_err(|e| e.desc().to_owned())?;
    let Ok(process) = sys::pidfd_open(pid) else {
        end(pid, Signal::SIGKILL);
        return Err("a kernel before 5.3 cannot give it a deadline".into());
    };
    let ended = |patience| wait(&[process.as_fd()], Some(Instant::now() + patience))[0];
    let in_time = ended(patience.work);
    if !in_time {
        end(pid, Signal::SIGTERM);
        if !ended(patience.end) {
            end(pid, Signal::SIGKILL);
            ended(patience.end);
        }
    }
    // Without waiting: one that a dead disk holds ends when the disk answers.
    match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
        _ if !in_time => Err(format!("it had not ended after {} s", patience.work.as_secs())),
        Ok(WaitStatus::Exited(_, code)) => Ok(code),
        Ok(WaitStatus::Signaled(_, signal, _)) => Err(format!("it was ended by {}", signal.as_str())),
        Ok(_) | Err(_) => Err("how it ended is not known".into()),
    }
}

fn end(pid: Pid, signal: Signal) {
    // It may have ended by itself in this moment, or not have its group yet.
    let _ = kill(Pid::from_raw(-pid.as_raw()), signal).or_else(|_| kill(pid, signal));
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience { work: Duration::from_secs(30), end: Duration::from_secs(2) };

    /// Of a shell that was there before: a file that a test writes may be open in the child
    /// that another test has just forked, and the kernel executes no such file.
    fn script(script: &str, argument: &str, variable: &str, patience: Patience) -> Result<i32, String> {
        run_with(Path::new("/bin/sh"), &["-c", script, "sh", argument], &[variable.into()], patience)
    }

    #[test]
    fn it_is_told_what_it_is_to_be_told_and_how_it_ended_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let said = dir.path().join("said");
        let run = |text: &str| script(text, "-p", "WORD=two", PATIENCE);
        assert_eq!(run(&format!("echo $1 $WORD $PATH > {}", said.display())), Ok(0));
        assert_eq!(fs::read_to_string(said).unwrap(), format!("-p two {}\n", initramfs::PATH));
        assert_eq!(run("exit 3"), Ok(3));
        assert_eq!(run_with(&dir.path().join("none"), &[], &[], PATIENCE), Ok(CANNOT_EXECUTE));
        let why = run("kill -9 $$").unwrap_err();
        assert!(why.contains("SIGKILL"), "{why}");
    }

    #[test]
    fn one_that_does_not_end_is_ended_whatever_it_says() {
        let patience = Patience { work: Duration::from_millis(300), end: Duration::from_millis(300) };
        for text in ["sleep 100", "trap '' TERM; sleep 100"] {
            let why = script(text, "", "A=b", patience).unwrap_err();
            assert!(why.contains("had not ended"), "{why}");
        }
    }
}
