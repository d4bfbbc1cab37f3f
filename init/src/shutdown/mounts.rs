//! Everything that is mounted, undone as far as it goes.

use std::fs;

use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// Where this program lives, and what it needs.
const KEPT: [&str; 5] = ["/", "/dev", "/proc", "/sys", "/run"];

#[derive(Debug, PartialEq, Eq)]
struct Mount {
    target: String,
    /// Its file system has a disk, or another one, below it.
    stands_on_something: bool,
}

/// What is left.
pub(super) fn let_go() -> Vec<String> {
    // First, while they have a name: what an overlayfs holds stays in use, and
    // writable, when its name is gone.
    for Mount { target, .. } in list().iter().filter(|mount| mount.stands_on_something) {
        // One that is written to stays so; the buffers are on the disk.
        let _ =
            mount(None::<&str>, target.as_str(), None::<&str>, MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY, None::<&str>);
    }
    // One gone can free another, whatever the order; each pass but the last
    // undoes one at least.
    loop {
        let mounts = list();
        let undone = mounts.iter().filter(|mount| umount2(mount.target.as_str(), MntFlags::empty()).is_ok()).count();
        if undone == 0 {
            return mounts.into_iter().map(|mount| mount.target).collect();
        }
    }
}

pub(super) fn is_mounted(target: &str) -> bool {
    list().iter().any(|mount| mount.target == target)
}

fn list() -> Vec<Mount> {
    parse(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
}

/// proc_pid_mountinfo(5), the last mount first.
fn parse(mountinfo: &str) -> Vec<Mount> {
    let parse_line = |line: &str| {
        let (mount, fs) = line.split_once(" - ")?;
        let target = unescaped(mount.split(' ').nth(4)?);
        let mut fs = fs.split(' ');
        let stands_on_something = fs.next()? == "overlay" || fs.next()?.starts_with("/dev/");
        (!KEPT.contains(&target.as_str())).then_some(Mount { target, stands_on_something })
    };
    mountinfo.lines().rev().filter_map(parse_line).collect()
}

/// The kernel writes blanks and backslashes as three octal digits.
fn unescaped(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => out.extend([&char::from(byte).to_string(), &part[3..]]),
            None => out.extend(["\\", part]),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_mount_goes_first_and_what_is_needed_stays() {
        let text = "\
22 1 0:20 / / rw - tmpfs tmpfs rw,size=8192k\n\
23 22 0:5 / /dev rw - devtmpfs devtmpfs rw\n\
24 22 0:21 / /oldroot rw,relatime shared:1 - overlay overlay rw,lowerdir=0\n\
25 24 0:22 / /oldroot/run/live/medium ro - iso9660 /dev/sr0 ro\n\
26 24 8:1 / /oldroot/mnt/a\\040b rw - ext4 /dev/sda1 rw\n\
27 24 0:5 / /oldroot/dev/pts rw - devpts devpts rw\n\
cut short\n";
        let mount = |target: &str, stands_on_something| Mount { target: target.into(), stands_on_something };
        assert_eq!(
            parse(text),
            [
                mount("/oldroot/dev/pts", false),
                mount("/oldroot/mnt/a b", true),
                mount("/oldroot/run/live/medium", true),
                mount("/oldroot", true),
            ]
        );
        assert_eq!(unescaped("a\\134040\\x"), "a\\040\\x");
    }
}
