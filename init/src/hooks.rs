//! Programs of the image's own author, run at the end of a state: those of
//! `/lib/live/hooks/STATE/`, in the order of their names, each with a deadline.
//!
//! In overlay mode that is a directory of the initramfs; in ram mode packages
//! can bring some too, for the states after their own.

use std::ffi::CString;
use std::fs::{self, OpenOptions};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, dup2_stderr, dup2_stdin, dup2_stdout, execve, setsid};

use crate::contract::{initramfs, run};
use crate::devices::wait;
use crate::log::info;
use crate::status::{State, Status};
use crate::sys;

#[derive(Debug, Clone, Copy)]
struct Patience {
    /// Before TERM.
    work: Duration,
    /// Between TERM and KILL.
    end: Duration,
}

const PATIENCE: Patience = Patience { work: Duration::from_secs(30), end: Duration::from_secs(2) };

/// Whether there were any. One that fails is told, and the boot goes on.
pub(crate) fn run(state: State, root: Option<&Path>, status: &mut Status) -> bool {
    let hooks = programs(&Path::new(initramfs::HOOKS).join(state.name()));
    if hooks.is_empty() {
        return false;
    }
    // How a child ended is not told to a parent that ignores their ends.
    sys::heed_children();
    for hook in &hooks {
        info!("hook {}", hook.display());
        if let Err(why) = run_one(hook, &environment(state, root), PATIENCE) {
            status.degrade(format!("hook {}: {why}", hook.display()));
        }
    }
    sys::ignore_children();
    // Those that ended in between are nobody's else.
    while !matches!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Ok(WaitStatus::StillAlive) | Err(_)) {}
    true
}

/// By name; what cannot be executed, or is hidden, is none.
fn programs(dir: &Path) -> Vec<PathBuf> {
    let is_program = |path: &PathBuf| {
        let hidden = path.file_name().is_some_and(|name| name.as_bytes().starts_with(b"."));
        !hidden && fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut programs: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_program).collect();
    programs.sort_unstable();
    programs
}

fn environment(state: State, root: Option<&Path>) -> Vec<CString> {
    let root = root.map_or_else(String::new, |root| root.display().to_string());
    let medium = run::MEDIUM;
    [
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into(),
        format!("LIVE_STATE={}", state.name()),
        format!("LIVE_ROOT={root}"),
        format!("LIVE_MEDIUM={medium}"),
    ]
    .into_iter()
    .filter_map(|word: String| CString::new(word).ok())
    .collect()
}

fn run_one(hook: &Path, environment: &[CString], patience: Patience) -> Result<(), String> {
    let program = CString::new(hook.as_os_str().as_bytes()).map_err(|e| e.to_string())?;
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
        match execve(&program, &[&program], environment) {
            Ok(never) => match never {},
            // As shells have it.
            Err(_) => 126,
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
        }
    }
    match waitpid(pid, None) {
        _ if !in_time => Err(format!("it had not ended after {} s", patience.work.as_secs())),
        Ok(WaitStatus::Exited(_, 0)) => Ok(()),
        Ok(WaitStatus::Exited(_, 126)) => Err("it cannot be executed, or says so (126)".into()),
        Ok(WaitStatus::Exited(_, code)) => Err(format!("it ended with {code}")),
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

    fn hook(dir: &Path, name: &str, mode: u32, script: &str) -> PathBuf {
        let path = dir.join(name);
        // Under another name first: a program that somebody has open cannot be executed.
        let part = dir.join(".part");
        fs::write(&part, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&part, fs::Permissions::from_mode(mode)).unwrap();
        fs::rename(part, &path).unwrap();
        path
    }

    #[test]
    fn programs_are_taken_by_name_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        for (name, mode) in [("20-b", 0o755), ("10-a", 0o700), ("30-text", 0o644), (".hidden", 0o755)] {
            hook(dir.path(), name, mode, "");
        }
        fs::create_dir(dir.path().join("15-dir")).unwrap();
        assert_eq!(programs(dir.path()), [dir.path().join("10-a"), dir.path().join("20-b")]);
        assert!(programs(&dir.path().join("none")).is_empty());
    }

    #[test]
    fn a_hook_is_told_where_it_is_and_how_it_ended_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let said = dir.path().join("said");
        let script = format!("echo $LIVE_STATE $LIVE_ROOT > {}", said.display());
        let good = hook(dir.path(), "good", 0o755, &script);
        let environment = environment(State::Configure, Some(Path::new("/sysroot")));
        let run = |path: &Path| run_one(path, &environment, PATIENCE);
        assert_eq!(run(&good), Ok(()));
        assert_eq!(fs::read_to_string(said).unwrap(), "configure /sysroot\n");
        for (script, why) in [("exit 3", "ended with 3"), ("kill -9 $$", "SIGKILL")] {
            let why_it_failed = run(&hook(dir.path(), "bad", 0o755, script)).unwrap_err();
            assert!(why_it_failed.contains(why), "{why_it_failed}");
        }
        assert!(run(&dir.path().join("none")).unwrap_err().contains("126"));
    }

    #[test]
    fn one_that_does_not_end_is_ended_whatever_it_says() {
        let dir = tempfile::tempdir().unwrap();
        let patience = Patience { work: Duration::from_millis(300), end: Duration::from_millis(300) };
        for script in ["sleep 100", "trap '' TERM; sleep 100"] {
            let why = run_one(&hook(dir.path(), "slow", 0o755, script), &[], patience).unwrap_err();
            assert!(why.contains("had not ended"), "{why}");
        }
    }
}
