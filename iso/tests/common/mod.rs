//! Trees to write and outside tools to judge the result.

#![allow(dead_code, unreachable_pub)] // each test binary uses its own part

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

use iso::{Image, VolumeId};
use tree::{Content, Kind, Leaf, Meta, Provenance, Tree, TreePath};

pub const EPOCH: i64 = 1_700_000_000;

pub fn path(written: &str) -> TreePath {
    TreePath::new(written).unwrap()
}

pub fn from() -> Provenance {
    Provenance::new("test")
}

/// Bytes that compress badly and differ from file to file.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..len).map(step).collect()
}

pub fn add(tree: &mut Tree, at: &str, meta: Meta, kind: Kind) {
    tree.insert_leaf(path(at), Leaf { meta, kind }, from()).unwrap();
}

pub fn file(tree: &mut Tree, at: &str, mode: u32, bytes: Vec<u8>) {
    let meta = Meta { mtime: EPOCH - 1, ..Meta::new(mode) };
    add(tree, at, meta, Kind::File(Content::from(bytes)));
}

/// What the field's writers and readers have been seen to break on.
pub fn awkward_tree() -> Tree {
    let mut tree = Tree::new();
    for n in 0..500 {
        file(&mut tree, &format!("many/some-file-name-{n:03}.conf"), 0o644, noise(n, n as usize));
    }
    file(&mut tree, "d1/d2/d3/d4/d5/d6/d7/d8/d9/d10/d11/deep", 0o644, b"deep".to_vec());
    file(&mut tree, &format!("long/{}", "n".repeat(200)), 0o644, b"200".to_vec());
    for last in ["a", "b"] {
        file(&mut tree, &format!("long/{}{last}", "m".repeat(254)), 0o644, b"255".to_vec());
    }
    file(&mut tree, "names/grün-日本語", 0o644, b"unicode".to_vec());
    file(&mut tree, "names/semi;colon;1", 0o644, b"semicolon".to_vec());
    file(&mut tree, "names/trailing.", 0o644, b"dot".to_vec());
    file(&mut tree, "names/ space ", 0o644, b"space".to_vec());
    file(&mut tree, "names/.hidden", 0o600, b"hidden".to_vec());
    file(&mut tree, "names/UPPER", 0o644, b"1".to_vec());
    file(&mut tree, "names/upper", 0o644, b"2".to_vec());
    file(&mut tree, "empty", 0o644, Vec::new());
    file(&mut tree, "blob", 0o644, noise(9, 5_000_000));
    file(&mut tree, "bin/su", 0o4755, b"setuid".to_vec());
    tree.insert_link(path("bin/sudo"), &path("bin/su"), from()).unwrap();
    let owned = Meta { uid: 1000, gid: 1001, mtime: EPOCH, ..Meta::new(0o640) };
    add(&mut tree, "home/owned", owned, Kind::File(Content::from(b"mine".to_vec())));
    tree.insert_dir(path("tmp"), Meta::new(0o1777), from()).unwrap();
    add(&mut tree, "dev/null", Meta::new(0o666), Kind::CharDevice { major: 1, minor: 3 });
    add(&mut tree, "dev/nvme0n1", Meta::new(0o660), Kind::BlockDevice { major: 259, minor: 1 });
    add(&mut tree, "dev/fifo", Meta::new(0o600), Kind::Fifo);
    let components = ["component"; 60].join("/");
    for (name, target) in [
        ("short", "../etc/passwd"),
        ("absolute", "/usr/lib/x"),
        ("root", "/"),
        ("many-components", &*components),
        ("long-component", &"c".repeat(200)),
        ("longest-component", &"C".repeat(255)),
        ("dots", &("../".repeat(150) + "x")),
    ] {
        tree.insert_symlink(path(&format!("links/{name}")), target, from()).unwrap();
    }
    tree
}

pub fn image(tree: &Tree) -> Image<'_> {
    Image::new(tree, VolumeId::new("TEST_IMAGE").unwrap(), EPOCH)
}

/// The image as a file that lives as long as the guard.
pub fn written(image: &Image<'_>) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".iso").tempfile().unwrap();
    let layout = iso::layout(image).unwrap();
    layout.write(file.as_file_mut(), &mut |_| {}).unwrap();
    file.flush().unwrap();
    assert_eq!(file.as_file().metadata().unwrap().len(), layout.len());
    file
}

pub fn bytes(image: &Image<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    iso::layout(image).unwrap().write(&mut out, &mut |_| {}).unwrap();
    out
}

/// The longest section of a file.
pub const SECTION: u64 = 0xFFFF_F800;

/// A tree with the file `big`, which takes no room on the host as long as the
/// guard lives.
pub fn tree_with_a_file_of(len: u64) -> (Tree, tempfile::NamedTempFile) {
    let sparse = tempfile::NamedTempFile::new().unwrap();
    sparse.as_file().set_len(len).unwrap();
    let mut tree = Tree::new();
    tree.insert_file(path("big"), 0o644, Content::host(sparse.path(), len), from()).unwrap();
    (tree, sparse)
}

/// An image of full length with its first 64 KiB written: all that tells
/// where things stand.
pub fn metadata_of(image: &Image<'_>) -> tempfile::NamedTempFile {
    struct Head(Vec<u8>);
    impl Write for Head {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let room = (64 << 10) - self.0.len();
            self.0.extend_from_slice(&bytes[..bytes.len().min(room)]);
            Ok(bytes.len().min(room))
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let layout = iso::layout(image).unwrap();
    let mut head = Head(Vec::new());
    assert!(layout.write(&mut head, &mut |_| {}).is_err(), "the head is full before the image ends");
    let mut file = tempfile::Builder::new().suffix(".iso").tempfile().unwrap();
    file.write_all(&head.0).unwrap();
    file.as_file().set_len(layout.len()).unwrap();
    file
}

/// Runs an outside tool, bounded in time. A missing one is an error where
/// `CI` is set and a printed skip elsewhere.
pub fn oracle(program: &str, args: &[&str]) -> Option<Output> {
    let output = Command::new("timeout")
        .args(["120", program])
        .args(args)
        .env("LC_ALL", "C.UTF-8")
        .env("TZ", "UTC")
        .output()
        .expect("timeout of coreutils runs");
    if output.status.code() == Some(127) {
        assert!(std::env::var_os("CI").is_none(), "the oracle {program} is missing");
        say_skipped(&format!("{program} is not installed"));
        return None;
    }
    assert_ne!(output.status.code(), Some(124), "{program} {args:?} did not end");
    Some(output)
}

/// [`oracle`] for a tool that must be content: all it said, on both streams.
pub fn content(program: &str, args: &[&str]) -> Option<String> {
    let output = oracle(program, args)?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{program} {args:?}: {}\n{said}", output.status);
    Some(said)
}

pub fn name(file: &Path) -> &str {
    file.to_str().unwrap()
}

/// A file that a distribution's boot loader package has; the same rule as for
/// [`oracle`].
pub fn asset(file: &str) -> Option<Vec<u8>> {
    match std::fs::read(file) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "{file}: {error}");
            say_skipped(&format!("{file}: {error}"));
            None
        }
    }
}

/// In a line that `cargo xtask test` counts; past libtest's capture, which
/// would hide it in a test that passes.
fn say_skipped(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let _ = writeln!(std::io::stderr(), "\nSKIPPED {test}: {why}");
}
