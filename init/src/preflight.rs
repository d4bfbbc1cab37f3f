//! Whether the new root has an init that can run, found out while nothing is
//! destroyed yet.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use crate::contract::params;
use crate::early::make_dir;
use crate::fault::{Code, Fault};
use crate::log::debug;

/// The kernel's own order, without its last: /bin/sh as PID 1 is worse than
/// the rescue prompt.
const INITS: [&str; 3] = ["/sbin/init", "/etc/init", "/bin/init"];
/// What is moved into the new root must find a place there.
pub(crate) const MOUNT_POINTS: [&str; 4] = ["/dev", "/proc", "/sys", "/run"];
/// namei(7): ELOOP is after 40.
const MAX_LINKS: usize = 40;
const PT_INTERP: u32 = 3;

/// e_machine (elf.h) of what this kernel runs; a 64-bit x86 one runs 32-bit
/// programs too.
#[cfg(target_arch = "x86_64")]
const MACHINES: &[u16] = &[62, 3];
#[cfg(target_arch = "aarch64")]
const MACHINES: &[u16] = &[183];
#[cfg(target_arch = "riscv64")]
const MACHINES: &[u16] = &[243];

/// The programs to hand over to, best first.
pub(crate) fn inits(root: &Path, asked: Option<&str>) -> Result<Vec<String>, Fault> {
    if let Some(path) = asked {
        check(root, path).map_err(|why| {
            Fault::new(Code::NoInit, format!("{}={path}: {why}", params::INIT))
                .advise(format!("leave {} away, or name a program of the root", params::INIT))
        })?;
        return Ok(vec![path.into()]);
    }
    let (mut good, mut problems) = (Vec::new(), Vec::new());
    for path in INITS {
        match check(root, path) {
            Ok(()) => good.push(path.to_owned()),
            Err(why) => problems.push(format!("{path}: {why}")),
        }
    }
    if good.is_empty() {
        return Err(Fault::new(Code::NoInit, format!("the root has no init that can run; {}", problems.join("; ")))
            .advise("the root is incomplete, or of another machine: build the image again"));
    }
    debug!("init candidates: {}", good.join(" "));
    Ok(good)
}

pub(crate) fn make_mount_points(root: &Path) {
    for point in MOUNT_POINTS {
        // A root that lacks one is an image's right; what cannot be made is
        // told by the move that fails.
        if let Some(path) = root.join(&point[1..]).to_str() {
            make_dir(path);
        }
    }
}

fn check(root: &Path, path: &str) -> Result<(), String> {
    let missing = |what: &str, path: &str, e: &io::Error| match e.kind() {
        io::ErrorKind::NotFound => format!("{what}{path} is not there"),
        _ => format!("{what}{path}: {e}"),
    };
    let real = resolve(root, Path::new(path)).map_err(|e| missing("", path, &e))?;
    let file = File::open(&real).map_err(|e| e.to_string())?;
    let meta = file.metadata().map_err(|e| e.to_string())?;
    if !meta.is_file() || meta.permissions().mode() & 0o111 == 0 {
        return Err("not an executable file".into());
    }
    let Some(interpreter) = interpreter(&file)? else { return Ok(()) };
    resolve(root, Path::new(&interpreter)).map_err(|e| missing("its interpreter ", &interpreter, &e))?;
    Ok(())
}

/// The ELF interpreter or the `#!` one; None for a static program.
fn interpreter(file: &File) -> Result<Option<String>, String> {
    let mut head = [0; 256];
    let len = file.read_at(&mut head, 0).map_err(|e| e.to_string())?;
    let head = &head[..len];
    if let Some(line) = head.strip_prefix(b"#!") {
        let line = line.split(|&b| b == b'\n').next().unwrap_or_default();
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let word = words.next().ok_or("its `#!` names nothing")?;
        return Ok(Some(String::from_utf8_lossy(word).into_owned()));
    }
    if !head.starts_with(b"\x7fELF") {
        return Err("neither an ELF program nor a script with `#!`".into());
    }
    elf_interpreter(file, head)
}

/// elf(5). Little-endian, as every machine in [`MACHINES`] is.
fn elf_interpreter(file: &File, head: &[u8]) -> Result<Option<String>, String> {
    let cut = || String::from("its ELF headers are cut short");
    let (wide, order) = (*head.get(4).ok_or_else(cut)? == 2, *head.get(5).ok_or_else(cut)?);
    let machine = number(head, 18, 2).ok_or_else(cut)?;
    if order != 1 || !MACHINES.iter().any(|&ours| u64::from(ours) == machine) {
        return Err(format!("it is for another machine (ELF machine {machine})"));
    }
    let (table, entry_size, entries) = if wide {
        (number(head, 32, 8), number(head, 54, 2), number(head, 56, 2))
    } else {
        (number(head, 28, 4), number(head, 42, 2), number(head, 44, 2))
    };
    let (table, entry_size, entries) = (table.ok_or_else(cut)?, entry_size.ok_or_else(cut)?, entries.ok_or_else(cut)?);
    for n in 0..entries {
        let mut header = [0; 56];
        let header = &mut header[..if wide { 56 } else { 32 }];
        let at = table.checked_add(n * entry_size).ok_or_else(cut)?;
        file.read_exact_at(header, at).map_err(|_| cut())?;
        if number(header, 0, 4) != Some(u64::from(PT_INTERP)) {
            continue;
        }
        let (offset, size) = if wide {
            (number(header, 8, 8), number(header, 32, 8))
        } else {
            (number(header, 4, 4), number(header, 16, 4))
        };
        // PATH_MAX.
        let mut path = vec![0; size.unwrap_or(0).min(4096) as usize];
        file.read_exact_at(&mut path, offset.unwrap_or(0)).map_err(|_| cut())?;
        let path = path.split(|&b| b == 0).next().unwrap_or_default();
        return Ok(Some(String::from_utf8_lossy(path).into_owned()));
    }
    Ok(None)
}

fn number(bytes: &[u8], at: usize, len: usize) -> Option<u64> {
    Some(bytes.get(at..at + len)?.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte)))
}

/// Where `path` leads when `root` is `/`: also an absolute link's target is
/// looked for there, and `..` ends there.
pub(crate) fn resolve(root: &Path, path: &Path) -> io::Result<PathBuf> {
    let mut rest: Vec<_> = components(path).rev().collect();
    let (mut at, mut links) = (PathBuf::new(), 0);
    while let Some(name) = rest.pop() {
        if name == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&name);
        let real = root.join(&next);
        if !fs::symlink_metadata(&real)?.is_symlink() {
            at = next;
            continue;
        }
        links += 1;
        if links > MAX_LINKS {
            return Err(io::Error::from_raw_os_error(nix::errno::Errno::ELOOP as i32));
        }
        let target = fs::read_link(&real)?;
        if target.is_absolute() {
            at = PathBuf::new();
        }
        rest.extend(components(&target).rev());
    }
    Ok(root.join(at))
}

fn components(path: &Path) -> std::vec::IntoIter<std::ffi::OsString> {
    let names = path.components().filter(|c| matches!(c, Component::Normal(_) | Component::ParentDir));
    names.map(|c| c.as_os_str().to_owned()).collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// An ELF header and one program header, PT_INTERP when there is a path.
    fn elf(machine: u16, interpreter: &str) -> Vec<u8> {
        let mut bytes = vec![0; 120];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[18..20].copy_from_slice(&machine.to_le_bytes());
        (bytes[32], bytes[54], bytes[56]) = (64, 56, 1);
        if !interpreter.is_empty() {
            (bytes[64], bytes[72], bytes[96]) = (3, 120, interpreter.len() as u8 + 1);
            bytes.extend(interpreter.bytes());
            bytes.push(0);
        }
        bytes
    }

    fn put(root: &Path, path: &str, bytes: &[u8], mode: u32) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn an_init_is_found_through_links_that_are_absolute_in_its_root() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        put(root, "usr/lib/systemd/systemd", &elf(MACHINES[0], "/lib64/ld.so"), 0o755);
        put(root, "usr/lib64/ld.so", b"", 0o755);
        symlink("usr/lib64", root.join("lib64")).unwrap();
        symlink("/usr/sbin", root.join("sbin")).unwrap();
        fs::create_dir(root.join("usr/sbin")).unwrap();
        symlink("../../../../lib/systemd/systemd", root.join("usr/sbin/init")).unwrap();
        symlink("/usr/lib", root.join("lib")).unwrap();
        assert_eq!(inits(root, None), Ok(vec!["/sbin/init".to_owned()]));
        assert_eq!(inits(root, Some("/usr/lib/systemd/systemd")).unwrap().len(), 1);
        fs::remove_file(root.join("usr/lib64/ld.so")).unwrap();
        let fault = inits(root, None).unwrap_err();
        assert!(fault.what.contains("/sbin/init: its interpreter /lib64/ld.so is not there"), "{fault}");
    }

    #[test]
    fn what_cannot_run_is_named_with_its_reason() {
        let table: [(&[u8], u32, &str); 8] = [
            (b"", 0o755, "neither"),
            (b"#!\n", 0o755, "names nothing"),
            (b"#!/bin/nothing -x\n", 0o755, "interpreter /bin/nothing"),
            (&elf(MACHINES[0], ""), 0o644, "not an executable"),
            (&elf(40, ""), 0o755, "another machine"),
            (&elf(MACHINES[0], "/no/ld.so"), 0o755, "interpreter /no/ld.so"),
            (&elf(MACHINES[0], "")[..100], 0o755, "cut short"),
            (b"\x7fELF", 0o755, "cut short"),
        ];
        for (bytes, mode, problem) in table {
            let dir = tempfile::tempdir().unwrap();
            put(dir.path(), "sbin/init", bytes, mode);
            let fault = inits(dir.path(), None).unwrap_err();
            assert!(fault.code == Code::NoInit && fault.what.contains(problem), "{problem}: {fault}");
        }
    }

    #[test]
    fn static_programs_and_scripts_with_their_interpreter_can_run() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "bin/sh", &elf(MACHINES[0], ""), 0o755);
        put(dir.path(), "etc/init", b"#! /bin/sh\n", 0o700);
        assert_eq!(inits(dir.path(), None), Ok(vec!["/etc/init".to_owned()]));
        assert_eq!(inits(dir.path(), Some("/sbin/init")).unwrap_err().code, Code::NoInit);
    }

    #[test]
    fn links_in_a_circle_end() {
        let dir = tempfile::tempdir().unwrap();
        symlink("b", dir.path().join("a")).unwrap();
        symlink("/a", dir.path().join("b")).unwrap();
        assert!(resolve(dir.path(), Path::new("/a")).is_err());
        assert_eq!(resolve(dir.path(), Path::new("/../..")).unwrap(), dir.path().join(""));
    }
}
