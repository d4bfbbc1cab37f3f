//! Same inputs, same bytes: whoever builds, wherever, and with whatever around.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use harness::builder::{Image, liveroot, root, succeed};
use harness::oracle::Tool;

#[test]
fn an_ordinary_user_elsewhere_makes_the_same_images() -> Result<()> {
    let Some(liveroot) = liveroot()? else { return Ok(()) };
    let Some(setpriv) = Tool::find("setpriv")? else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    let place = dir.path().join("a longer place, elsewhere");
    copy_checkout(&place)?;
    fs::copy(&liveroot, place.join("liveroot"))?;
    let out = place.join("out");
    fs::create_dir(&out)?;
    for open in [dir.path(), &place, &out] {
        fs::set_permissions(open, Permissions::from_mode(0o777))?;
    }

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
        let script = "umask 077; cd /; PATH= exec \"$0\" build \"$1/tests/profiles/$2.toml\" -o \"$1/out/$2.iso\"";
        build.env_clear().env("TZ", "Pacific/Kiritimati").env("LC_ALL", "C").env("LIVEROOT_CACHE", place.join("cache"));
        succeed(build.args(["-c", script]).arg(place.join("liveroot")).arg(&place).arg(profile))?;

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
    copy(Path::new(&cache), "cache")?;
    succeed(Command::new("chmod").args(["-R", "a+rwX"]).arg(place)).map(drop)
}

fn is_root() -> Result<bool> {
    Ok(succeed(Command::new("id").arg("-u"))?.stdout.trim_ascii() == b"0")
}
