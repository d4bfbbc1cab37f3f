//! The medium is pulled while a system runs from it: told on the console, and
//! the policy done, by a process of which nothing is on the medium.
//!
//! It is /init itself under another name. What begins with `@` is spared by
//! systemd when it ends all processes, and by us.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::unistd::execve;

use crate::cmdline::Emergency;
use crate::contract::initramfs;
use crate::devices::wait;
use crate::fault::{Code, Fault};
use crate::log::warn;
use crate::uevent::{Received, Socket, Uevent};
use crate::{rescue, sys};

pub const NAME: &str = "@liveroot-watch";

/// While `/` is still where /init is. `disk` is the medium's, below /sys.
pub(crate) fn start(disk: &str, emergency: Emergency) {
    let words = [NAME.to_owned(), disk.to_owned(), emergency.to_string()];
    let Ok(words) = words.into_iter().map(CString::new).collect::<Result<Vec<_>, _>>() else { return };
    // Not the copy that is kept for the shutdown: run from there it told nothing.
    let Ok(program) = CString::new(initramfs::INIT) else { return };
    let become_it = || {
        let environment: [CString; 0] = [];
        match execve(&program, &words, &environment) {
            Ok(never) => match never {},
            Err(e) => e as i32,
        }
    };
    if let Err(e) = sys::fork(become_it) {
        warn!("nobody will tell when the medium is pulled: {}", e.desc());
    }
}

/// That process. It ends with the machine, or where it cannot hear anything.
pub fn run(disk: &str, emergency: &str) {
    // What cannot be locked may be read back from the swap: better than nothing.
    let _ = sys::lock_memory();
    let (Ok(socket), Some(emergency)) = (Socket::open(), Emergency::parse(emergency)) else { return };
    // Their names may lead elsewhere when they are needed.
    let mut tellers: Vec<File> = ["/dev/kmsg", "/dev/console"].into_iter().filter_map(|path| open(path).ok()).collect();
    loop {
        wait(&[socket.as_fd()], None);
        while let received @ (Received::Event(_) | Received::Foreign | Received::Lost) = socket.receive() {
            if matches!(&received, Received::Event(event) if is_end_of(event, disk)) {
                let name = disk.rsplit('/').next().unwrap_or_default();
                let what = format!("the medium /dev/{name} was pulled, and the system runs from it");
                let fault = Fault::new(Code::Pulled, what);
                for teller in &mut tellers {
                    // There is no other place to say it.
                    let _ = teller.write_all(format!("liveroot: {fault}\n").as_bytes());
                }
                pause(emergency.after);
                rescue::end(emergency.action);
            }
        }
    }
}

fn open(path: &str) -> std::io::Result<File> {
    let flags = OFlag::O_NOCTTY | OFlag::O_NONBLOCK;
    OpenOptions::new().write(true).custom_flags(flags.bits()).open(path)
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
