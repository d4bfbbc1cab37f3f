//! A package, compressed or not, over a root that has a way out: it ends, and
//! nothing that it does is done outside, or gives rights.

#![no_main]

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::path::Path;

use init::unpack::{Limits, package};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits { unpacked: 64 << 10, privileged: false };

fuzz_target!(|data: &[u8]| {
    let outer = tempfile::tempdir().expect("there is room");
    let (root, victim) = (outer.path().join("root"), outer.path().join("victim"));
    fs::create_dir(&root).expect("it is new");
    fs::write(&victim, "unharmed").expect("it is new");
    symlink("..", root.join("d")).expect("it is new");

    let _ = package(&*with_sums(data), &root, &LIMITS);

    assert_eq!(fs::read_to_string(victim).expect("it is there"), "unharmed");
    assert_eq!(fs::read_dir(&outer).expect("it is there").count(), 2, "something new beside the root");
    check(&root);
});

fn check(dir: &Path) {
    for entry in fs::read_dir(dir).expect("it is a directory") {
        let path = entry.expect("it can be read").path();
        let about = fs::symlink_metadata(&path).expect("it is there");
        let kind = about.file_type();
        assert!(!kind.is_block_device() && !kind.is_char_device(), "a device");
        assert!(kind.is_dir() || about.permissions().mode() & 0o6000 == 0, "set-uid or set-gid");
        assert!(!path.ends_with(".liveroot-unpack"), "half a file");
        if kind.is_dir() {
            check(&path);
        }
    }
}

/// Every header gets the sum that it needs to be looked at.
fn with_sums(data: &[u8]) -> Vec<u8> {
    let mut tar = data.to_vec();
    for header in tar.chunks_exact_mut(512).filter(|block| &block[257..262] == b"ustar") {
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    tar
}
