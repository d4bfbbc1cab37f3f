//! The medium is pulled while a system runs from it: told on the console, and
//! the policy done, by a process of which nothing is on the medium.
//!
//! It is /init itself under another name. What begins with `@` is spared by
//! systemd when it ends all processes, and by us.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::unistd::{chroot, dup2_stderr, dup2_stdout, fchdir, fexecve, write};

use crate::cmdline::Emergency;
use crate::contract::{initramfs, run as places};
use crate::devices::wait;
use crate::fault::{Code, Fault};
use crate::log::warn;
use crate::uevent::{Received, Socket, Uevent};
use crate::{rescue, sys};

pub const NAME: &str = "@liveroot-watch";

/// While `/` is still where /init is. `disk` is the medium's, below /sys.
pub(crate) fn start(disk: &str, emergency: Emergency) {
    if let Err(why) = begin(disk, emergency) {
        warn!("nobody will tell when the medium is pulled: {why}");
    }
}

/// Every name is looked up here: PID 1 moves /dev, /proc and /run into the new
/// root while the new process begins, and mostly before that gets to run at all.
fn begin(disk: &str, emergency: Emergency) -> io::Result<()> {
    let words = [NAME.to_owned(), disk.to_owned(), emergency.to_string()];
    let words = words.into_iter().map(CString::new).collect::<Result<Vec<_>, _>>()?;
    // The copy that is kept for the shutdown: the initramfs's own is deleted,
    // and its memory is free once nobody runs it.
    let program = File::open(places::SHUTDOWN).or_else(|_| File::open(initramfs::INIT))?;
    let (kernel, console, proc) = (teller("/dev/kmsg")?, teller("/dev/console")?, File::open("/proc")?);
    let become_it = || {
        let environment: [CString; 0] = [];
        let told = dup2_stdout(&kernel).and_then(|()| dup2_stderr(&console)).and_then(|()| fchdir(&proc));
        match told.and_then(|()| fexecve(&program, &words, &environment)) {
            Ok(never) => match never {},
            Err(e) => {
                warn!("nobody will tell when the medium is pulled: {}", e.desc());
                e as i32
            }
        }
    };
    sys::fork(become_it)?;
    Ok(())
}

/// A machine may have no console.
fn teller(path: &str) -> io::Result<File> {
    let open = |path| {
        let flags = OFlag::O_NOCTTY | OFlag::O_NONBLOCK;
        OpenOptions::new().write(true).custom_flags(flags.bits()).open(path)
    };
    open(path).or_else(|_| open("/dev/null"))
}

/// That process. It ends with the machine, or where it cannot hear anything.
pub fn run(disk: &str, emergency: &str) {
    // What cannot be locked may be read back from the swap: better than nothing.
    let _ = sys::lock_memory();
    let (Ok(socket), Some(emergency)) = (Socket::open(), Emergency::parse(emergency)) else { return };
    loop {
        wait(&[socket.as_fd()], None);
        while let received @ (Received::Event(_) | Received::Foreign | Received::Lost) = socket.receive() {
            if matches!(&received, Received::Event(event) if is_end_of(event, disk)) {
                let name = disk.rsplit('/').next().unwrap_or_default();
                let what = format!("the medium /dev/{name} was pulled, and the system runs from it");
                let line = format!("liveroot: {}\n", Fault::new(Code::Pulled, what));
                // There is no other place to say it.
                let _ = (write(io::stdout(), line.as_bytes()), write(io::stderr(), line.as_bytes()));
                pause(emergency.after);
                // From /proc, where this began, to the system's root, in which it stands
                // now. Without it a reboot is asked for by one way less.
                let _ = chroot("1/root");
                rescue::end(emergency.action);
            }
        }
    }
}

fn pause(time: Duration) {
    let until = Instant::now() + time;
    while Instant::now() < until {
        wait(&[], Some(until));
    }
}

fn is_end_of(event: &Uevent, disk: &str) -> bool {
    event.action == "remove" && event.subsystem == "block" && event.devpath == disk
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_medium_s_own_end_is_one() {
        let disk = "/devices/pci0/usb1/block/sda";
        let event = |action: &str, subsystem: &str, devpath: &str| Uevent {
            action: action.into(),
            subsystem: subsystem.into(),
            devpath: devpath.into(),
            ..Uevent::default()
        };
        assert!(is_end_of(&event("remove", "block", disk), disk));
        for (action, subsystem, devpath) in [
            ("add", "block", disk),
            ("remove", "bdi", disk),
            ("remove", "block", "/devices/pci0/usb1/block/sdb"),
            ("remove", "block", "/devices/pci0/usb1/block/sda/sda1"),
        ] {
            assert!(!is_end_of(&event(action, subsystem, devpath), disk), "{action} {devpath}");
        }
    }

    #[test]
    fn a_policy_comes_over_as_it_was() {
        for text in ["shell:0", "reboot:10", "poweroff:0", "halt:3"] {
            assert_eq!(Emergency::parse(text).unwrap().to_string(), text);
        }
    }
}
