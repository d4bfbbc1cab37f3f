//! Bad profiles: a screenful that names file, line and remedy, exit code 2, and
//! nothing written.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Result;
use harness::builder::liveroot;

const GOOD: &str = r#"name = "bad"
label = "BAD"
mode = "ram"

[kernel]
from = "deb:linux-image-amd64"
modules = ["@live"]

[[package]]
name = "base"
overlays = ["./overlay"]
"#;

/// One change of [`GOOD`], and what the error must say of it: what, and what to do.
struct Row {
    name: &'static str,
    from: &'static str,
    to: &'static str,
    line: u32,
    says: &'static [&'static str],
}

const ROWS: &[Row] = &[
    Row {
        name: "unknown key",
        from: "label =",
        to: "lable =",
        line: 2,
        says: &["lable", "hint: did you mean `label`?"],
    },
    Row { name: "wrong type", from: "\"BAD\"", to: "7", line: 2, says: &["label", "should be a string"] },
    Row {
        name: "missing file",
        from: "name = \"base\"\noverlays = [\"./overlay\"]",
        to: "from = \"packages/nope.tar.xz\"",
        line: 10,
        says: &["packages/nope.tar.xz", "hint: looked for"],
    },
    Row {
        name: "two sources for one path",
        from: "\"./overlay\"",
        to: "\"./twice\"",
        line: 11,
        says: &["/etc/motd", "twice", "take one of the two out"],
    },
    Row {
        name: "label of 33 characters",
        from: "\"BAD\"",
        to: "\"A23456789012345678901234567890123\"",
        line: 2,
        says: &["label", "33", "hint:", "at most 32"],
    },
    Row { name: "label with a newline", from: "\"BAD\"", to: "\"BAD\\nX\"", line: 2, says: &["label", "hint: A-Z"] },
];

#[test]
fn each_bad_profile_is_told_what_is_wrong_with_it() -> Result<()> {
    let Some(liveroot) = liveroot()? else { return Ok(()) };
    let mut wrong = Vec::new();
    for row in ROWS {
        let dir = tempfile::tempdir()?;
        lay_out(dir.path(), &GOOD.replacen(row.from, row.to, 1))?;
        assert!(!GOOD.replacen(row.from, row.to, 1).eq(GOOD), "{}: the row changes nothing", row.name);
        let before = listing(dir.path())?;
        let mut build = Command::new(&liveroot);
        build.current_dir(dir.path()).args(["build", "bad.toml", "-o", "bad.iso"]);
        let output = build.stdin(Stdio::null()).output()?;
        let error = String::from_utf8_lossy(&output.stderr).into_owned();

        let place = format!("bad.toml:{}:", row.line);
        let mut complain = |what: String| wrong.push(format!("{}: {what} in:\n{error}", row.name));
        if output.status.code() != Some(2) {
            complain(format!("{}", output.status));
        }
        for part in row.says.iter().copied().chain([place.as_str()]) {
            if !error.contains(part) {
                complain(format!("no {part:?}"));
            }
        }
        if error.lines().count() > 24 {
            complain("more than a screenful".into());
        }
        if listing(dir.path())? != before || !output.stdout.is_empty() {
            complain("something was written".into());
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    Ok(())
}

/// The twin: what the rows change is all that is wrong with them.
#[test]
fn the_profile_they_are_made_from_is_good() -> Result<()> {
    let Some(liveroot) = liveroot()? else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    lay_out(dir.path(), GOOD)?;
    let output = Command::new(&liveroot).current_dir(dir.path()).args(["plan", "bad.toml"]).output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("BAD"));
    Ok(())
}

fn lay_out(dir: &Path, profile: &str) -> Result<()> {
    fs::write(dir.join("bad.toml"), profile)?;
    for name in ["overlay", "twice"] {
        let etc = dir.join(name).join("root/etc");
        fs::create_dir_all(&etc)?;
        fs::write(etc.join("motd"), "hello\n")?;
        fs::write(dir.join(name).join("overlay.toml"), "")?;
    }
    // The same path from the tree and from the list beside it.
    fs::write(dir.join("twice/overlay.toml"), "[[link]]\npath = \"/etc/motd\"\ntarget = \"issue\"\n")?;
    Ok(())
}

fn listing(dir: &Path) -> Result<Vec<std::path::PathBuf>> {
    let mut paths = fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}
