//! The last moments of a system that stands on its medium: /init itself, left
//! in memory under another name, lets go of what is mounted, gives the medium
//! back and stops the machine.
//!
//! systemd enters the directory by itself and executes `shutdown` there as
//! PID 1 (systemd-shutdown(8)). Other inits run `live-shutdown` as their last
//! step, where PID 1 still holds its root: what cannot be unmounted then is
//! made read-only.

mod mounts;

use std::fs::{self, DirBuilder};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};
use nix::unistd::{chdir, chroot, geteuid, pivot_root, sync};

use crate::cmdline::Action;
use crate::contract::{initramfs, run as places};
use crate::devices::wait;
use crate::eject::open_tray;
use crate::handover::end_watchers;
use crate::log::{self, Level, info, warn};
use crate::mounts::Mounted;
use crate::rescue;
use mounts::{is_mounted, let_go};

/// What it is called by, as the first word of its arguments.
pub const NAMES: [&str; 2] = ["shutdown", "live-shutdown"];

/// For somebody to take the medium.
const PATIENCE: Duration = Duration::from_secs(15);
/// Relative to [`places::EXIT`]: the medium's device, where somebody shall be
/// asked to take it.
const EJECT: &str = "eject";
const OLD_ROOT: &str = "oldroot";
/// What the last moments need of the system's.
const NEEDED: [&str; 3] = ["/dev", "/proc", "/sys"];
const NONE: Option<&str> = None;

/// While `/` is still where /init is. `device` is the medium to be given back.
pub(crate) fn prepare(device: Option<&str>) -> Result<(), String> {
    let exit = Path::new(places::EXIT);
    if exit.join(NAMES[0]).exists() {
        // By an attempt that was stopped later on.
        return Ok(());
    }
    crate::early::make_dir(places::EXIT);
    // A mount of its own: what stands in /run may not be executed everywhere. It is of
    // itself: s6-linux-init unmounts all but /run before the last step, and finds the
    // same files below.
    let mounted = Mounted::new(places::EXIT, exit, "", MsFlags::MS_BIND, "")?;
    let fill = || {
        for dir in ["dev", "proc", "sys", "run", OLD_ROOT] {
            // An attempt that found no room may have made it.
            DirBuilder::new().recursive(true).mode(0o755).create(exit.join(dir))?;
        }
        if let Some(device) = device {
            fs::write(exit.join(EJECT), device)?;
        }
        let link = exit.join(NAMES[1]);
        let _ = fs::remove_file(&link);
        symlink(NAMES[0], link)?;
        // With its mode. Half of it must never have the name that systemd executes.
        let draft = exit.join(".shutdown");
        fs::copy(initramfs::INIT, &draft)
            .and_then(|_| fs::rename(&draft, places::SHUTDOWN))
            .inspect_err(|_| drop(fs::remove_file(&draft)))
    };
    fill().map_err(|e: std::io::Error| format!("{}: {e}", places::EXIT))?;
    mounted.keep();
    Ok(())
}

/// `words` are its arguments; systemd gives options behind the verb.
pub fn run(words: &[String]) {
    let verb = words.first().map_or("poweroff", String::as_str);
    let Some(action) = action(verb) else {
        eprintln!("live-shutdown poweroff|reboot|halt: an init's last step; `{verb}` is none of them");
        return;
    };
    if !geteuid().is_root() {
        eprintln!("live-shutdown is root's to run");
        return;
    }
    log::open_kernel();
    log::open_consoles(Level::Info);
    info!("{verb}: letting go of the medium");
    // It would tell of the medium's end as of an accident.
    end_watchers();
    sync();
    let inside = Path::new("/").join(OLD_ROOT).exists() || enter().map_err(|e| warn!("{}: {e}", places::EXIT)).is_ok();
    let left = let_go();
    if !left.is_empty() {
        info!("still in use: {}", left.join(" "));
    }
    let exit = Path::new(if inside { "/" } else { places::EXIT });
    if let Ok(device) = fs::read_to_string(exit.join(EJECT)) {
        give_back(&device, verb);
    }
    if verb == "kexec" {
        // Where no kernel was loaded it is refused, and the machine starts anew.
        let _ = reboot(RebootMode::RB_KEXEC);
    }
    rescue::end(action);
    // Refused, and there is nothing to go back to.
    loop {
        wait(&[], None);
    }
}

/// systemd-shutdown's verbs, and everybody's.
fn action(verb: &str) -> Option<Action> {
    Some(match verb {
        "poweroff" => Action::Poweroff,
        "reboot" | "kexec" => Action::Reboot,
        "halt" => Action::Halt,
        _ => return None,
    })
}

/// As systemd does it: the directory becomes `/`, and what was `/` stands below it.
fn enter() -> nix::Result<()> {
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)?;
    if !is_mounted(places::EXIT) {
        // An init that unmounts everything did it: only a mount becomes a root.
        mount(Some(places::EXIT), places::EXIT, NONE, MsFlags::MS_BIND, NONE)?;
    }
    chdir(places::EXIT)?;
    for point in NEEDED {
        mount(Some(point), &point[1..], NONE, MsFlags::MS_BIND, NONE)?;
    }
    pivot_root(".", OLD_ROOT)?;
    chroot(".")?;
    chdir("/")
}

fn give_back(device: &str, verb: &str) {
    if let Err(why) = open_tray(device) {
        warn!("the tray of /dev/{device} stays closed: {}", why.desc());
    }
    let consoles: Vec<_> = log::console_paths().iter().filter_map(|path| log::open_console(path).ok()).collect();
    let seconds = PATIENCE.as_secs();
    for console in &consoles {
        let text =
            format!("\nTake the medium (/dev/{device}) and press Enter: {verb} follows, in {seconds} s anyway\n");
        log::write_console(console, text.as_bytes());
    }
    let fds: Vec<_> = consoles.iter().map(AsFd::as_fd).collect();
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until && !wait(&fds, Some(until)).contains(&true) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_init_s_words_for_the_end_are_understood() {
        for (verb, expected) in [
            ("poweroff", Some(Action::Poweroff)),
            ("reboot", Some(Action::Reboot)),
            ("kexec", Some(Action::Reboot)),
            ("halt", Some(Action::Halt)),
            ("--help", None),
            ("", None),
        ] {
            assert_eq!(action(verb), expected, "{verb}");
        }
    }
}
