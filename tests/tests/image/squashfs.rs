//! The root of overlay mode, by unsquashfs.

use anyhow::{Context, Result};
use harness::builder::Image;
use harness::oracle::Tool;

use crate::cut;

#[test]
fn unsquashfs_lists_the_root_with_its_owners_and_modes() -> Result<()> {
    let (Some(image), Some(unsquashfs)) = (Image::of("live")?, Tool::find("unsquashfs")?) else { return Ok(()) };
    let listing = unsquashfs.output(&["-lln", "-no-progress"], &image.file("live/root.squashfs")?)?;
    let entry = |path: &str| -> Result<String> {
        let path = format!("squashfs-root{path}");
        let words = |line: &str| line.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let found = listing.lines().map(words).find(|words| words.get(5) == Some(&path));
        let words = found.with_context(|| format!("no {path}"))?;
        // After the path of a symlink: `-> target`.
        Ok([&words[..2], &words[6..]].concat().join(" "))
    };
    assert_eq!(entry("/etc/passwd")?, "-rw-r--r-- 0/0");
    // Debian's own: the group is shadow, and the file is nobody else's to read.
    assert_eq!(entry("/etc/shadow")?, "-rw-r----- 0/42");
    assert_eq!(entry("/usr/bin/su")?, "-rwsr-xr-x 0/0");
    assert_eq!(entry("/tmp")?, "drwxrwxrwt 0/0");
    assert_eq!(entry("/bin")?, "lrwxrwxrwx 0/0 -> usr/bin");
    // An overlay of the profile's, and a link that its overlay.toml asks for.
    assert_eq!(entry("/usr/local/sbin/test-report")?, "-rwxr-xr-x 0/0");
    let link = entry("/etc/systemd/system/multi-user.target.wants/test-report.service")?;
    assert_eq!(link, "lrwxrwxrwx 0/0 -> ../test-report.service");
    Ok(())
}

#[test]
fn the_root_is_packed_as_its_profile_says() -> Result<()> {
    let (Some(image), Some(unsquashfs)) = (Image::of("live")?, Tool::find("unsquashfs")?) else { return Ok(()) };
    let told = unsquashfs.output(&["-s"], &image.file("live/root.squashfs")?)?;
    for line in ["\tcompression-level 3\nBlock size 65536\n", "Always-use-fragments option is specified\n"] {
        assert!(told.contains(line), "{told}");
    }
    Ok(())
}

#[test]
fn unsquashfs_reads_every_block() -> Result<()> {
    let (Some(image), Some(unsquashfs)) = (Image::of("live")?, Tool::find("unsquashfs")?) else { return Ok(()) };
    let file = image.file("live/root.squashfs")?;
    let passwd = unsquashfs.command().args(["-cat"]).arg(&file).arg("etc/passwd").output()?;
    assert!(String::from_utf8_lossy(&passwd.stdout).starts_with("root:"), "{passwd:?}");
    // Users who are not root cannot make the device nodes; the blocks are what counts.
    let dir = tempfile::tempdir()?;
    let into = dir.path().join("root");
    let into = into.to_str().context("the temporary directory's name is not UTF-8")?;
    unsquashfs.output(&["-no-progress", "-no-xattrs", "-ignore-errors", "-quiet", "-dest", into], &file).map(drop)
}

#[test]
fn a_cut_image_is_seen_to_be_cut() -> Result<()> {
    let (Some(image), Some(unsquashfs)) = (Image::of("live")?, Tool::find("unsquashfs")?) else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    let cut = cut(&image.file("live/root.squashfs")?, dir.path())?;
    assert!(unsquashfs.output(&["-lln", "-no-progress"], &cut).is_err());
    Ok(())
}
