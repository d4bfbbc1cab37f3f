//! The verbs that look into images, on ours and on other people's.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use harness::builder::{Image, liveroot, succeed};
use harness::oracle::Tool;
use serde_json::Value;

/// What the verb prints, which has to end well.
fn said(liveroot: &Path, arguments: &[&str]) -> Result<String> {
    Ok(String::from_utf8_lossy(&succeed(Command::new(liveroot).args(arguments))?.stdout).into_owned())
}

fn run(liveroot: &Path, arguments: &[&str]) -> Result<Output> {
    Command::new(liveroot).args(arguments).output().context("liveroot cannot be started")
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn json(liveroot: &Path, arguments: &[&str]) -> Result<Value> {
    Ok(serde_json::from_str(&said(liveroot, arguments)?)?)
}

/// A folder with what an image may hold, but no special files: nobody is root.
fn folder(dir: &Path) -> Result<PathBuf> {
    let root = dir.join("root");
    fs::create_dir_all(root.join("usr/bin"))?;
    fs::create_dir_all(root.join("etc"))?;
    fs::write(root.join("usr/bin/tool"), vec![b'x'; 200_000])?;
    fs::set_permissions(root.join("usr/bin/tool"), fs::Permissions::from_mode(0o755))?;
    fs::hard_link(root.join("usr/bin/tool"), root.join("usr/bin/other"))?;
    fs::write(root.join("etc/os-release"), "NAME=test\n")?;
    symlink("../etc/os-release", root.join("usr/link"))?;
    symlink("/etc", root.join("way"))?;
    Ok(root)
}

/// The same folder, packed by the field's own tools.
fn foreign(dir: &Path) -> Result<Option<Vec<PathBuf>>> {
    let root = folder(dir)?;
    let tools = (Tool::find("mksquashfs")?, Tool::find("xorriso")?, Tool::find("cpio")?, Tool::find("bsdtar")?);
    let (Some(mksquashfs), Some(xorriso), Some(_), Some(bsdtar)) = tools else { return Ok(None) };
    let (squashfs, iso) = (dir.join("a.squashfs"), dir.join("a.iso"));
    succeed(mksquashfs.command().arg(&root).arg(&squashfs).args([
        "-quiet",
        "-no-progress",
        "-all-root",
        "-comp",
        "zstd",
    ]))?;
    succeed(xorriso.command().args(["-as", "mkisofs", "-quiet", "-R", "-V", "FOREIGN", "-o"]).arg(&iso).arg(&root))?;
    let cpio = dir.join("a.img");
    let script = "cd \"$0\" && find . | LC_ALL=C sort | cpio -o -H newc --quiet | gzip > \"$1\"";
    succeed(Command::new("sh").args(["-c", script]).arg(&root).arg(&cpio))?;
    let tar = dir.join("a.tar");
    succeed(bsdtar.command().arg("-cf").arg(&tar).arg("-C").arg(&root).arg("."))?;
    Ok(Some(vec![squashfs, iso, cpio, tar]))
}

#[test]
fn other_peoples_images_are_listed_printed_and_taken_out() -> Result<()> {
    let Some(liveroot) = liveroot()? else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    let Some(images) = foreign(dir.path())? else { return Ok(()) };
    for image in images {
        let image = image.to_str().context("a plain name")?;
        let at = |path: &str| format!("{image}:{path}");
        assert_eq!(said(&liveroot, &["ls", &at("/usr")])?, "bin\nlink\n", "{image}");
        assert_eq!(said(&liveroot, &["ls", "-R", &at("/usr/bin")])?, "/usr/bin\n/usr/bin/other\n/usr/bin/tool\n");
        assert!(said(&liveroot, &["ls", "-l", &at("/usr/bin/tool")])?.contains(" size=200000 links=2"), "{image}");
        assert_eq!(said(&liveroot, &["cat", &at("/usr/link"), &at("way/os-release")])?, "NAME=test\nNAME=test\n");
        let listed = json(&liveroot, &["ls", "--json", &at("/usr/link")])?;
        assert_eq!((&listed[0]["type"], &listed[0]["target"]), (&"symlink".into(), &"../etc/os-release".into()));
        let report = json(&liveroot, &["inspect", "--json", image])?;
        assert_eq!(report["entries"], 9, "{report}");
        assert!(report.get("liveroot").is_none(), "{report}");

        let out = dir.path().join("out");
        succeed(Command::new(&liveroot).args(["extract", image, "-o"]).arg(&out))?;
        succeed(Command::new("diff").args(["-r", "--no-dereference"]).arg(dir.path().join("root")).arg(&out))?;
        let again = run(&liveroot, &["extract", image, "-o", out.to_str().context("a plain name")?])?;
        assert!(!again.status.success() && errors(&again).contains("new or empty"), "{}", errors(&again));
        fs::remove_dir_all(&out)?;

        let unknown = run(&liveroot, &["explain", image, "/etc/os-release"])?;
        assert!(errors(&unknown).contains("no record"), "{}", errors(&unknown));
        assert!(run(&liveroot, &["verify", image])?.status.success(), "{image} is sound");
    }
    Ok(())
}

#[test]
fn an_image_in_an_image_is_read_in_place() -> Result<()> {
    let (Some(liveroot), Some(image)) = (liveroot()?, Image::of("live")?) else { return Ok(()) };
    let iso = image.iso.to_str().context("a plain name")?;
    let release = said(&liveroot, &["cat", &format!("{iso}/live/root.squashfs:/etc/os-release")])?;
    assert!(release.contains("ID=debian"), "{release}");
    let report = json(&liveroot, &["inspect", "--json", iso])?;
    assert_eq!(report["liveroot"]["mode"], "overlay");
    assert_eq!(report["liveroot"]["parts"][0]["state"], "there");
    let inner = json(&liveroot, &["inspect", "--json", &format!("{iso}:/boot/initramfs.img")])?;
    assert_eq!(inner["liveroot"]["boot_id"], report["liveroot"]["boot_id"]);
    let dir = tempfile::tempdir()?;
    let out = dir.path().join("init");
    succeed(Command::new(&liveroot).args(["extract", &format!("{iso}:/boot/initramfs.img:/init"), "-o"]).arg(&out))?;
    assert!(fs::read(&out)?.starts_with(b"\x7fELF"));
    Ok(())
}

#[test]
fn every_file_of_an_image_says_where_it_came_from() -> Result<()> {
    let (Some(liveroot), Some(live), Some(ram)) = (liveroot()?, Image::of("live")?, Image::of("ram")?) else {
        return Ok(());
    };
    let kmods = said(&liveroot, &["ls", "-R", &format!("{}:/boot/initramfs.img", live.iso.display())])?;
    ensure!(!kmods.is_empty());
    for (image, inner, path, says) in [
        (&live, "/live/root.squashfs", "/usr/bin/bash", &["Debian package bash", "mmdebstrap", "live.toml:"][..]),
        (&live, "/live/root.squashfs", "/etc/hostname", &["overlay live-user", "live.toml:"]),
        (&live, "/boot/initramfs.img", "/init", &["liveroot's /init"]),
        (&live, "/boot/initramfs.img", "/etc/live/image", &["facts of this image"]),
        (&live, "/boot/initramfs.img", "/bin/sh", &["toybox", "live.toml:"]),
        (&live, "", "/boot/vmlinuz", &["kernel", "live.toml:"]),
        (&live, "", "/live/root.squashfs", &["root", "live.toml:"]),
        (&ram, "/live/packages/02-first.tar.xz", "/etc", &["package-first"]),
    ] {
        let inner = format!("{}{inner}", image.iso.display());
        let explained = said(&liveroot, &["explain", &inner, path])?;
        for part in says {
            assert!(explained.contains(part), "{path}: no {part:?} in:\n{explained}");
        }
    }
    // Why a kmod is there: the set or the kmod that wanted it, and the profile's line.
    let kmods = said(&liveroot, &["ls", "-R", &format!("{}/boot/initramfs.img:/lib/modules", live.iso.display())])?;
    let kmod = kmods.lines().find(|line| line.strip_suffix(".ko").is_some()).context("no kmod in the initramfs")?;
    let explained =
        json(&liveroot, &["explain", "--json", &format!("{}/boot/initramfs.img:{kmod}", live.iso.display())])?;
    let causes = explained["causes"].as_array().context("causes")?;
    assert!(
        causes.len() >= 3 && causes.iter().any(|cause| cause.as_str().is_some_and(|cause| cause.contains("@live")))
    );
    Ok(())
}

#[test]
fn an_initramfs_built_alone_has_its_record_beside_it() -> Result<()> {
    let Some(liveroot) = liveroot()? else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    let root = folder(dir.path())?;
    let image = dir.path().join("x.img");
    succeed(Command::new(&liveroot).args(["initramfs", "--compress", "none", "-o"]).arg(&image).arg(&root))?;
    let image = image.to_str().context("a plain name")?;
    assert!(said(&liveroot, &["explain", image, "/etc/os-release"])?.contains("from root"));
    fs::remove_file(format!("{image}.provenance.zst"))?;
    let unknown = run(&liveroot, &["explain", image, "/etc/os-release"])?;
    assert!(!unknown.status.success() && errors(&unknown).contains("no record"), "{}", errors(&unknown));
    Ok(())
}

#[test]
fn images_are_compared_by_what_is_in_them() -> Result<()> {
    let (Some(liveroot), Some(live), Some(ram)) = (liveroot()?, Image::of("live")?, Image::of("ram")?) else {
        return Ok(());
    };
    let (live, ram) = (live.iso.to_str().context("a name")?, ram.iso.to_str().context("a name")?);
    let same = run(&liveroot, &["diff", ram, ram])?;
    assert_eq!((same.status.code(), same.stdout.len()), (Some(0), 0));
    let differs = run(&liveroot, &["diff", ram, live])?;
    let text = String::from_utf8_lossy(&differs.stdout);
    assert_eq!(differs.status.code(), Some(1), "{text}");
    for part in ["+ f 0644 0:0 315532800 /live/root.squashfs", "in /boot/initramfs.img:", "~ /etc/live/image"] {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
    assert_eq!(run(&liveroot, &["diff", ram, "/nowhere.iso"])?.status.code(), Some(2));

    let dir = tempfile::tempdir()?;
    let Some(mksquashfs) = Tool::find("mksquashfs")? else { return Ok(()) };
    let root = folder(dir.path())?;
    let pack = |name: &str| -> Result<String> {
        let image = dir.path().join(name);
        succeed(mksquashfs.command().arg(&root).arg(&image).args(["-quiet", "-no-progress", "-all-root"]))?;
        Ok(image.to_str().context("a name")?.to_owned())
    };
    let old = pack("old.squashfs")?;
    fs::set_permissions(root.join("etc/os-release"), fs::Permissions::from_mode(0o600))?;
    fs::write(root.join("usr/bin/tool"), vec![b'y'; 200_000])?;
    fs::write(root.join("extra.ko"), "")?;
    let new = pack("new.squashfs")?;
    let differs = run(&liveroot, &["diff", "--json", &old, &new])?;
    let report: Value = serde_json::from_slice(&differs.stdout)?;
    let image = &report["images"][0];
    assert_eq!(image["added"][0]["path"], "/extra.ko", "{report}");
    assert_eq!(image["kmods"]["added"][0], "extra", "{report}");
    let changed: Vec<_> = image["changed"].as_array().context("changed")?.iter().collect();
    let of = |path: &str| changed.iter().find(|entry| entry["path"] == path).copied().unwrap_or(&Value::Null);
    assert_eq!((&of("/etc/os-release")["content"], &of("/usr/bin/tool")["content"]), (&false.into(), &true.into()));
    Ok(())
}

#[test]
fn every_broken_promise_of_a_medium_is_a_fault() -> Result<()> {
    let (Some(liveroot), Some(ram)) = (liveroot()?, Image::of("ram")?) else { return Ok(()) };
    let report = json(&liveroot, &["verify", "--json", ram.iso.to_str().context("a name")?])?;
    assert_eq!(report["sound"], true, "{report:#}");
    let boots = report["boots"].as_array().context("boots")?;
    assert_eq!(boots.len(), 4, "{report:#}");
    assert!(boots.iter().any(|boot| boot["firmware"] == "BIOS" && boot["boots"] == true), "{report:#}");

    let good = fs::read(&ram.iso)?;
    let find = |wanted: &[u8]| good.windows(wanted.len()).position(|window| window == wanted);
    let manifest = find(b"liveroot-manifest 1.").context("no manifest")?;
    let config = find(b"/boot/initramfs.img").context("no boot entry")?;
    let package = fs::read(ram.file("live/packages/01-base.tar.xz")?)?;
    let package = find(&package[..256]).context("no package")?;
    let dir = tempfile::tempdir()?;
    for (at, bytes, says) in [
        (manifest + 40, &b"~"[..], "the manifest"),
        (config, b"/boot/initramfs.ima", "which is not there"),
        (package + 100, b"~~~~", "SHA-256"),
        (190 + 32768, b"X", "volume set"),
    ] {
        let mut bad = good.clone();
        bad[at..at + bytes.len()].copy_from_slice(bytes);
        let image = dir.path().join("bad.iso");
        fs::write(&image, bad)?;
        let output = run(&liveroot, &["verify", image.to_str().context("a name")?])?;
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "byte {at}: {text}");
        let fault = text.lines().any(|line| line.starts_with("FAULT") && line.contains(says));
        assert!(fault, "byte {at}: no fault {says:?} in:\n{text}");
    }
    let image = dir.path().join("cut.iso");
    fs::write(&image, &good[..good.len() / 3 * 2])?;
    assert_eq!(run(&liveroot, &["verify", image.to_str().context("a name")?])?.status.code(), Some(1));
    Ok(())
}

/// What an initramfs is made of is known to the last entry: the chain ends at
/// a line of the profile, or says that every initramfs has it.
#[test]
fn every_entry_of_an_initramfs_is_explained() -> Result<()> {
    let (Some(liveroot), Some(live)) = (liveroot()?, Image::of("live")?) else { return Ok(()) };
    let initramfs = format!("{}:/boot/initramfs.img", live.iso.display());
    let entries = json(&liveroot, &["ls", "-R", "--json", &format!("{initramfs}:")])?;
    let paths: Vec<&str> = entries.as_array().context("a list")?.iter().filter_map(|e| e["path"].as_str()).collect();
    ensure!(paths.len() > 300, "{} entries", paths.len());
    let arguments: Vec<&str> = ["explain", "--json", &initramfs].into_iter().chain(paths.iter().copied()).collect();
    let explained = json(&liveroot, &arguments)?;
    let explained = explained.as_array().context("a list")?;
    assert_eq!(explained.len(), paths.len());
    let way = said(&liveroot, &["explain", &initramfs, "/lib/modules"])?;
    assert!(way.contains("directory on the way to /lib/modules/"), "{way}");
    let own = ["every initramfs has it", "liveroot's /init", "list of the initramfs, which /init checks"];
    for (path, said) in paths.iter().zip(explained) {
        assert_eq!(said["path"], *path);
        let causes: Vec<&str> = said["causes"].as_array().context("causes")?.iter().filter_map(Value::as_str).collect();
        let last = causes.last().context("no cause at all")?;
        assert!(own.contains(last) || last.contains("live.toml:") || *path == "/", "{path}: {causes:?}");
        if let Some(stem) = path.strip_suffix(".ko") {
            let name = stem.rsplit('/').next().unwrap_or_default().replace('-', "_");
            let (kernel, kmod) = (causes[0], causes[1]);
            assert_eq!((kernel, kmod), ("the root's kernel", &*format!("kmod {name}")), "{path}");
            assert!(causes.iter().any(|cause| cause.starts_with("set @live: ")), "{path}: {causes:?}");
        }
    }
    Ok(())
}

#[test]
fn the_bytes_of_an_initramfs_are_told_by_reason_and_drawn() -> Result<()> {
    let (Some(liveroot), Some(live)) = (liveroot()?, Image::of("live")?) else { return Ok(()) };
    let initramfs = format!("{}:/boot/initramfs.img", live.iso.display());
    let dir = tempfile::tempdir()?;
    let svg = dir.path().join("x.svg");
    let svg_name = svg.to_str().context("a plain name")?;
    let report = json(&liveroot, &["inspect", "--json", "--svg", svg_name, &initramfs])?;
    let reasons = report["reasons"].as_array().context("reasons")?;
    let total: u64 = reasons.iter().filter_map(|reason| reason["bytes"].as_u64()).sum();
    assert_eq!(Some(total), report["content_bytes"].as_u64(), "{report}");
    let of = |name: &str| reasons.iter().find(|reason| reason["reason"] == name).cloned().unwrap_or_default();
    let parts = |reason: &Value| -> Vec<String> {
        let parts = reason["parts"].as_array().into_iter().flatten();
        parts.filter_map(|part| part["name"].as_str().map(String::from)).collect()
    };
    assert!(parts(&of("kmods")).contains(&"drivers/ata".to_owned()), "{report}");
    assert_eq!(parts(&of("userland")), ["toybox"], "{report}");
    assert_eq!(parts(&of("init"))[0], "/init", "{report}");
    assert!(parts(&of("lists")).contains(&"/etc/live/kmods".to_owned()), "{report}");
    assert_eq!(of("other"), Value::Null, "{report}");

    let text = said(&liveroot, &["inspect", &initramfs])?;
    let row = text.lines().find(|line| line.trim_start().starts_with("drivers/ata ")).context("no row")?;
    assert!(row.contains(" % "), "{row}");
    let picture = fs::read_to_string(&svg)?;
    assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n") && picture.contains("drivers/ata, "));
    assert!(!picture.contains("href"), "it needs no other file");
    said(&liveroot, &["inspect", "--svg", svg_name, &initramfs])?;
    assert_eq!(fs::read_to_string(&svg)?, picture, "the same image, the same picture");

    let iso = live.iso.to_str().context("a plain name")?;
    let refused = run(&liveroot, &["inspect", "--svg", svg_name, iso])?;
    assert!(errors(&refused).contains("/boot/initramfs.img"), "{}", errors(&refused));
    Ok(())
}
