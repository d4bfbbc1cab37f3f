//! Same inputs, same bytes: whoever builds, wherever, and with whatever around.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use harness::builder::{Image, liveroot, root, succeed};
use harness::oracle::{Tool, or_skip};

#[test]
fn an_ordinary_user_elsewhere_makes_the_same_images() -> Result<()> {
    let Some(liveroot) = liveroot()? else { return Ok(()) };
    let (Some(setpriv), Some(taskset)) = (Tool::find("setpriv")?, Tool::find("taskset")?) else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    let (copy, out) = (dir.path().join("copy"), dir.path().join("out"));
    copy_checkout(&copy)?;
    fs::copy(&liveroot, copy.join("liveroot"))?;
    fs::create_dir(&out)?;
    for open in [dir.path(), &copy, &out] {
        fs::set_permissions(open, Permissions::from_mode(0o777))?;
    }
    let place = dir.path().join("a longer place, elsewhere");
    let Some(shuffled) = Shuffled::mount(&copy, place)? else { return Ok(()) };
    let place = &shuffled.at;

    for profile in ["ram", "live"] {
        let Some(image) = Image::of(profile)? else { return Ok(()) };
        let mut build = if is_root()? {
            let mut nobody = setpriv.command();
            nobody.args(["--reuid=65534", "--regid=65534", "--clear-groups", "/bin/sh"]);
            nobody
        } else {
            Command::new("/bin/sh")
        };
        // The shell sets the umask and empties PATH; the builder then finds no program to run.
        let script = "umask 077; cd /; PATH= exec \"$0\" build \"$1/tests/profiles/$2.toml\" -o \"$3/$2.iso\"";
        build.env_clear().env("LIVEROOT_CACHE", place.join("cache"));
        build.envs([("TZ", "Pacific/Kiritimati"), ("LANG", "tr_TR.UTF-8"), ("LC_ALL", "tr_TR.UTF-8")]);
        build.args(["-c", script]).arg(place.join("liveroot")).arg(place).arg(profile).arg(&out);
        succeed(&mut on_one_cpu_of_another_host(&taskset, &build)?)?;

        let (ours, theirs) = (fs::read(&image.iso)?, fs::read(out.join(profile).with_extension("iso"))?);
        let first = ours.iter().zip(&theirs).position(|(ours, theirs)| ours != theirs);
        assert!(
            ours == theirs,
            "{profile}: {} and {} bytes, the first difference at {first:?}",
            ours.len(),
            theirs.len()
        );
    }
    Ok(())
}

#[test]
fn the_order_of_a_folder_is_not_in_its_archive() -> Result<()> {
    let Some(liveroot) = liveroot()? else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    let Some(shuffled) = Shuffled::mount(&root().join("overlays"), dir.path().join("shuffled"))? else { return Ok(()) };
    let pack = |folder: &Path, to: &str| {
        let archive = dir.path().join(to);
        succeed(Command::new(&liveroot).args(["initramfs", "--compress", "zstd:3", "-o"]).arg(&archive).arg(folder))?;
        Ok::<_, anyhow::Error>(fs::read(archive)?)
    };
    assert!(pack(&root().join("overlays"), "plain.img")? == pack(&shuffled.at, "shuffled.img")?);
    Ok(())
}

#[test]
fn threads_a_cache_and_the_order_of_a_folder_are_not_in_a_squashfs() -> Result<()> {
    let Some(liveroot) = liveroot()? else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    let source = dir.path().join("source");
    many_files(&source)?;
    let Some(shuffled) = Shuffled::mount(&source, dir.path().join("shuffled"))? else { return Ok(()) };
    let image = dir.path().join("image");
    let pack = |source: &Path, jobs: &str, cache: &str| {
        let mut pack = Command::new(&liveroot);
        pack.args(["squashfs", "--compress", "zstd:3", "--block", "4K", "--jobs", jobs]).arg(source);
        let ran = succeed(pack.arg("--cache").arg(dir.path().join(cache)).arg("-o").arg(&image))?;
        let told = String::from_utf8_lossy(&ran.stderr).into_owned();
        // `, 90 of 90 blocks from the cache`: equal blocks of one image find each other there too.
        let words: Vec<&str> = told.split_whitespace().collect();
        let is_warm = words.windows(4).any(|said| said[1] == "of" && said[3] == "blocks" && said[0] == said[2]);
        Ok::<_, anyhow::Error>((fs::read(&image)?, is_warm))
    };
    let (wanted, _) = pack(&source, "1", "first")?;
    for jobs in ["1", "2", "4", "16"] {
        for (source, is_warm) in [(&shuffled.at, false), (&source, true), (&shuffled.at, true)] {
            let (seen, was_warm) = pack(source, jobs, jobs)?;
            assert!(seen == wanted && was_warm == is_warm, "{jobs} threads, {}, {was_warm}", source.display());
        }
    }
    Ok(())
}

/// Large and small ones, some of them twice, and some with a name elsewhere too.
fn many_files(root: &Path) -> Result<()> {
    for n in 0..300_usize {
        let (folder, elsewhere) = (root.join(format!("{}/{}", n % 7, n % 3)), root.join(format!("{}", n * 5 % 11)));
        fs::create_dir_all(&folder)?;
        fs::create_dir_all(&elsewhere)?;
        let file = folder.join(format!("file-{}", n * 7919 % 1000));
        fs::write(&file, format!("{} and ", n % 90).repeat(n % 13 * 200))?;
        if n % 4 == 0 {
            fs::hard_link(&file, elsewhere.join(format!("link-{}", n * 4241 % 1000)))?;
        }
    }
    Ok(())
}

/// The same command, held to one CPU and, where that is allowed, on a machine of another name.
fn on_one_cpu_of_another_host(taskset: &Tool, command: &Command) -> Result<Command> {
    let mut moved = if is_root()? {
        let mut unshare = Command::new("unshare");
        unshare.args(["--uts", "/bin/sh", "-c", "hostname elsewhere && exec \"$@\"", "sh"]);
        unshare.args(["taskset", "--cpu-list", "0"]);
        unshare
    } else {
        let mut taskset = taskset.command();
        taskset.args(["--cpu-list", "0"]);
        taskset
    };
    moved.arg("env").arg("-i");
    for (name, value) in command.get_envs() {
        let mut setting = name.to_owned();
        setting.push("=");
        setting.push(value.unwrap_or_default());
        moved.arg(setting);
    }
    moved.arg(command.get_program()).args(command.get_args());
    Ok(moved)
}

/// A folder seen through disorderfs: its entries come in another order each time it is read.
struct Shuffled {
    at: PathBuf,
}

impl Shuffled {
    fn mount(folder: &Path, at: PathBuf) -> Result<Option<Self>> {
        let Some(disorderfs) = Tool::find("disorderfs")? else { return Ok(None) };
        let fuse = Path::new("/dev/fuse");
        if or_skip(fuse.exists().then_some(()), "/dev/fuse", "load the kernel's fuse module")?.is_none() {
            return Ok(None);
        }
        fs::create_dir(&at)?;
        let everybody = if is_root()? { "yes" } else { "no" };
        let everybody = format!("--multi-user={everybody}");
        succeed(disorderfs.command().args(["--shuffle-dirents=yes", "--quiet", &everybody]).arg(folder).arg(&at))?;
        Ok(Some(Self { at }))
    }
}

impl Drop for Shuffled {
    fn drop(&mut self) {
        if let Err(error) = succeed(Command::new("fusermount").args(["-u", "-z"]).arg(&self.at)) {
            eprintln!("{}: left mounted: {error:#}", self.at.display());
        }
    }
}

/// What a build of tests/profiles reads, under another name and another owner's umask.
fn copy_checkout(place: &Path) -> Result<()> {
    fs::create_dir_all(place.join("tests"))?;
    let cache = std::env::var_os("LIVEROOT_CACHE").context("LIVEROOT_CACHE is not set: `cargo xtask test` does")?;
    let copy = |from: &Path, to: &str| {
        succeed(Command::new("cp").args(["-r", "--reflink=auto"]).arg(from).arg(place.join(to))).map(drop)
    };
    for tree in ["profiles", "overlays", "tests/profiles", "tests/overlays"] {
        copy(&root().join(tree), tree)?;
    }
    // What was packed or unpacked before would hide that it cannot be done again.
    fs::create_dir(place.join("cache"))?;
    for part in ["kernels", "packages", "roots"] {
        copy(&Path::new(&cache).join(part), &format!("cache/{part}"))?;
    }
    succeed(Command::new("chmod").args(["-R", "a+rwX"]).arg(place)).map(drop)
}

fn is_root() -> Result<bool> {
    Ok(succeed(Command::new("id").arg("-u"))?.stdout.trim_ascii() == b"0")
}
