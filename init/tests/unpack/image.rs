//! Packages that are images: what is mounted is copied, under the rules of
//! archives. A plain directory stands for what the kernel mounts.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use init::unpack::{Limits, Summary, package, tree};
use nix::sys::stat::{Mode, SFlag, mknod};

use crate::peers::{ALL, make_source};
use crate::snapshot::snapshot;
use crate::{PLAIN, oracle};

#[test]
fn the_copy_equals_what_was_mounted() {
    let dir = tempfile::tempdir().unwrap();
    let (from, root) = (dir.path().join("from"), dir.path().join("root"));
    fs::create_dir(&from).unwrap();
    fs::create_dir(&root).unwrap();
    make_source(&from);
    let Summary { entries, .. } = tree(&from, &root, &ALL).unwrap();
    let copied = snapshot(&root);
    assert!(entries > 40 && entries as usize == copied.len(), "{entries}");
    assert_eq!(copied, snapshot(&from));
}

#[test]
fn attributes_come_along() {
    use crate::archive::{archive, file, pax, record};
    let dir = tempfile::tempdir().unwrap();
    let (from, root) = (dir.path().join("from"), dir.path().join("root"));
    for new in [&from, &root] {
        fs::create_dir(new).unwrap();
    }
    let note = record("SCHILY.xattr.user.note", b"one\ntwo");
    package(&*archive(&[pax(&note), file("a", "x")]), &from, &PLAIN).unwrap();
    tree(&from, &root, &PLAIN).unwrap();
    let args = ["--xattrs", "--xattrs-include=*", "--format=posix", "-cf", "-", "-C", root.to_str().unwrap(), "."];
    let Some(tar) = oracle::run("tar", &args) else { return };
    assert!(tar.stdout.windows(note.len()).any(|window| window == note));
}

type Make = fn(&Path);

#[test]
fn an_image_gives_no_rights_and_leaves_the_root_in_no_way() {
    let rows: [(&str, Make, &str); 7] = [
        ("set-uid", |from| chmod(&write(from, "su"), 0o4755), "`su` is set-uid"),
        ("a socket", |from| drop(UnixListener::bind(from.join("s")).unwrap()), "`s` is a socket"),
        ("larger than it may be", |from| fs::write(from.join("z"), vec![0; 2 << 20]).unwrap(), "larger than"),
        ("our temporary name", |from| fs::create_dir(from.join(".liveroot-unpack")).unwrap(), "unfinished files"),
        ("a file over a directory", |from| drop(write(from, "usr")), "`usr` would replace a directory"),
        (
            "a device",
            |from| {
                // Who may make none has none to copy.
                if mknod(&from.join("null"), SFlag::S_IFCHR, Mode::S_IRUSR, nix::sys::stat::makedev(1, 3)).is_err() {
                    chmod(&write(from, "null"), 0o2755);
                }
            },
            "`null` is",
        ),
        (
            "through a link to outside",
            |from| {
                DirBuilder::new().mode(0o777).create(from.join("exit")).unwrap();
                write(&from.join("exit"), "victim");
            },
            "",
        ),
    ];
    for (what, make, words) in rows {
        let dir = tempfile::tempdir().unwrap();
        let [from, root, outside] = ["from", "root", "outside"].map(|name| dir.path().join(name));
        for new in [&from, &root, &outside, &root.join("usr")] {
            fs::create_dir(new).unwrap();
        }
        fs::write(outside.join("victim"), "unharmed").unwrap();
        symlink("../outside", root.join("exit")).unwrap();
        make(&from);
        let before = snapshot(&outside);
        let result = tree(&from, &root, &PLAIN);
        assert_eq!(snapshot(&outside), before, "{what}");
        match result {
            Ok(_) => assert!(words.is_empty(), "{what} was taken"),
            Err(error) => assert!(!words.is_empty() && error.to_string().contains(words), "{what}: {error}"),
        }
        assert!(!snapshot(&root).keys().any(|name| ["su", "s", "z", "null"].contains(&name.as_str())), "{what}");
    }
}

#[test]
fn a_privileged_image_may_give_rights() {
    let dir = tempfile::tempdir().unwrap();
    let (from, root) = (dir.path().join("from"), dir.path().join("root"));
    for new in [&from, &root] {
        fs::create_dir(new).unwrap();
    }
    chmod(&write(&from, "su"), 0o4755);
    tree(&from, &root, &Limits { privileged: true, ..PLAIN }).unwrap();
    assert_eq!(fs::metadata(root.join("su")).unwrap().permissions().mode() & 0o7777, 0o4755);
}

fn write(dir: &Path, name: &str) -> std::path::PathBuf {
    let path = dir.join(name);
    fs::write(&path, "x").unwrap();
    path
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}
