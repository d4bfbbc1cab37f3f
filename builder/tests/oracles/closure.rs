//! Programs of this machine, beside lddtree's opinion of them.

mod system;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use builder::elf::{HostSysroot, closure, deps};
use tree::{Kind, Provenance, TreePath};

use crate::{output, tool};

/// Those of these that are installed are looked at: shells, tools with many
/// libraries, with RUNPATHs, in C++ and in Rust, and static ones.
const PROGRAMS: &str = "/bin/bash /bin/sh /usr/bin/perl /usr/bin/git /usr/bin/gdisk /usr/bin/xorriso /usr/bin/ssh \
    /usr/bin/unsquashfs /usr/bin/bsdtar /usr/bin/7z /usr/bin/curl /usr/bin/systemctl /usr/sbin/mke2fs /usr/bin/kmod \
    /usr/sbin/cryptsetup /usr/sbin/lvm /usr/bin/qemu-system-x86_64 /usr/bin/mtools /usr/lib/klibc/bin/cat /sbin/ldconfig";

fn is_elf(program: &&str) -> bool {
    fs::read(program).is_ok_and(|bytes| bytes.starts_with(b"\x7fELF"))
}

#[test]
fn closures_equal_those_of_lddtree() {
    let Some(lddtree) = tool("lddtree") else { return };
    let mut compared = 0;
    for program in PROGRAMS.split_whitespace().filter(is_elf) {
        // It is written in Python, and its ELF library is that of the system's.
        let theirs = output(Command::new(&lddtree).args(["-l", program]).env("PATH", "/usr/bin:/bin"));
        let path = TreePath::new(program).unwrap();
        assert_eq!(deps(&HostSysroot::new("/"), &path).unwrap().list(), theirs, "{program}");
        let theirs: BTreeSet<PathBuf> = theirs.lines().map(|line| fs::canonicalize(line).unwrap()).collect();
        let needed = closure(&HostSysroot::new("/"), &[path], &Provenance::new("test"));
        let needed = needed.unwrap();
        let files = needed.iter().filter(|needed| matches!(needed.leaf.kind, Kind::File(_)));
        let ours: BTreeSet<PathBuf> = files.map(|needed| PathBuf::from(needed.path.to_string())).collect();
        assert_eq!(ours, theirs, "{program}");
        compared += 1;
    }
    assert!(compared >= 6, "{compared} programs are too few to compare");
}
