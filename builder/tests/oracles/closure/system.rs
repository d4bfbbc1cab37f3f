//! Every ELF file of this system, beside lddtree's opinion of it; where the two
//! differ, the loader decides, in a chroot with the closure and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use builder::elf::{HostSysroot, closure, deps};
use tree::{Kind, Provenance, TreePath};

use crate::{or_skip, output, tool};

/// lddtree takes a tenth of a second for each, of 3,400 on a machine that
/// builds this: one of these many is looked at.
const STRIDE: usize = 16;
/// Set to look at all of them.
const ALL: &str = "LIVEROOT_ALL_FILES";

#[test]
fn libraries_of_a_whole_system_are_those_of_lddtree_or_else_of_the_loader() {
    let (Some(lddtree), Some(unshare)) = (tool("lddtree"), tool("unshare")) else { return };
    let mut files = Vec::new();
    for dir in ["/usr/bin", "/usr/sbin", "/usr/lib"] {
        find_elf(Path::new(dir), &mut files);
    }
    files.sort();
    let stride = if std::env::var_os(ALL).is_some() { 1 } else { STRIDE };
    let files: Vec<String> = files.into_iter().step_by(stride).collect();
    assert!(files.len() > 20, "{} ELF files are no system", files.len());
    let (mut differ, mut silent) = (Vec::new(), 0);
    for (file, theirs) in files.iter().zip(lists(&lddtree, &files)) {
        let ours = deps(&HostSysroot::new("/"), &TreePath::new(file).unwrap()).unwrap().list();
        match theirs {
            Some(theirs) if theirs == ours => {}
            Some(_) => differ.push((file, ours)),
            None => silent += 1,
        }
    }
    assert!(silent * 100 <= files.len(), "lddtree says nothing of {silent} of {} files", files.len());
    for (file, ours) in &differ {
        let Some(loaded) = or_skip(loaded(&unshare, file, ours), "user namespace to chroot in") else { return };
        assert_eq!(libraries(ours.lines().skip(1)), loaded, "{file}");
    }
    println!("{} files, {} of which lddtree reads otherwise than the loader", files.len(), differ.len());
}

fn find_elf(dir: &Path, files: &mut Vec<String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            find_elf(&entry.path(), files);
        } else if kind.is_file() {
            let mut magic = [0; 4];
            // Some programs may be run and not read.
            let read = fs::File::open(entry.path()).and_then(|mut file| file.read_exact(&mut magic));
            let path = entry.path().into_os_string().into_string();
            files.extend(
                path.ok().filter(|path| read.is_ok() && magic == *b"\x7fELF" && !path.contains(['[', '*', '?'])),
            );
        }
    }
}

/// What lddtree prints of each; `None` where it ends with a traceback, which
/// takes the rest of its arguments along.
fn lists(lddtree: &Path, files: &[String]) -> Vec<Option<String>> {
    const AT_ONCE: usize = 200;
    let scratch = tempfile::tempdir().unwrap();
    // Stands before each file: one may be a library of the file before it.
    let mark = scratch.path().join("mark").into_os_string().into_string().unwrap();
    fs::write(&mark, bare_elf()).unwrap();
    let mut lists: Vec<Option<String>> = Vec::new();
    while lists.len() < files.len() {
        let open = &files[lists.len()..];
        let batch = &open[..open.len().min(AT_ONCE)];
        // It is written in Python, and its ELF library is that of the system's.
        let mut tool = Command::new(lddtree);
        tool.arg("-l").args(batch.iter().flat_map(|file| [&mark, file])).env("PATH", "/usr/bin:/bin");
        let told = tool.output().unwrap();
        for line in String::from_utf8_lossy(&told.stdout).lines() {
            match lists.last_mut().and_then(Option::as_mut) {
                Some(list) if line != mark => list.extend([line, "\n"]),
                _ => lists.push(Some(String::new())),
            }
        }
        if !told.status.success() {
            *lists.last_mut().expect("the mark does not kill it") = None;
        }
    }
    lists
}

/// A program of nothing but its header (elf(5)).
fn bare_elf() -> Vec<u8> {
    let mut header = b"\x7fELF\x02\x01\x01".to_vec();
    header.resize(16, 0);
    header.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    header.resize(52, 0);
    header.extend([64, 0, 56, 0, 0, 0, 64, 0, 0, 0, 0, 0]);
    header
}

/// What the dynamic loader finds for `file` where there is nothing but its
/// closure; `None` where nobody may chroot.
fn loaded(unshare: &Path, file: &str, ours: &str) -> Option<BTreeSet<PathBuf>> {
    let may = Command::new(unshare).args(["--user", "--map-root-user", "true"]).status().unwrap();
    if !may.success() {
        return None;
    }
    let root = tempfile::tempdir().unwrap();
    let path = TreePath::new(file).unwrap();
    for needed in closure(&HostSysroot::new("/"), &[path], &Provenance::new("test")).unwrap() {
        let at = root.path().join(needed.path.to_string().trim_start_matches('/'));
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        match needed.leaf.kind {
            Kind::File(content) => {
                fs::write(&at, content.read_all(1 << 30).unwrap()).unwrap();
                fs::set_permissions(&at, fs::Permissions::from_mode(0o755)).unwrap();
            }
            Kind::Symlink(target) => symlink(String::from_utf8(target).unwrap(), &at).unwrap(),
            _ => unreachable!("a closure has files and symlinks"),
        }
    }
    let loader = ours.lines().find(|line| is_loader(line)).expect("what is loaded has a loader");
    let mut list = Command::new(unshare);
    list.args(["--user", "--map-root-user", "chroot"]).arg(root.path()).args([loader, "--list", file]);
    let told = output(&mut list);
    // `name => path (address)`, or the path alone where that is the name.
    let paths = told.lines().filter_map(|line| line.trim().split(" => ").last()?.split(" (").next());
    Some(libraries(paths.filter(|path| path.starts_with('/'))))
}

/// Real files, but for the loader, which is there in any case.
fn libraries<'a>(paths: impl Iterator<Item = &'a str>) -> BTreeSet<PathBuf> {
    paths.filter(|path| !is_loader(path)).map(|path| fs::canonicalize(path).unwrap()).collect()
}

fn is_loader(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|name| name.starts_with("ld-") && name.contains(".so"))
}
