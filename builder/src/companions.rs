//! What programs for the disks of an installed system need beside their
//! libraries: what they open or start by its name, and udev's rules for the
//! devices they make.

use std::collections::BTreeSet;

use tree::TreePath;

use crate::elf::ElfError;
use crate::elf::sysroot::{Sysroot, files};

/// Names of programs, and globs of what goes with each where it is there.
/// `bin`, `sbin` and `lib` may stand in /usr too.
const COMPANIONS: &[(&str, &str)] = &[
    // Its threads end by pthread_exit, for which libc opens libgcc_s; OpenSSL
    // keeps the hashes of old volumes in a module of its own.
    (
        "cryptsetup",
        "lib/*/libgcc_s.so.1 lib64/libgcc_s.so.1 lib/*/ossl-modules/legacy.so lib64/ossl-modules/legacy.so \
         lib/*/cryptsetup/libcryptsetup-token-*.so lib64/cryptsetup/libcryptsetup-token-*.so \
         sbin/dmsetup lib/udev/rules.d/*-dm*.rules lib/udev/rules.d/*-persistent-storage-dm.rules",
    ),
    ("mdadm", "sbin/mdmon etc/mdadm.conf etc/mdadm/mdadm.conf lib/udev/rules.d/*-md-*.rules"),
    (
        "lvm",
        "sbin/dmsetup sbin/lvchange sbin/lvs sbin/pvs sbin/pvscan sbin/vgchange sbin/vgs sbin/vgscan \
         sbin/thin_check sbin/cache_check etc/lvm/lvm.conf etc/lvm/lvmlocal.conf etc/lvm/profile/* \
         lib/udev/rules.d/*-lvm*.rules lib/udev/rules.d/*-dm*.rules lib/udev/rules.d/*-persistent-storage-dm.rules",
    ),
    ("dmsetup", "lib/udev/rules.d/*-dm*.rules lib/udev/rules.d/*-persistent-storage-dm.rules"),
    // Those of XFS and Btrfs are scripts that do nothing.
    ("fsck", "sbin/fsck.ext* sbin/fsck.*fat sbin/fsck.f2fs sbin/e2fsck etc/e2fsck.conf"),
];

/// The files that go with a program, in the order of their paths.
pub(crate) fn of(sysroot: &dyn Sysroot, program: &TreePath) -> Result<BTreeSet<TreePath>, ElfError> {
    let mut found = BTreeSet::new();
    let named = COMPANIONS.iter().filter(|(name, _)| name.as_bytes() == program.name());
    for glob in named.flat_map(|(_, globs)| globs.split_ascii_whitespace()) {
        found.extend(files(sysroot, glob)?);
        if !glob.starts_with("etc/") {
            found.extend(files(sysroot, &format!("usr/{glob}"))?);
        }
    }
    found.remove(program);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use tree::{Provenance, Tree};

    use super::*;

    #[test]
    fn what_goes_with_a_program_is_found_where_it_is_and_passed_over_where_not() {
        let path = |written: &str| TreePath::new(written).unwrap();
        let mut root = Tree::new();
        for name in [
            "usr/sbin/cryptsetup",
            "usr/sbin/dmsetup",
            "usr/lib/x86_64-linux-gnu/libgcc_s.so.1",
            "usr/lib/x86_64-linux-gnu/ossl-modules/legacy.so",
            "usr/lib/udev/rules.d/55-dm.rules",
            "usr/lib/udev/rules.d/60-cdrom_id.rules",
            "etc/mdadm/mdadm.conf",
        ] {
            root.insert_file(path(name), 0o755, b"x"[..].into(), Provenance::new("test")).unwrap();
        }
        for dir in ["lib", "sbin"] {
            root.insert_symlink(path(dir), format!("usr/{dir}"), Provenance::new("test")).unwrap();
        }
        let found = |program: &str| -> Vec<String> {
            of(&root, &path(program)).unwrap().iter().map(ToString::to_string).collect()
        };
        assert_eq!(
            found("sbin/cryptsetup"),
            [
                "/usr/lib/udev/rules.d/55-dm.rules",
                "/usr/lib/x86_64-linux-gnu/libgcc_s.so.1",
                "/usr/lib/x86_64-linux-gnu/ossl-modules/legacy.so",
                "/usr/sbin/dmsetup"
            ]
        );
        assert_eq!(found("sbin/mdadm"), ["/etc/mdadm/mdadm.conf"]);
        assert!(found("usr/bin/git").is_empty());
    }
}
