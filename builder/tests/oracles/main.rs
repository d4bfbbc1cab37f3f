//! What is made here, judged by the field's own tools: kmod, lddtree,
//! grub-mkimage, veritysetup, sgdisk and sfdisk, unsquashfs, openssl,
//! binutils and Linux itself.

mod closure;
mod cpio;
mod depmod;
mod grub;
mod kernel;
mod modprobe;
mod password;
mod squashfs;
mod strip;
mod verity;
mod write;

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

/// What a test needs and this machine may lack: CI does not go without.
fn or_skip<T>(needed: Option<T>, what: &str) -> Option<T> {
    if needed.is_none() {
        assert!(std::env::var_os("CI").is_none(), "there is no {what} here, and CI wants it");
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        // Past libtest's capture, which would hide it in a test that passes.
        let _ = writeln!(std::io::stderr(), "\nSKIPPED {test}: there is no {what}");
    }
    needed
}

/// What `cargo xtask test` fetches and names in the environment.
fn given(variable: &str, what: &str) -> Option<PathBuf> {
    let path = std::env::var_os(variable).map(PathBuf::from).filter(|path| path.exists());
    or_skip(path, &format!("{what} ({variable}; `cargo xtask test` fetches it)"))
}

fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    or_skip(dirs.map(|dir| dir.join(name)).find(|file| file.is_file()), name)
}

fn output(command: &mut Command) -> String {
    let output = command.env("LC_ALL", "C").output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} ended with {}: {errors}", output.status);
    String::from_utf8(output.stdout).unwrap()
}
