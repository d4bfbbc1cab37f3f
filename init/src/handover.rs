//! PID 1 becomes the distribution's init.
//!
//! Move first, delete afterwards: until the new root is `/` everything can be
//! undone, and only then is the ramfs emptied, by a descriptor of it.

mod leftovers;
mod wipe;

use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::fs::{File, OpenOptions};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{chdir, chroot, dup2_stderr, dup2_stdin, dup2_stdout, execve, pivot_root, setsid};

use crate::contract::{initramfs, params};
use crate::fault::{Code, Fault};
use crate::log::{error, info, warn};
use crate::preflight::MOUNT_POINTS;
use crate::sys;
pub(crate) use leftovers::{end_leftovers, end_watchers};

const NONE: Option<&str> = None;
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// From here on `/` is `new_root`. What fails is undone.
pub(crate) fn switch_root(new_root: &Path) -> Result<File, Fault> {
    let failed = |what: &str, e: Errno| Fault::new(Code::Handover, format!("{what}: {}", e.desc()));
    let old_root = File::open("/").map_err(|e| Fault::new(Code::Handover, format!("/: {e}")))?;
    // MS_MOVE is refused below a shared mount.
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE).map_err(|e| failed("making / private", e))?;
    for (n, point) in MOUNT_POINTS.iter().enumerate() {
        if let Err(e) = move_mount(Path::new(point), &new_root.join(&point[1..])) {
            move_back(new_root, n);
            return Err(failed(&format!("moving {point} into the new root"), e));
        }
    }
    if let Err(e) = chdir(new_root).and_then(|()| enter()) {
        // What was not left needs no way back.
        let _ = chdir("/");
        move_back(new_root, MOUNT_POINTS.len());
        return Err(failed("making the new root /", e));
    }
    Ok(old_root)
}

/// The working directory becomes `/`.
fn enter() -> nix::Result<()> {
    if pivot_root(".", ".").is_ok() {
        // The old root lies over the new one, at the same place.
        umount2(".", MntFlags::MNT_DETACH)?;
    } else {
        // The kernel's first root cannot be pivoted before Linux 7.0.
        move_mount(Path::new("."), Path::new("/"))?;
        chroot(".")?;
    }
    chdir("/")
}

fn move_mount(from: &Path, to: &Path) -> nix::Result<()> {
    mount(Some(from), to, NONE, MsFlags::MS_MOVE, NONE)
}

fn move_back(new_root: &Path, moved: usize) {
    for point in &MOUNT_POINTS[..moved] {
        if let Err(e) = move_mount(&new_root.join(&point[1..]), Path::new(point)) {
            warn!("moving {point} back: {}", e.desc());
        }
    }
}

/// Frees the memory of the old root, and nothing that is not the ramfs.
pub(crate) fn wipe(old_root: &File) {
    match wipe::wipe(old_root) {
        Ok(files) => info!("old root: {files} entries freed"),
        Err(why) => warn!("the old root keeps its memory: {why}"),
    }
}

/// As the kernel starts an init. Returns only when none of them could be
/// executed, not even the shell where one is allowed: it asks nobody for a password.
pub(crate) fn execute(inits: &[String], shell_allowed: bool) -> Fault {
    take_console();
    sys::default_signals();
    umask(Mode::from_bits_truncate(0o022));
    let shell = [initramfs::SHELL.to_owned()];
    let mut tried = Vec::new();
    for path in inits.iter().chain(shell.iter().filter(|_| shell_allowed)) {
        match execute_one(path) {
            Ok(never) => match never {},
            Err(e) => {
                error!("{} {path}: {}", Code::Handover.name(), e.desc());
                tried.push(path.as_str());
            }
        }
    }
    Fault::new(Code::Handover, format!("none of {} could be executed", tried.join(" ")))
}

fn execute_one(path: &str) -> nix::Result<Infallible> {
    let c = |text: &str| CString::new(text).map_err(|_| Errno::EINVAL);
    let path = c(path)?;
    let argv: Vec<CString> = std::iter::once(path.clone()).chain(arguments(std::env::args_os().skip(1))).collect();
    execve(&path, &argv, &environment())
}

/// What the kernel did not know and gave to us is the init's, such as
/// `single`; but for our own names and their aliases.
fn arguments(given: impl Iterator<Item = OsString>) -> impl Iterator<Item = CString> {
    let own = |arg: &OsString| {
        arg.to_str().is_some_and(|name| name == params::INSTALLED || params::resolve(name, "").is_some())
    };
    given.filter(move |arg| !own(arg)).filter_map(|arg| CString::new(arg.into_vec()).ok())
}

/// Likewise, and a PATH for inits that are scripts.
fn environment() -> Vec<CString> {
    let mut environment = vec![CString::new(PATH).unwrap_or_default()];
    for (name, value) in std::env::vars_os() {
        let own = name == "PATH"
            || name.to_str().is_some_and(|name| params::resolve(name, &value.to_string_lossy()).is_some());
        if !own {
            environment.extend(CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()));
        }
    }
    environment
}

/// The new root's own console on 0, 1 and 2: the old one's node is deleted.
fn take_console() {
    // A session of our own, as inits expect; PID 1 that has one is refused.
    let _ = setsid();
    let console = OpenOptions::new().read(true).write(true).open("/dev/console");
    let console = console.or_else(|_| OpenOptions::new().read(true).write(true).open("/dev/null"));
    match console {
        // Only a closed descriptor could be refused, and this one is open.
        Ok(console) => drop((dup2_stdin(&console), dup2_stdout(&console), dup2_stderr(&console))),
        Err(e) => warn!("/dev/console: {e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_init_is_given_what_is_neither_ours_nor_an_installer_s() {
        let given = ["splash", "toram", "---", "single", "maybe-ubiquity", "-x"].map(OsString::from);
        let passed: Vec<CString> = arguments(given.into_iter()).collect();
        assert_eq!(passed, [c"splash", c"single", c"maybe-ubiquity", c"-x"].map(CString::from));
    }
}
