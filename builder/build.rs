//! Builds the `/init` that this `liveroot` carries, and lists the overlays and
//! profiles that are built in.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    let out = PathBuf::from(var("OUT_DIR"));
    let workspace = PathBuf::from(var("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned();
    for input in ["init", "Cargo.toml", "Cargo.lock", "overlays", "profiles"] {
        println!("cargo::rerun-if-changed={}", workspace.join(input).display());
    }
    build_inits(&workspace, &out);
    copy_toybox(&out);

    let mut list = String::from("pub(super) static FILES: &[BuiltinFile] = &[\n");
    for dir in ["overlays", "profiles"] {
        list_files(&workspace, &workspace.join(dir), &mut list);
    }
    list.push_str("];\n");
    write(&out.join("builtin_files.rs"), list.as_bytes());
}

/// One for the machine this `liveroot` is for, and for what LIVEROOT_INIT_FOR
/// names; an empty file for every other.
fn build_inits(workspace: &Path, out: &Path) {
    println!("cargo::rerun-if-env-changed=LIVEROOT_INIT_FOR");
    let more = env::var("LIVEROOT_INIT_FOR").unwrap_or_default();
    let own = var("CARGO_CFG_TARGET_ARCH");
    for arch in ["x86_64", "aarch64"] {
        let wanted = arch == own || more.split([',', ' ']).any(|named| named == arch);
        let init = if wanted { build_init(workspace, out, arch, arch == own) } else { Vec::new() };
        write(&out.join(format!("init-{arch}")), &init);
    }
}

fn build_init(workspace: &Path, out: &Path, arch: &str, is_own: bool) -> Vec<u8> {
    // A folder of its own: cargo holds the lock of the outer one while this runs.
    let target_dir = out.ancestors().nth(4).expect("OUT_DIR is inside the target folder").join("init-build");
    let musl = format!("{arch}-unknown-linux-musl");
    let is_musl = has_target(&musl);
    let target = if is_musl { musl } else { format!("{arch}-unknown-linux-gnu") };
    assert!(is_musl || is_own, "/init for {arch} is built with its musl target: `rustup target add {target}`");
    if !is_musl {
        println!(
            "cargo::warning=/init is linked statically against glibc, twice as large: `rustup target add {arch}-unknown-linux-musl` makes it small"
        );
    }
    let mut cargo = Command::new(var("CARGO"));
    cargo
        .current_dir(workspace)
        .args(["build", "--quiet", "--package", "liveroot-init", "--bin", "liveroot-init", "--profile", "init"])
        .args(["--target", &target, "--target-dir"])
        .arg(&target_dir)
        // What the outer build is wrapped in (clippy) or flagged with is not for PID 1.
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("RUSTFLAGS")
        .env("CARGO_ENCODED_RUSTFLAGS", link_flags(workspace, is_musl, is_own));
    let variable = target.replace('-', "_");
    // The decoders' C needs no libc headers beyond freestanding ones, so a
    // compiler for glibc serves, without glibc's fortified functions.
    let unfortified = "-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=0";
    if is_musl && !is_own {
        // gcc calls its own library for atomics, and Rust's linker, which needs
        // no toolchain of that machine, has none of it.
        let flags = if arch == "aarch64" { " -mno-outline-atomics" } else { "" };
        cargo.env(format!("CC_{variable}"), format!("{arch}-linux-gnu-gcc"));
        cargo.env(format!("CFLAGS_{variable}"), format!("{unfortified}{flags}"));
        cargo.env(format!("CARGO_TARGET_{}_LINKER", variable.to_uppercase()), "rust-lld");
    } else if is_musl && find_program("musl-gcc").is_none() {
        cargo.env(format!("CC_{variable}"), "gcc");
        cargo.env(format!("CFLAGS_{variable}"), unfortified);
    }
    let status = cargo.status().expect("cargo starts: it started this");
    assert!(status.success(), "/init did not build for {target}; the compiler's messages are above");
    let built = target_dir.join(target).join("init/liveroot-init");
    fs::read(&built).unwrap_or_else(|e| panic!("{}: {e}", built.display()))
}

/// Leaves out unwinding tables, and keeps the relocations of a static PIE in a
/// thirtieth of their size, which musl's start-up code reads. glibc's wants
/// both as they are.
fn link_flags(workspace: &Path, is_musl: bool, is_own: bool) -> String {
    if !is_musl {
        return "-Ctarget-feature=+crt-static".to_owned();
    }
    let script = workspace.join("init/unwinding.ld");
    let script = script.to_str().expect("the workspace's path is UTF-8");
    // Another machine's is linked by rust-lld itself, not through a compiler.
    let no_index = if is_own { "-Wl,--no-eh-frame-hdr" } else { "--no-eh-frame-hdr" };
    ["-T", script, no_index, "-z", "pack-relative-relocs"].map(|arg| format!("-Clink-arg={arg}")).join("\u{1f}")
}

fn has_target(target: &str) -> bool {
    let asked = Command::new(var("RUSTC")).args(["--print", "target-libdir", "--target", target]).output();
    asked.is_ok_and(|answer| Path::new(String::from_utf8_lossy(&answer.stdout).trim()).is_dir())
}

fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// `cargo xtask toybox` builds one, with the list of its commands beside it, and
/// names it here; without it this `liveroot` has none built in, and says so
/// when a profile asks for it.
fn copy_toybox(out: &Path) {
    println!("cargo::rerun-if-env-changed=LIVEROOT_TOYBOX");
    let toybox = env::var_os("LIVEROOT_TOYBOX").map(PathBuf::from);
    for ending in ["", ".applets"] {
        let bytes = toybox.as_ref().map_or_else(Vec::new, |toybox| {
            let mut path = toybox.clone().into_os_string();
            path.push(ending);
            let path = PathBuf::from(path);
            println!("cargo::rerun-if-changed={}", path.display());
            fs::read(&path).unwrap_or_else(|e| panic!("LIVEROOT_TOYBOX: {}: {e}", path.display()))
        });
        write(&out.join(format!("toybox{ending}")), &bytes);
    }
}

fn list_files(workspace: &Path, dir: &Path, list: &mut String) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.expect("a folder of the source is readable").path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            list_files(workspace, &path, list);
            continue;
        }
        let relative = path.strip_prefix(workspace).expect("it was found there").to_str().expect("our names are UTF-8");
        let executable = path.metadata().is_ok_and(|meta| meta.permissions().mode() & 0o100 != 0);
        let _ = writeln!(
            list,
            "    BuiltinFile {{ path: {relative:?}, executable: {executable}, bytes: include_bytes!({:?}) }},",
            path.to_str().expect("include_bytes! needs UTF-8")
        );
    }
}

fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}

fn var(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}
