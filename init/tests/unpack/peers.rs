//! What GNU tar extracts, we extract.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;

use init::unpack::{Limits, Summary, package};
use nix::sys::stat::{Mode, SFlag, mknod};
use nix::sys::time::TimeSpec;

use crate::PLAIN;
use crate::oracle;
use crate::snapshot::snapshot;

pub(crate) const ALL: Limits = Limits { unpacked: u64::MAX, privileged: true };

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Every kind of entry that a package has, and names that are hard on a tar.
pub(crate) fn make_source(root: &Path) {
    let file = |name: &str, contents: &[u8], mode: u32| {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, contents).unwrap();
        chmod(&path, mode);
    };
    file("usr/bin/program", &b"\x7fELF and the rest".repeat(40_000), 0o755);
    file("usr/bin/su", b"set-uid", 0o4755);
    file("usr/lib/a.so", b"", 0o644);
    file("etc/shadow", b"secret\n", 0o600);
    file("exactly-one-block", &[7; 512], 0o644);
    file(&format!("deep/{}leaf", "directory/".repeat(30)), b"deep", 0o644);
    file(&format!("long/{}", "n".repeat(255)), b"long", 0o644);
    file("names/with blank\nand newline", b"x", 0o644);
    file("names/\u{fc}ml\u{e4}ut", b"x", 0o644);
    file("names/back\\slash", b"x", 0o644);
    symlink("usr/bin", root.join("bin")).unwrap();
    symlink("/absolute/and/dangling", root.join("usr/dangling")).unwrap();
    symlink(format!("far/{}", "x".repeat(200)), root.join("usr/far")).unwrap();
    fs::hard_link(root.join("usr/bin/program"), root.join("usr/bin/another-name")).unwrap();
    fs::hard_link(root.join("usr/bin/program"), root.join(format!("usr/{}", "h".repeat(120)))).unwrap();
    fs::create_dir_all(root.join("var/mail")).unwrap();
    chmod(&root.join("var/mail"), 0o2775);
    fs::create_dir_all(root.join("tmp")).unwrap();
    chmod(&root.join("tmp"), 0o1777);
    fs::create_dir_all(root.join("locked")).unwrap();
    fs::write(root.join("locked/inside"), "x").unwrap();
    mknod(&root.join("fifo"), SFlag::S_IFIFO, Mode::from_bits_truncate(0o640), 0).unwrap();
    if is_root() {
        let device = nix::sys::stat::makedev(5, 1);
        mknod(&root.join("console"), SFlag::S_IFCHR, Mode::from_bits_truncate(0o600), device).unwrap();
        mknod(&root.join("disk"), SFlag::S_IFBLK, Mode::from_bits_truncate(0o660), device).unwrap();
        std::os::unix::fs::lchown(root.join("etc/shadow"), Some(12), Some(42)).unwrap();
        std::os::unix::fs::lchown(root.join("usr/dangling"), Some(1000), Some(1000)).unwrap();
    }
    chmod(&root.join("locked"), 0o555);
    let times = |name: &str, seconds, nanos| {
        let time = TimeSpec::new(seconds, nanos);
        let path = root.join(name);
        let flag = nix::sys::stat::UtimensatFlags::NoFollowSymlink;
        nix::sys::stat::utimensat(nix::fcntl::AT_FDCWD, &path, &time, &time, flag).unwrap();
    };
    times("etc/shadow", 1_000_000_000, 123_456_789);
    times("bin", 1_100_000_000, 0);
    times("usr", 1_200_000_000, 5);
    times("var", 0, 0);
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
}

#[test]
fn the_extracted_tree_equals_that_of_gnu_tar() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    make_source(&source);
    let source = source.to_str().unwrap();
    let rows: &[(&str, &[&str])] = &[
        ("tar", &["--format=gnu", "-c"]),
        ("tar", &["--format=posix", "-c"]),
        ("tar", &["--format=oldgnu", "-c"]),
        ("tar", &["--format=posix", "--hard-dereference", "-cJ"]),
        ("tar", &["--format=gnu", "-cJ"]),
        ("tar", &["--format=posix", "-cz"]),
        ("tar", &["--format=gnu", "--zstd", "-c"]),
        ("tar", &["--format=gnu", "--blocking-factor=1", "--sort=name", "-c"]),
        ("bsdtar", &["--format=pax", "-c"]),
        ("bsdtar", &["--format=gnutar", "-cJ"]),
    ];
    for (n, (tool, options)) in rows.iter().enumerate() {
        let what = format!("{tool} {options:?}");
        let packed = dir.path().join(format!("{n}.tar"));
        let mut args = options.to_vec();
        args.extend(["-f", packed.to_str().unwrap(), "-C", source, "."]);
        let Some(()) = oracle::make(tool, &args) else { continue };

        let theirs = dir.path().join(format!("{n}.theirs"));
        fs::create_dir(&theirs).unwrap();
        let extract = [
            "--numeric-owner",
            "--delay-directory-restore",
            "-p",
            "-xf",
            packed.to_str().unwrap(),
            "-C",
            theirs.to_str().unwrap(),
        ];
        let Some(()) = oracle::make("tar", &extract) else { continue };

        let ours = dir.path().join(format!("{n}.ours"));
        fs::create_dir(&ours).unwrap();
        package(File::open(&packed).unwrap(), &ours, &ALL).unwrap_or_else(|error| panic!("{what}: {error}"));

        let (ours, theirs) = (snapshot(&ours), snapshot(&theirs));
        assert!(theirs.len() > 40, "{what}");
        for (name, line) in &theirs {
            assert_eq!(ours.get(name), Some(line), "{what}: {name}");
        }
        assert_eq!(ours.len(), theirs.len(), "{what}");
    }
}

#[test]
fn capabilities_and_attributes_arrive() {
    use crate::archive::{archive, dir, file, pax, record};
    /// cap_net_raw+ep, version 2 (linux/capability.h); no newline is in it by luck.
    const CAPABILITY: &[u8] = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let root = tempfile::tempdir().unwrap();
    let user = record("SCHILY.xattr.user.note", b"one\ntwo");
    let mut expected = vec![user.clone()];
    let capability = record("SCHILY.xattr.security.capability", CAPABILITY);
    package(&*archive(&[pax(&user), file("a", "x"), pax(&user), dir("d")]), root.path(), &PLAIN).unwrap();
    if is_root() {
        package(&*archive(&[pax(&capability), file("ping", "x")]), root.path(), &ALL).unwrap();
        expected.push(capability);
    }
    let args =
        ["--xattrs", "--xattrs-include=*", "--format=posix", "-cf", "-", "-C", root.path().to_str().unwrap(), "."];
    let Some(tar) = oracle::run("tar", &args) else { return };
    for record in expected {
        let found = tar.stdout.windows(record.len()).any(|window| window == record);
        assert!(found, "{}", record.escape_ascii());
    }
}

#[test]
fn later_packages_go_over_earlier_ones_through_their_links() {
    use crate::archive::{archive, dir, file, symlink};
    let root = tempfile::tempdir().unwrap();
    let extract = |entries: &[_]| package(&*archive(entries), root.path(), &ALL).unwrap();
    extract(&[dir("usr"), dir("usr/lib"), symlink("lib", "usr/lib"), symlink("lib64", "/usr/lib")]);
    extract(&[dir("lib"), file("lib/a", "old"), dir("lib64"), file("lib64/b", "b")]);
    let summary = extract(&[file("usr/lib/a", "newer"), file("usr/lib/c/d/e", "")]);
    assert_eq!(summary, Summary { entries: 2, bytes: 5 });
    assert_eq!(fs::read_link(root.path().join("lib")).unwrap(), Path::new("usr/lib"));
    assert_eq!(fs::read_to_string(root.path().join("usr/lib/a")).unwrap(), "newer");
    assert_eq!(fs::read_to_string(root.path().join("usr/lib/b")).unwrap(), "b");
    assert!(root.path().join("usr/lib/c/d/e").is_file());
}
