//! Archives beside those of GNU cpio and of the kernel's gen_init_cpio.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use builder::listed;
use builder::newc::{Like, write_like};
use tree::host::Owners;
use tree::{Provenance, Tree};

use crate::{given, output, tool};

/// The source file.
const GEN_INIT_CPIO: &str = "LIVEROOT_TEST_GEN_INIT_CPIO";
const EPOCH: u64 = 1_700_000_000;

/// Trees by their entries, `;` between them: `d PATH`, `f PATH LEN`,
/// `l PATH TARGET`, `h PATH OTHER`, `p PATH`, `s PATH`, `m PATH MODE`.
const TREES: &[&str] = &[
    "",
    "d a",
    "f a 0",
    "f a 1",
    "f a 2",
    "f a 3",
    "f a 4",
    "f a 511;f b 512;f c 513",
    "f a 100000",
    "f ab 1;f abc 1;f abcd 1;f abcde 1",
    "d a;d a/b;d a/b/c;f a/b/c/d 9",
    "f a/b/c/d/e/f/g/h 1",
    "d a;d b;d c;d c/d;d c/e",
    "l a b",
    "l a bc;l b bcd;l c bcde;l d bcdef",
    "l a /etc/../usr/./lib",
    "f a 5;h b a",
    "f a 5;h b a;h c a",
    "f a 0;h b a",
    "f x/a 5;h b/a x/a;f z 1",
    "f a 5;f b 6;h c a;h d b",
    "f a 5;f b 6;h c b;h d a;h e a;f f 1",
    "p a",
    "s a",
    "p a;s b;l c a;f d 1;d e",
    "f a 1;m a 4755;d b;m b 1777;f c 1;m c 0",
    "f TRAILER 1;f a.b-c_d+e 1",
    "f gr\u{fc}n 1;f \u{1f427} 2",
    "f init 7;f bin/sh 3;l sbin bin",
    "f 0 1;f 00 2;f 0-0 3;f 0/0 4",
    "d a-b;f a-b/x 1;d a;f a/x 1;f a.x 1",
];

fn lay(tree: &str, below: &Path) {
    for entry in tree.split(';').filter(|entry| !entry.is_empty()) {
        let mut words = entry.split(' ');
        let (kind, name, last) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap_or_default());
        let path = below.join(name.strip_prefix("0/").map_or(name.to_owned(), |rest| format!("0d/{rest}")));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match kind {
            "d" => fs::create_dir_all(path).unwrap(),
            "f" => fs::write(path, vec![b'x'; last.parse().unwrap()]).unwrap(),
            "l" => symlink(last, path).unwrap(),
            "h" => fs::hard_link(below.join(last), path).unwrap(),
            "p" => assert!(Command::new("mkfifo").arg(path).status().unwrap().success()),
            "s" => drop(UnixListener::bind(path).unwrap()),
            "m" => fs::set_permissions(path, Permissions::from_mode(u32::from_str_radix(last, 8).unwrap())).unwrap(),
            other => panic!("{other}"),
        }
    }
}

fn loaded(dir: &Path) -> Tree {
    tree::host::load(dir, Owners::AsIs, &Provenance::new("test")).unwrap()
}

fn written(like: Like, tree: &Tree) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_like(like, tree, &mut bytes).unwrap();
    bytes
}

fn gnu_cpio(cpio: &Path, dir: &Path, tree: &Tree) -> Vec<u8> {
    let mut command = Command::new(cpio);
    command.args(["-o", "-0", "-H", "newc", "--reproducible", "--quiet"]).current_dir(dir);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let names = tree.walk().filter(|item| !item.path.is_root()).flat_map(|item| [item.path.as_bytes(), b"\0"].concat());
    child.stdin.take().unwrap().write_all(&names.collect::<Vec<u8>>()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    output.stdout
}

#[test]
fn archives_equal_those_of_gnu_cpio() {
    let Some(cpio) = tool("cpio") else { return };
    for tree in TREES {
        let scratch = tempfile::tempdir().unwrap();
        lay(tree, scratch.path());
        let loaded = loaded(scratch.path());
        assert!(written(Like::GnuCpio, &loaded) == gnu_cpio(&cpio, scratch.path(), &loaded), "`{tree}` differs");
    }
}

/// gen_init_cpio of the kernel's source, compiled.
fn gen_init_cpio(scratch: &Path) -> Option<PathBuf> {
    let source = given(GEN_INIT_CPIO, "gen_init_cpio.c of the kernel")?;
    let program = scratch.join("gen_init_cpio");
    output(Command::new("cc").arg("-O1").arg("-w").arg("-o").arg(&program).arg(source));
    Some(program)
}

fn run(program: &Path, list: &Path) -> Vec<u8> {
    let output = Command::new(program).args(["-t", &EPOCH.to_string()]).arg(list).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// The examples of gen_init_cpio's own usage text and of
/// Documentation/filesystems/ramfs-rootfs-initramfs.rst, and what they leave out.
const LISTS: &[&str] = &[
    "# A simple initramfs\ndir /dev 0755 0 0\nnod /dev/console 0600 0 0 c 5 1\ndir /root 0700 0 0\n\
     dir /sbin 0755 0 0\nfile /sbin/kinit ${FILES}/kinit 0755 0 0\n",
    "dir /dev 755 0 0\nnod /dev/console 644 0 0 c 5 1\nnod /dev/loop0 644 0 0 b 7 0\ndir /bin 755 1000 1000\n\
     slink /bin/sh busybox 777 0 0\nfile /bin/busybox ${FILES}/busybox 755 0 0\ndir /proc 755 0 0\n\
     dir /sys 755 0 0\ndir /mnt 755 0 0\nfile /init ${FILES}/init.sh 755 0 0\n",
    "dir /a 755 0 0\nfile /a/one ${FILES}/busybox 4755 1 2 /z/two /a/three\ndir /z 700 0 0\npipe /p 600 0 5\n\
     sock /s 660 5 0\nfile /empty ${FILES}/empty 644 0 0\nslink /long 1234567890123 777 0 0\n",
];

#[test]
fn archives_from_our_lists_equal_those_of_gen_init_cpio() {
    let scratch = tempfile::tempdir().unwrap();
    let Some(program) = gen_init_cpio(scratch.path()) else { return };
    for (name, text) in [("kinit", "k"), ("busybox", "bb"), ("init.sh", "#!/bin/sh\n"), ("empty", "")] {
        let path = scratch.path().join(name);
        fs::write(&path, text).unwrap();
        File::open(&path).unwrap().set_modified(UNIX_EPOCH + Duration::from_secs(EPOCH)).unwrap();
    }
    for list in LISTS {
        let list = list.replace("${FILES}", scratch.path().to_str().unwrap());
        let given = scratch.path().join("given.list");
        fs::write(&given, list).unwrap();
        let archive = scratch.path().join("given.img");
        listed::build(&given, "none".parse().unwrap(), EPOCH as i64, &archive).unwrap();
        let ours = scratch.path().join("ours.list");
        listed::write_list(&archive, &ours).unwrap();
        let mut tree = tree::spec::load(&given, &Provenance::new("test")).unwrap();
        tree.for_each_meta(|meta| meta.mtime = EPOCH as i64);
        assert!(written(Like::GenInitCpio, &tree) == run(&program, &ours), "{}", fs::read_to_string(&ours).unwrap());
    }
}
