//! Toybox's source, fetched with apt.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::run::{self, say};

/// Newer releases no longer trust it for every repository.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The unpacked upstream tar of Debian's source package. apt works in
/// directories of our own, so that neither root nor `deb-src` lines in the
/// machine's configuration are needed.
pub(super) fn fetch(home: &Path) -> Result<PathBuf> {
    if run::find("apt-get").is_none() {
        bail!(
            "toybox comes from Debian's source package, and there is no apt-get here: \
             set LIVEROOT_TOYBOX to a static toybox with `sh` and `init`"
        );
    }
    let source = home.join("source");
    if source.exists() {
        fs::remove_dir_all(&source)?;
    }
    fs::create_dir_all(&source)?;
    say("fetching toybox's source package with apt");
    let apt = Apt::new(&home.join("apt"))?;
    apt.get(&["update"], home)?;
    apt.get(&["source", "--tar-only", "--download-only", "toybox"], &source)?;
    let tar = upstream_tar(&source)?;
    run::run(Command::new("tar").arg("xf").arg(tar).arg("-C").arg(&source).arg("--strip-components=1"))?;
    Ok(source)
}

struct Apt {
    options: Vec<String>,
}

impl Apt {
    fn new(home: &Path) -> Result<Self> {
        for dir in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(home.join(dir))?;
        }
        let sources = home.join("sources.list");
        let keyring = Path::new(KEYRING).exists().then_some(KEYRING);
        fs::write(&sources, source_lines(&run::output(&mut indextargets())?, keyring)?)?;
        let options = vec![
            format!("Dir::Etc::SourceList={}", sources.display()),
            "Dir::Etc::SourceParts=/dev/null".into(),
            format!("Dir::State::Lists={}", home.join("lists").display()),
            format!("Dir::Cache={}", home.join("cache").display()),
            // apt's own unprivileged user cannot reach a checkout below a home directory.
            "APT::Sandbox::User=".into(),
        ];
        Ok(Self { options })
    }

    fn get(&self, words: &[&str], dir: &Path) -> Result<()> {
        let options = self.options.iter().flat_map(|option| ["-o", option]);
        run::run(Command::new("apt-get").current_dir(dir).arg("-q").args(options).args(words))
    }
}

/// Where this machine gets Debian's packages from: its mirror, not one of ours.
fn indextargets() -> Command {
    let mut command = Command::new("apt-get");
    command.args(["indextargets", "--format", "$(REPO_URI) $(CODENAME) $(COMPONENT)"]);
    command.args(["Created-By: Packages", "Origin: Debian"]);
    command
}

fn source_lines(targets: &str, keyring: Option<&str>) -> Result<String> {
    let key = keyring.map(|file| format!("[signed-by={file}] ")).unwrap_or_default();
    let mut lines: Vec<String> = targets.lines().map(|target| format!("deb-src {key}{target}\n")).collect();
    ensure!(!lines.is_empty(), "apt knows no Debian repository here: run `apt-get update`, then this again");
    lines.sort_unstable();
    lines.dedup();
    Ok(lines.concat())
}

fn upstream_tar(dir: &Path) -> Result<PathBuf> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("toybox_")
            && name.contains(".orig.tar.")
            && path.extension().is_some_and(|end| end != "asc")
        {
            return Ok(path);
        }
    }
    None.with_context(|| format!("apt left no upstream tar in {}", dir.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_repository_is_asked_once() {
        let targets = "http://m/debian bookworm main\nhttp://m/security bookworm main\nhttp://m/debian bookworm main\n";
        let lines = source_lines(targets, Some("/k")).unwrap();
        assert_eq!(
            lines,
            "deb-src [signed-by=/k] http://m/debian bookworm main\ndeb-src [signed-by=/k] http://m/security bookworm main\n"
        );
        assert!(source_lines("", None).is_err());
    }
}
