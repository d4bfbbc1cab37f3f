use super::*;
use crate::elf::fake::{self, Dynamic};
use tree::Tree;

const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

fn path(written: &str) -> TreePath {
    TreePath::new(written).unwrap()
}

fn root(files: &[(&str, Vec<u8>)], links: &[(&str, &str)]) -> Tree {
    let mut root = Tree::new();
    for (at, bytes) in files {
        root.insert_file(path(at), 0o755, bytes.clone().into(), Provenance::new("test")).unwrap();
    }
    for (at, target) in links {
        root.insert_symlink(path(at), target, Provenance::new("test")).unwrap();
    }
    root
}

fn dynamic(needed: &[&'static str], rpath: &'static str, runpath: &'static str) -> Vec<u8> {
    fake::dynamic(&Dynamic { interpreter: LOADER, needed, rpath, runpath, ..Dynamic::default() })
}

fn library(needed: &[&'static str]) -> Vec<u8> {
    fake::dynamic(&Dynamic { needed, ..Dynamic::default() })
}

fn paths(root: &Tree, program: &str) -> Vec<String> {
    let needed = closure(root, &[path(program)], &Provenance::new("profile"));
    needed.unwrap().iter().map(|needed| needed.path.to_string()).collect()
}

#[test]
fn libraries_come_breadth_first_with_the_chain_that_needs_them() {
    let root = root(
        &[
            ("usr/lib64/ld-linux-x86-64.so.2", library(&[])),
            ("usr/bin/a", dynamic(&["libx.so.1", "liby.so"], "", "")),
            ("usr/lib/libx.so.1.2", library(&["libz.so"])),
            ("usr/lib/liby.so", library(&["libz.so", "ld-linux-x86-64.so.2"])),
            ("usr/lib/libz.so", library(&["libx.so.1"])),
        ],
        &[("lib64", "usr/lib64"), ("usr/lib/libx.so.1", "libx.so.1.2")],
    );
    let needed = closure(&root, &[path("usr/bin/a")], &Provenance::new("profile")).unwrap();
    let paths: Vec<_> = needed.iter().map(|needed| needed.path.to_string()).collect();
    let wanted = [
        "/usr/bin/a",
        "/lib64/ld-linux-x86-64.so.2",
        "/usr/lib64/ld-linux-x86-64.so.2",
        "/usr/lib/libx.so.1",
        "/usr/lib/libx.so.1.2",
        "/usr/lib/liby.so",
        "/usr/lib/libz.so",
    ];
    assert_eq!(paths, wanted);
    assert!(matches!(&needed[1].leaf.kind, Kind::Symlink(to) if to == b"/usr/lib64/ld-linux-x86-64.so.2"));
    let chain = "library libz.so <- library libx.so.1 <- program /usr/bin/a <- profile";
    assert_eq!(needed[6].from.to_string(), chain);
}

#[test]
fn runpath_serves_its_own_object_alone_and_rpath_what_it_loads_too() {
    let files = |program: Vec<u8>| {
        [
            ("lib64/ld-linux-x86-64.so.2", library(&[])),
            ("opt/bin/a", program),
            ("opt/lib/liba.so", library(&["libb.so"])),
            ("opt/lib/libb.so", library(&[])),
        ]
    };
    let with_rpath = root(&files(dynamic(&["liba.so"], "$ORIGIN/../lib:/none", "")), &[]);
    assert_eq!(paths(&with_rpath, "opt/bin/a").last().unwrap(), "/opt/lib/libb.so");
    let with_runpath = root(&files(dynamic(&["liba.so"], "/opt/lib", "${ORIGIN}/../lib")), &[]);
    let error = closure(&with_runpath, &[path("opt/bin/a")], &Provenance::default()).unwrap_err();
    assert!(matches!(&error, ElfError::Missing { name, .. } if name == "libb.so"), "{error}");
}

#[test]
fn a_missing_library_names_the_chain() {
    let root = root(
        &[
            ("lib64/ld-linux-x86-64.so.2", library(&[])),
            ("bin/a", dynamic(&["libx.so"], "", "")),
            ("lib/libx.so", library(&["libgone.so"])),
        ],
        &[],
    );
    let error = closure(&root, &[path("bin/a")], &Provenance::new("profile")).unwrap_err().to_string();
    assert!(error.contains("libgone.so <- library libx.so <- program /bin/a <- profile"), "{error}");
}

#[test]
fn a_library_of_another_machine_is_passed_over() {
    let other = fake::dynamic(&Dynamic { machine: 183, ..Dynamic::default() });
    let root = root(
        &[
            ("lib64/ld-linux-x86-64.so.2", library(&[])),
            ("bin/a", dynamic(&["libx.so"], "", "/other:/right")),
            ("other/libx.so", other),
            ("right/libx.so", library(&[])),
        ],
        &[],
    );
    assert_eq!(paths(&root, "bin/a").last().unwrap(), "/right/libx.so");
}

#[test]
fn a_library_that_only_ld_so_conf_knows_is_linked_beside_libc() {
    let root = root(
        &[
            ("lib64/ld-linux-x86-64.so.2", library(&[])),
            ("bin/a", dynamic(&["libx.so", "libc.so.6"], "", "")),
            ("opt/lib/libx.so", library(&[])),
            ("usr/lib/libc.so.6", library(&[])),
            ("etc/ld.so.conf", b"/opt/lib\n".to_vec()),
        ],
        &[],
    );
    let paths = paths(&root, "bin/a");
    assert!(paths.contains(&"/opt/lib/libx.so".into()) && paths.contains(&"/usr/lib/libx.so".into()), "{paths:?}");
}

#[test]
fn libraries_that_are_opened_while_running_follow() {
    let program = |priority: &str, names: &str| {
        let dlopen = format!(r#"[{{"soname":[{names}],"priority":"{priority}"}}]"#);
        fake::dynamic(&Dynamic { dlopen: &dlopen, ..Dynamic::default() })
    };
    for (priority, names, wanted) in [
        ("required", r#""libnew.so","libold.so""#, Ok(&["/bin/a", "/lib/libold.so"][..])),
        ("recommended", r#""libnew.so""#, Ok(&["/bin/a"])),
        ("suggested", r#""libold.so""#, Ok(&["/bin/a"])),
        ("required", r#""libnew.so""#, Err("libnew.so is not found; needed as opened library libnew.so <- program")),
    ] {
        let root = root(&[("bin/a", program(priority, names)), ("lib/libold.so", library(&[]))], &[]);
        match wanted {
            Ok(wanted) => assert_eq!(paths(&root, "bin/a"), wanted, "{priority} {names}"),
            Err(words) => {
                let error = closure(&root, &[path("bin/a")], &Provenance::default()).unwrap_err().to_string();
                assert!(error.starts_with(words), "{error}");
            }
        }
    }
}

#[test]
fn scripts_bring_their_interpreters() {
    let root = root(
        &[
            ("bin/script", b"#!/usr/bin/env tool\n".to_vec()),
            ("usr/bin/env", fake::dynamic(&Dynamic::default())),
            ("usr/sbin/tool", b"#!/bin/script\n".to_vec()),
        ],
        &[],
    );
    assert_eq!(paths(&root, "bin/script"), ["/bin/script", "/usr/bin/env", "/usr/sbin/tool"]);
}

#[test]
fn symlinks_that_go_round_are_an_error() {
    let root = root(&[], &[("a", "b"), ("b", "a"), ("d", "d")]);
    for program in ["a", "d/x"] {
        let error = closure(&root, &[path(program)], &Provenance::default()).unwrap_err();
        assert!(matches!(error, ElfError::Links { .. }), "{error}");
    }
}

#[test]
fn malformed_files_are_errors_with_their_path() {
    let whole = dynamic(&["libx.so"], "/a", "/b");
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 0xff;
        let _ = Object::load(&flipped.into());
        let _ = Object::load(&whole[..at].to_vec().into());
    }
    let root = root(&[("bin/cut", whole[..80].to_vec())], &[]);
    let error = closure(&root, &[path("bin/cut")], &Provenance::default()).unwrap_err();
    assert!(matches!(&error, ElfError::Malformed { path, .. } if path.to_string() == "/bin/cut"), "{error}");
}
