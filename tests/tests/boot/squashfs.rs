//! Our squashfs images by the kernels of three Debian releases: every entry,
//! every byte and every xattr of a tree of odd things, in each codec.

use std::fmt::Write as _;
use std::fs;
use std::fs::File;
use std::io::{BufWriter, Cursor, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ::builder::elf::{self, HostSysroot, Needed};
use ::builder::kernel::{Asked, Catalog, Kernel as Package, KmodForm, Packing, select, stage};
use ::builder::squashfs::{self, Options};
use ::builder::{deb, digest, newc};
use anyhow::{Result, anyhow, ensure};
use harness::builder::root;
use harness::oracle::{Tool, or_skip};
use harness::vm::{self, Attach, Kernel, Machine};
use harness::vmlinux;
use tree::{Content, Kind, Leaf, Meta, Node, Provenance, Tree, TreePath};

use crate::BOOT;

/// What the writer's own oracles read, in one order.
#[allow(dead_code)]
#[path = "../../../builder/tests/oracles/squashfs/odd.rs"]
mod odd;

/// Each codec, and block sizes at both ends.
const IMAGES: [(&str, &str); 9] = [
    ("none", "128K"),
    ("gzip", "128K"),
    ("xz", "128K"),
    ("xz,x86,dict=64K", "64K"),
    ("lz4", "128K"),
    ("lz4:hc", "128K"),
    ("zstd:3", "128K"),
    ("zstd:19", "4K"),
    ("zstd:15", "1M"),
];

#[test]
fn linux_5_10_sees_what_was_packed() -> Result<()> {
    mounted("LIVEROOT_TEST_KERNEL_DEB_5_10")
}

#[test]
fn linux_6_1_sees_what_was_packed() -> Result<()> {
    mounted("LIVEROOT_TEST_KERNEL_DEB")
}

#[test]
fn linux_6_12_sees_what_was_packed() -> Result<()> {
    mounted("LIVEROOT_TEST_KERNEL_DEB_6_12")
}

fn mounted(variable: &str) -> Result<()> {
    let (toybox, package) = (given("LIVEROOT_TOYBOX", "toybox")?, given(variable, "a kernel's package")?);
    let (Some(toybox), Some(package), Some(_)) = (toybox, package, Tool::find("getfattr")?) else { return Ok(()) };
    let from = Provenance::new("the test");
    let package = Package::from_tree(&deb::load(&package, &from)?, &from)?;
    let mut initramfs = programs(&toybox, &from)?;
    kmods(&package, &mut initramfs, &from)?;

    let scratch = tempfile::tempdir()?;
    let packed = PACKED.get_or_init(|| images().map_err(|error| format!("{error:#}")));
    for (path, content) in packed.as_ref().map_err(|error| anyhow!("{error}"))? {
        initramfs.insert_file(TreePath::new(path)?, 0o644, content.clone(), from.clone())?;
    }
    let archive = scratch.path().join("initramfs");
    let mut out = BufWriter::new(File::create(&archive)?);
    newc::write(&initramfs, &mut out)?;
    out.flush()?;
    let vmlinuz = scratch.path().join("vmlinuz");
    fs::write(&vmlinuz, package.image.read_all(64 << 20)?)?;
    let accel = vm::accel(&vmlinuz);
    let vmlinuz = vmlinux::extract(&vmlinuz, scratch.path())?;
    let cmdline = "console=ttyS0 panic=-1 no_timer_check".into();
    let kernel = Kernel { vmlinuz, initramfs: Some(archive.clone()), cmdline };
    let mut guest = Machine::new(&archive, Attach::Virtio).with_kernel(kernel).start(accel)?;
    guest.passed(BOOT)?;
    let console = guest.console.text();
    let told: Vec<&str> = console.lines().filter_map(|line| line.trim_end().strip_prefix("squashfs ")).collect();
    let odd_images = (0..IMAGES.len()).map(|n| format!("odd-{n}"));
    let wanted: Vec<String> =
        ["large-0".into()].into_iter().chain(odd_images).map(|image| format!("{image}: as it was packed")).collect();
    ensure!(told == wanted, "Linux {}: {told:#?}\n{console}", package.release);
    Ok(())
}

/// What the guest finds, by path.
type Files = Vec<(String, Content)>;

/// Once, for all kernels.
static PACKED: OnceLock<Result<Files, String>> = OnceLock::new();

/// The images, and what has to be seen in them.
fn images() -> Result<Files> {
    let odd = odd::tree();
    let mut files = vec![("wanted/odd".into(), seen(&odd)?.into())];
    for (n, (codec, block)) in IMAGES.iter().enumerate() {
        let options = Options { block_size: block.parse()?, tail_packing: n % 2 == 1, ..Options::new(codec.parse()?) };
        files.push((format!("images/odd-{n}"), pack(&odd, &options)?.into()));
    }
    let scratch = tempfile::tempdir()?;
    let (large, questions, answers) = large(&scratch.path().join("big"))?;
    files.push(("images/large-0".into(), pack(&large, &Options::new("zstd:1".parse()?))?.into()));
    files.push(("questions/large-0".into(), questions.into()));
    files.push(("wanted/large".into(), answers.into()));
    Ok(files)
}

fn given(variable: &str, what: &str) -> Result<Option<PathBuf>> {
    let path = std::env::var_os(variable).map(PathBuf::from).filter(|path| path.exists());
    or_skip(path, &format!("{what} ({variable})"), "`cargo xtask test` fetches it")
}

/// toybox, getfattr with its libraries, and the /init that uses them.
fn programs(toybox: &Path, from: &Provenance) -> Result<Tree> {
    let mut tree = Tree::new();
    let path = |name: &str| TreePath::new(name);
    // toybox's own sha256sum takes sixteen times as long, its ls looks at each name.
    let host = [path("usr/bin/getfattr")?, path("usr/bin/sha256sum")?, path("usr/bin/ls")?];
    for Needed { path, leaf, from } in elf::closure(&HostSysroot::new("/"), &host, from)? {
        tree.insert_leaf(path, leaf, from)?;
    }
    let init = fs::read(root().join("tests/roots/squashfs/init"))?;
    tree.insert_file(path("init")?, 0o755, init.into(), from.clone())?;
    tree.insert_file(path("bin/toybox")?, 0o755, fs::read(toybox)?.into(), from.clone())?;
    let names = [
        "sh", "echo", "dmesg", "insmod", "mount", "umount", "ls", "find", "stat", "sort", "cmp", "diff", "head", "tail",
    ];
    for name in names.iter().chain(&["sed", "cat", "printf", "dd", "wc", "xxd"]) {
        tree.insert_symlink(path(&format!("bin/{name}"))?, "toybox", from.clone())?;
    }
    for dir in ["dev", "mnt", "proc", "tmp"] {
        tree.insert_dir(path(dir)?, Meta::new(0o755), from.clone())?;
    }
    for (name, minor) in [("dev/null", 3), ("dev/port", 4)] {
        let kind = Kind::CharDevice { major: 1, minor };
        tree.insert_leaf(path(name)?, Leaf { meta: Meta::new(0o600), kind }, from.clone())?;
    }
    let console = Leaf { meta: Meta::new(0o600), kind: Kind::CharDevice { major: 5, minor: 1 } };
    tree.insert_leaf(path("dev/console")?, console, from.clone())?;
    Ok(tree)
}

/// Those that a mounted image needs, and a list of them in the order to load.
fn kmods(package: &Package, initramfs: &mut Tree, from: &Provenance) -> Result<()> {
    let catalog = Catalog::scan(package)?;
    let selection = select(&catalog, &Asked::all(&["loop", "squashfs"], from))?;
    let staged = stage(
        package,
        &catalog,
        &selection,
        Packing { form: KmodForm::Plain, strip: false, archive: "none".parse()? },
    )?;
    let lines: Vec<Vec<&str>> =
        staged.index.lines().filter_map(|line| Some(line.strip_prefix("kmod ")?.split(' ').collect())).collect();
    let mut order: Vec<usize> = Vec::new();
    for (n, words) in lines.iter().enumerate() {
        let before = words[2].split(',').filter_map(|number| number.parse().ok());
        for n in before.chain([n]) {
            if !order.contains(&n) {
                order.push(n);
            }
        }
    }
    let mut paths = String::new();
    for n in order {
        writeln!(paths, "/lib/modules/{}/{}", package.release, lines[n][1])?;
    }
    initramfs.lay_over(staged.tree)?;
    initramfs.insert_file(TreePath::new("kmods")?, 0o644, paths.into(), from.clone())?;
    Ok(())
}

fn pack(tree: &Tree, options: &Options) -> Result<Vec<u8>> {
    let mut out = Cursor::new(Vec::new());
    squashfs::write(tree, options, &mut out)?;
    Ok(out.into_inner())
}

/// What the guest's `see` tells of the tree, in any order. What squashfs does
/// not hold is told by `liveroot squashfs` before it packs.
fn seen(tree: &Tree) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    for item in tree.walk() {
        let path = [&b"./"[..], item.path.as_bytes()].concat();
        let path = if item.path.is_root() { &b"."[..] } else { &path };
        let (mode, meta) = (newc::mode(&item), item.meta);
        let mtime = meta.mtime.clamp(0, i64::from(u32::MAX));
        let common = format!("{mode:x} {} {} {mtime}", meta.uid, meta.gid);
        match item.node {
            Node::Dir => {
                let dirs = tree.children(item.path).filter(tree::Item::is_dir).count();
                write!(out, "dir {common} {} ", dirs + 2)?;
            }
            Node::Leaf { kind, links, .. } => {
                let (size, (major, minor)) = match kind {
                    Kind::File(content) => (content.len(), (0, 0)),
                    Kind::Symlink(target) => (target.len() as u64, (0, 0)),
                    Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => (0, (*major, *minor)),
                    Kind::Fifo | Kind::Socket => (0, (0, 0)),
                };
                write!(out, "leaf {common} {links} {size} {major:x}:{minor:x} ")?;
            }
        }
        out.extend(path);
        out.push(b'\n');
        if let Some(content) = item.content() {
            let sum = digest::content(content)?;
            out.extend([hex(&sum).as_bytes(), b"  ", path, b"\n"].concat());
        }
        if let Some(target) = item.symlink_target() {
            out.extend([b"link ", path, b" -> ", target, b"\n"].concat());
        }
        for (name, value) in meta.xattrs.iter().filter(|(name, _)| !name.starts_with(b"system.")) {
            let value = format!("0x{}", hex(value));
            let file = path.strip_prefix(b"./").unwrap_or(path);
            out.extend([name, &b"="[..], value.as_bytes(), b" of ", file, b"\n"].concat());
        }
    }
    Ok(out)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

/// A file over 4 GiB that is mostly holes, 100,000 names in one directory, and
/// long symlinks: with what to ask the guest about them, and the answers, sorted.
fn large(big: &Path) -> Result<(Tree, String, String)> {
    const LEN: u64 = (5 << 30) + 12_345;
    let file = File::create(big)?;
    file.set_len(LEN)?;
    for (at, text) in [(0, "start"), ((4 << 30) + 7, "behind 4 GiB"), (LEN - 3, "end")] {
        file.write_all_at(text.as_bytes(), at)?;
    }
    let (mut tree, from) = (Tree::new(), Provenance::new("the test"));
    tree.insert_file(TreePath::new("big")?, 0o644, Content::host(big, LEN), from.clone())?;
    for n in 0..100_000 {
        let leaf = Leaf { meta: Meta::new(0o644), kind: Kind::Fifo };
        tree.insert_leaf(TreePath::new(format!("many/{n}-of-them"))?, leaf, from.clone())?;
    }
    // The longest that Linux reads, and what it may refuse without harm to the rest.
    for (name, len) in [("longest", 4095), ("too-long", 65_535)] {
        tree.insert_symlink(TreePath::new(format!("links/{name}"))?, "x".repeat(len), from.clone())?;
    }
    tree.insert_file(TreePath::new("links/zz")?, 0o644, b"beside them".to_vec().into(), from.clone())?;
    let questions = "\
stat -c '%s %b' big
head -c 5 big; echo
dd if=big bs=4096 skip=1048576 count=1 2>/dev/null | head -c 19 | tail -c 12; echo
dd if=big bs=4096 skip=1310723 2>/dev/null | tail -c 3; echo
/usr/bin/ls -f many | sed -n '/-of-them$/p' | wc -l
stat -c '%n' many/0-of-them many/5-of-them many/77777-of-them many/99999-of-them many/100000-of-them 2>/dev/null
stat -c '%n %s' links/longest
/usr/bin/ls -f links | sed -n '/^[^.]/p' | wc -l
cat links/zz; echo
";
    // Blocks of 128 KiB, of which three are there, in 512 bytes; the last is short.
    let blocks = ((2 << 17) + LEN % (1 << 17)).div_ceil(512);
    let names = [0, 5, 77_777, 99_999].map(|n| format!("many/{n}-of-them"));
    let mut answers = vec![format!("{LEN} {blocks}"), "start".into(), "behind 4 GiB".into(), "end".into()];
    answers.push("100000".into());
    answers.extend(names);
    answers.extend(["links/longest 4095", "3", "beside them"].map(String::from));
    Ok((tree, questions.into(), answers.join("\n") + "\n"))
}
