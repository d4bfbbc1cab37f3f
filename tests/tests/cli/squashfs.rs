//! `liveroot squashfs` by itself: each flag, from a folder and from tars.

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Result, ensure};
use harness::builder::{liveroot, succeed};
use harness::oracle::{Tool, or_skip};

/// `liveroot squashfs`, with no cache but the one in `dir`.
struct Verb {
    liveroot: PathBuf,
    dir: tempfile::TempDir,
}

impl Verb {
    fn here() -> Result<Option<Self>> {
        let Some(liveroot) = liveroot()? else { return Ok(None) };
        Ok(Some(Self { liveroot, dir: tempfile::tempdir()? }))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The image of `source`, and what was said.
    fn pack(&self, source: &str, words: &[&str]) -> Result<(PathBuf, String)> {
        let image = self.path("image.squashfs");
        let mut pack = Command::new(&self.liveroot);
        pack.current_dir(self.dir.path()).env("LIVEROOT_CACHE", self.path("cache")).env_remove("SOURCE_DATE_EPOCH");
        let ran = succeed(pack.args(["squashfs", source, "-o"]).arg(&image).args(words))?;
        Ok((image, String::from_utf8(ran.stderr)?))
    }
}

#[test]
fn unsquashfs_reads_what_an_image_was_packed_with() -> Result<()> {
    let (Some(verb), Some(unsquashfs)) = (Verb::here()?, Tool::find("unsquashfs")?) else { return Ok(()) };
    fs::create_dir(verb.path("tree"))?;
    fs::write(verb.path("tree/file"), "text")?;
    let rows: &[(&str, &[&str], &str)] = &[
        ("none", &[], "Compression gzip\nBlock size 131072\n"),
        ("gzip:3", &[], "Compression gzip\n\tcompression-level 3\n\twindow-size 15\n\tStrategies selected: default\n"),
        (
            "xz",
            &["--block", "64K"],
            "Compression xz\n\tDictionary size 65536\n\tNo filters specified\nBlock size 65536\n",
        ),
        ("xz:1,x86,arm,dict=96K", &[], "Compression xz\n\tDictionary size 98304\n\tFilters selected: x86, arm\n"),
        ("lz4", &["--block", "4096"], "Compression lz4\nBlock size 4096\n"),
        ("lz4:hc", &[], "Compression lz4\n\tHigh Compression option specified (-Xhc)\n"),
        ("zstd:3", &["--block", "1M"], "Compression zstd\n\tcompression-level 3\nBlock size 1048576\n"),
        ("zstd", &["--pack-tails"], "\nAlways-use-fragments option is specified\n"),
        (
            "zstd",
            &[],
            "Compression zstd\n\tcompression-level 15\nBlock size 131072\nFilesystem is exportable via NFS\n",
        ),
    ];
    for (codec, words, wanted) in rows {
        let (image, _) = verb.pack("tree", &[&["--compress", codec], *words].concat())?;
        let told = unsquashfs.output(&["-s"], &image)?;
        ensure!(told.contains(wanted), "{codec} {words:?}: no {wanted:?} in\n{told}");
        ensure!(told.contains("\nDuplicates are removed\n"), "{codec}: {told}");
    }
    Ok(())
}

#[test]
fn flags_leave_out_put_first_and_read_back() -> Result<()> {
    let (Some(verb), Some(unsquashfs)) = (Verb::here()?, Tool::find("unsquashfs")?) else { return Ok(()) };
    fs::create_dir_all(verb.path("tree/doc/more"))?;
    for name in ["a", "b", "doc/text", "doc/more/text"] {
        fs::write(verb.path("tree").join(name), name.repeat(100))?;
    }
    fs::write(verb.path("list"), "# as a boot read them\n/b\n/gone\n")?;
    let (image, told) = verb.pack("tree", &["--exclude", "doc/*", "--exclude", "nothing*", "--compress", "none"])?;
    let listed = unsquashfs.output(&["-l", "-quiet", "-no-progress"], &image)?;
    assert_eq!(
        listed.split_whitespace().collect::<Vec<_>>(),
        ["squashfs-root", "squashfs-root/a", "squashfs-root/b", "squashfs-root/doc"]
    );
    ensure!(!told.contains("reading it back"), "nobody asked: {told}");
    // `4.00 KiB of 200 B, 2048.0%, 1.2 MiB/s`: ratio and rate.
    ensure!(told.contains("4.00 KiB of 200 B, 2048.0%, ") && told.contains("/s (") && told.contains(" s)"), "{told}");

    let first = |image: &Path| -> Result<Option<usize>> {
        Ok(fs::read(image)?.windows(8).position(|window| window == b"bbbbbbbb"))
    };
    let unlisted = first(&image)?;
    let words = ["--sort", "list", "--compress", "none", "--verify", "--exclude", "doc/*", "--jobs", "3"];
    let (image, told) = verb.pack("tree", &words)?;
    ensure!(first(&image)? < unlisted, "{:?} and {unlisted:?}", first(&image)?);
    ensure!(told.contains("note: list: 1 of its paths are not in the tree"), "{told}");
    ensure!(told.contains("reading it back") && told.contains("it is what was packed"), "{told}");
    Ok(())
}

#[test]
fn a_root_that_its_kernel_cannot_read_is_refused() -> Result<()> {
    let Some(verb) = Verb::here()? else { return Ok(()) };
    let deb = std::env::var_os("LIVEROOT_TEST_KERNEL_DEB").map(PathBuf::from).filter(|deb| deb.exists());
    let wanted = "Debian's kernel (LIVEROOT_TEST_KERNEL_DEB)";
    let Some(deb) = or_skip(deb, wanted, "`cargo xtask test` fetches it")? else { return Ok(()) };
    fs::create_dir_all(verb.path("rootfs/sbin"))?;
    fs::write(verb.path("rootfs/sbin/init"), "")?;
    for (section, codec) in
        [("[root]\nfrom = \"dir:rootfs\"\n", "xz,arm"), ("[[layer]]\nname = \"more\"\n", "xz,sparc")]
    {
        let root = if section.starts_with("[[") { "[root]\nfrom = \"dir:rootfs\"\n" } else { "" };
        let profile = format!(
            "name = \"r\"\nlabel = \"R\"\nmode = \"overlay\"\n[kernel]\nfrom = \"deb:{}\"\n{root}{section}\
             compress = \"{codec}\"\n",
            deb.display()
        );
        fs::write(verb.path("r.toml"), profile)?;
        let mut build = Command::new(&verb.liveroot);
        let ran = build.current_dir(verb.dir.path()).args(["build", "r.toml", "-o", "r.iso"]).output()?;
        let told = String::from_utf8_lossy(&ran.stderr);
        let option = if codec == "xz,arm" { "CONFIG_XZ_DEC_ARM=y" } else { "CONFIG_XZ_DEC_SPARC=y" };
        ensure!(!ran.status.success() && told.contains("this kernel cannot read a squashfs in xz:6,"), "{told}");
        ensure!(told.contains(option) && !verb.path("r.iso").exists(), "{told}");
    }
    Ok(())
}

#[test]
fn a_folder_and_its_tars_become_the_same_image_with_all_that_a_root_has() -> Result<()> {
    let tools = (Tool::find("setfattr")?, Tool::find("bsdtar")?, Tool::find("tar")?, Tool::find("unsquashfs")?);
    let (Some(setfattr), Some(bsdtar), Some(tar), Some(unsquashfs)) = tools else { return Ok(()) };
    let (Some(verb), Some(getfattr)) = (Verb::here()?, Tool::find("getfattr")?) else { return Ok(()) };
    let is_root = succeed(Command::new("id").arg("-u"))?.stdout.trim_ascii() == b"0";
    if or_skip(is_root.then_some(()), "root", "only root gives files capabilities and labels")?.is_none() {
        return Ok(());
    }
    precious(&verb.path("root"), &setfattr)?;
    let gnu = ["--format=posix", "--xattrs", "--xattrs-include=*", "--sparse", "-C", "root", "-cf", "gnu.tar", "."];
    succeed(tar.command().current_dir(verb.dir.path()).args(gnu))?;
    let libarchive = ["--format=pax", "--xattrs", "--zstd", "-C", "root", "-cf", "libarchive.tar", "."];
    succeed(bsdtar.command().current_dir(verb.dir.path()).args(libarchive))?;

    let (image, told) = verb.pack("root", &["--compress", "zstd:1", "--verify"])?;
    let wanted = fs::read(&image)?;
    for note in [
        "note: /listed: squashfs has no place for system.posix_acl_access; left out of 1 entries",
        "note: /empty: squashfs dates end in 1970 and 2106; 1 entries get the nearest one",
    ] {
        ensure!(told.contains(note), "no {note:?} in {told}");
    }
    let seen = verb.path("seen");
    succeed(unsquashfs.command().args(["-quiet", "-no-progress", "-dest"]).arg(&seen).arg(&image))?;
    let mut ask = getfattr.command();
    let xattrs = succeed(ask.current_dir(&seen).args(["-Rhd", "-m-", "-ehex", "."]))?;
    let xattrs = String::from_utf8(xattrs.stdout)?;
    for part in [CAPABILITY, LABEL, "# file: empty\nuser.note=0x6c696e650a6c696e6500\n"] {
        ensure!(xattrs.contains(part), "no {part} in {xattrs}");
    }
    for (name, names) in [("bin/ping4", 2), ("sparse", 1)] {
        let stat = fs::metadata(seen.join(name))?;
        ensure!(stat.nlink() == names && stat.blocks() * 512 < 1 << 20, "{name}: {stat:?}");
    }

    for source in ["gnu.tar", "libarchive.tar"] {
        let (image, _) = verb.pack(source, &["--compress", "zstd:1"])?;
        ensure!(fs::read(image)? == wanted, "{source} becomes another image");
    }
    let mut piped = Command::new("sh");
    piped.current_dir(verb.dir.path()).args(["-c", "cat gnu.tar | \"$0\" squashfs - -o piped --compress zstd:1"]);
    succeed(piped.arg(&verb.liveroot).env("LIVEROOT_CACHE", verb.path("cache")).env_remove("SOURCE_DATE_EPOCH"))?;
    ensure!(fs::read(verb.path("piped"))? == wanted, "the tar on standard input becomes another image");
    Ok(())
}

/// VFS_CAP_REVISION_2 with cap_net_raw.
const CAPABILITY: &str = "security.capability=0x0100000200200000000000000000000000000000";
/// `system_u:object_r:usr_t:s0` and its NUL.
const LABEL: &str = "security.selinux=0x73797374656d5f753a6f626a6563745f723a7573725f743a733000";
/// Version 2: the owner, user 1000, the group, the mask and others.
const ACL: &str = "system.posix_acl_access=0x02000000\
    01000600ffffffff02000400e803000004000400ffffffff10000400ffffffff20000000ffffffff";

/// What a distribution's root has, and a plain copy loses.
fn precious(root: &Path, setfattr: &Tool) -> Result<()> {
    fs::create_dir_all(root.join("usr/bin"))?;
    fs::create_dir_all(root.join("bin"))?;
    fs::write(root.join("usr/bin/ping"), "a program".repeat(9000))?;
    fs::hard_link(root.join("usr/bin/ping"), root.join("bin/ping4"))?;
    fs::write(root.join("listed"), "whoever is in the ACL reads this")?;
    fs::write(root.join("empty"), "")?;
    symlink("usr/bin/ping", root.join("link"))?;
    let sparse = File::create(root.join("sparse"))?;
    sparse.set_len(3 << 20)?;
    sparse.write_all_at(b"behind a hole", 2 << 20)?;
    succeed(Command::new("mkfifo").arg(root.join("fifo")))?;
    for (path, xattr) in [
        ("usr/bin/ping", CAPABILITY),
        ("usr/bin/ping", LABEL),
        ("usr", LABEL),
        ("empty", "user.note=0x6c696e650a6c696e6500"),
        ("listed", ACL),
    ] {
        let (name, value) = xattr.split_once('=').unwrap_or_default();
        succeed(setfattr.command().args(["-n", name, "-v", value]).arg(root.join(path)))?;
    }
    let old = FileTimes::new().set_modified(SystemTime::UNIX_EPOCH - Duration::from_hours(1));
    Ok(File::open(root.join("empty"))?.set_times(old)?)
}
