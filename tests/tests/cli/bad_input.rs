//! Damaged kmods and programs, and what contradicts itself: an error that says
//! where, or a note where booting goes on; never a panic, and nothing written.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Result;
use harness::builder::liveroot;
use harness::oracle::Tool;

const RELEASE: &str = "6.1.0-test";

/// `modules` and `more` are for the profile; `lay_out` makes what is wrong.
struct Row {
    name: &'static str,
    modules: &'static str,
    more: &'static str,
    lay_out: fn(&Path) -> Result<()>,
    /// Root's rights open every file: without them.
    powerless: bool,
    /// `None` where it is a note.
    fails: Option<i32>,
    says: &'static [&'static str],
}

const GOOD: Row =
    Row { name: "nothing", modules: "good", more: "", lay_out: |_| Ok(()), powerless: false, fails: None, says: &[] };

const ROWS: &[Row] = &[
    Row {
        name: "a kmod that was cut",
        lay_out: |dir| {
            let whole = kmod(&["license=GPL"]);
            add_kmod(dir, "cut.ko", &whole[..whole.len() - 40])
        },
        fails: Some(2),
        says: &["/kernel/cut.ko cannot be read", "bytes at offset"],
        ..GOOD
    },
    Row {
        name: "a kmod whose sections are nowhere",
        lay_out: |dir| {
            let mut wild = kmod(&["license=GPL"]);
            wild[40..48].copy_from_slice(&(1_u64 << 60).to_le_bytes());
            add_kmod(dir, "wild.ko", &wild)
        },
        fails: Some(2),
        says: &["/kernel/wild.ko cannot be read", "offset 1152921504606846976"],
        ..GOOD
    },
    Row {
        name: "a kmod that is no xz",
        lay_out: |dir| add_kmod(dir, "bad.ko.xz", b"\xfd7zXZ\0 and no more"),
        fails: Some(2),
        says: &["/kernel/bad.ko.xz cannot be read"],
        ..GOOD
    },
    Row {
        name: "a program whose segments are nowhere",
        more: "programs = [\"host:DIR/program\"]",
        lay_out: |dir| {
            let mut wild = kmod(&[]);
            wild[32..40].copy_from_slice(&(1_u64 << 60).to_le_bytes());
            wild[56..58].copy_from_slice(&3_u16.to_le_bytes());
            Ok(fs::write(dir.join("program"), wild)?)
        },
        fails: Some(2),
        says: &["bad.toml:", "/program", "offset 1152921504606846976"],
        ..GOOD
    },
    Row {
        name: "kmods that need each other",
        lay_out: |dir| {
            add_kmod(dir, "a.ko", &kmod(&["depends=b"]))?;
            add_kmod(dir, "b.ko", &kmod(&["depends=a"]))
        },
        fails: Some(2),
        says: &["in a ring", "b -> a"],
        ..GOOD
    },
    Row {
        name: "kmods that would each have the other first",
        modules: "a",
        lay_out: |dir| {
            add_kmod(dir, "a.ko", &kmod(&["softdep=pre: b"]))?;
            add_kmod(dir, "b.ko", &kmod(&["softdep=pre: a"]))
        },
        says: &["note: ", "to be tried first: b -> a"],
        ..GOOD
    },
    Row {
        name: "firmware that is not there",
        modules: "nic",
        lay_out: |dir| add_kmod(dir, "nic.ko", &kmod(&["firmware=nic/gone.bin", "firmware=nic/too.bin"])),
        says: &["note: ", "kmod nic names firmware", "nic/gone.bin and 1 more"],
        ..GOOD
    },
    Row {
        name: "a kmod that needs what there is not",
        modules: "orphan",
        lay_out: |dir| add_kmod(dir, "orphan.ko", &kmod(&["depends=gone"])),
        fails: Some(2),
        says: &["bad.toml:6", "orphan needs gone"],
        ..GOOD
    },
    Row {
        name: "a machine of which nothing is known",
        modules: "@host:nowhere",
        fails: Some(2),
        says: &["bad.toml:6", "nowhere: neither proc/modules nor a device"],
        ..GOOD
    },
    Row {
        name: "two sources for one path",
        more: "overlays = [\"./overlay\", \"./second\"]",
        lay_out: |dir| add_overlay(dir, "second"),
        fails: Some(2),
        says: &["/etc/motd comes from two sources", "overlay overlay", "overlay second"],
        ..GOOD
    },
    Row {
        name: "a folder where a file should be",
        more: "overlays = [\"./overlay\"]",
        lay_out: |dir| Ok(fs::create_dir(dir.join("overlay/overlay.toml"))?),
        fails: Some(2),
        says: &["the overlay overlay cannot be read", "directory"],
        ..GOOD
    },
    Row {
        name: "a file that may not be read",
        more: "overlays = [\"./overlay\"]",
        lay_out: |dir| forbid(&dir.join("overlay/root/etc/motd")),
        powerless: true,
        fails: Some(1),
        says: &["overlay/root/etc/motd", "Permission denied"],
        ..GOOD
    },
    Row {
        name: "a kmod that may not be read",
        lay_out: |dir| forbid(&dir.join(format!("kernel/lib/modules/{RELEASE}/kernel/good.ko"))),
        powerless: true,
        fails: Some(2),
        says: &["good.ko cannot be read", "Permission denied"],
        ..GOOD
    },
    Row { name: "nothing, without rights", powerless: true, ..GOOD },
    GOOD,
];

#[test]
fn bad_input_ends_in_an_error_that_says_where_or_in_a_note() -> Result<()> {
    let (Some(liveroot), Some(unshare)) = (liveroot()?, Tool::find("unshare")?) else { return Ok(()) };
    let mut wrong = Vec::new();
    for row in ROWS {
        let dir = tempfile::tempdir()?;
        add_kmod(dir.path(), "good.ko", &kmod(&["license=GPL"]))?;
        fs::create_dir_all(dir.path().join("kernel/boot"))?;
        fs::write(dir.path().join(format!("kernel/boot/vmlinuz-{RELEASE}")), "kernel")?;
        add_overlay(dir.path(), "overlay")?;
        (row.lay_out)(dir.path())?;
        let more = row.more.replace("DIR", &dir.path().display().to_string());
        fs::write(
            dir.path().join("bad.toml"),
            format!(
                "name = \"bad\"\nlabel = \"BAD\"\nmode = \"ram\"\n[kernel]\nfrom = \"dir:kernel\"\nmodules = [\"{}\"]\n\
                 [initramfs]\ncompress = \"none\"\n{more}\n[[package]]\nname = \"p\"\noverlays = [\"./overlay\"]\n",
                row.modules
            ),
        )?;
        let mut build = if row.powerless { unshare.command() } else { Command::new(&liveroot) };
        if row.powerless {
            // Of a user namespace of its own: the same owner, and no capability over these files.
            build.args(["--user", "--"]).arg(&liveroot);
        }
        build.current_dir(dir.path()).args(["initramfs", "bad.toml", "-o", "bad.img"]).env("RUST_BACKTRACE", "0");
        let output = build.stdin(Stdio::null()).output()?;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        let mut complain = |what: String| wrong.push(format!("{}: {what} in:\n{told}", row.name));
        if output.status.code() != Some(row.fails.unwrap_or(0)) {
            complain(output.status.to_string());
        }
        if dir.path().join("bad.img").exists() != row.fails.is_none() {
            complain("an image, or none,".into());
        }
        for part in row.says.iter().filter(|part| !told.contains(**part)) {
            complain(format!("no {part:?}"));
        }
        if told.contains("panicked") {
            complain("a panic".into());
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    Ok(())
}

fn forbid(file: &Path) -> Result<()> {
    Ok(fs::set_permissions(file, fs::Permissions::from_mode(0o000))?)
}

fn add_kmod(dir: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let modules = dir.join(format!("kernel/lib/modules/{RELEASE}/kernel"));
    fs::create_dir_all(&modules)?;
    Ok(fs::write(modules.join(name), bytes)?)
}

fn add_overlay(dir: &Path, name: &str) -> Result<()> {
    let etc = dir.join(name).join("root/etc");
    fs::create_dir_all(&etc)?;
    Ok(fs::write(etc.join("motd"), name)?)
}

/// An object file (elf(5)) with a `.modinfo` and nothing else.
fn kmod(modinfo: &[&str]) -> Vec<u8> {
    let text: Vec<u8> = modinfo.iter().flat_map(|entry| entry.bytes().chain([0])).collect();
    let names = b"\0.modinfo\0.shstrtab\0";
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    file.extend([1, 0, 62, 0, 1, 0, 0, 0]);
    let table = 64 + text.len() as u64 + names.len() as u64;
    file.extend([0, 0, table, 0].iter().flat_map(|n| n.to_le_bytes()).take(28));
    file.extend([64_u16, 56, 0, 64, 3, 2].iter().flat_map(|n| n.to_le_bytes()));
    file.extend(&text);
    file.extend(names);
    file.extend([0; 64]);
    for (name, kind, at, len) in [(1_u32, 1_u32, 64, text.len()), (10, 3, 64 + text.len(), names.len())] {
        file.extend(name.to_le_bytes());
        file.extend(kind.to_le_bytes());
        file.extend([0, 0, at as u64, len as u64, 0, 1, 0].iter().flat_map(|n| n.to_le_bytes()));
    }
    file
}
