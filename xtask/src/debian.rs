//! Debian's packages, fetched with apt.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::run::{self, say};

/// Newer releases no longer trust it for every repository.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The unpacked upstream tar of a source package, in `home`/source.
pub(crate) fn source(package: &str, home: &Path) -> Result<PathBuf> {
    if run::find("apt-get").is_none() {
        bail!("{package} comes from Debian's source package, and there is no apt-get here");
    }
    let (source, part) = (home.join("source"), home.join("source.part"));
    for old in [&source, &part].into_iter().filter(|old| old.exists()) {
        fs::remove_dir_all(old)?;
    }
    fs::create_dir_all(&part)?;
    say(&format!("fetching {package}'s source package with apt"));
    let apt = Apt::new(&home.join("apt"), "deb-src", None, None)?;
    apt.get(&["update"], home)?;
    apt.get(&["source", "--tar-only", "--download-only", package], &part)?;
    let tar = upstream_tar(package, &part)?;
    run::run(Command::new("tar").arg("xf").arg(tar).arg("-C").arg(&part).arg("--strip-components=1"))?;
    // Its name says that it is whole.
    fs::rename(&part, &source)?;
    Ok(source)
}

/// The newest package of another machine that `meta` depends on, as `home`/`meta`.deb.
pub(crate) fn dependency(meta: &str, machine: &str, home: &Path) -> Result<PathBuf> {
    say(&format!("fetching {meta} for {machine} with apt"));
    let target = home.join(format!("{meta}.deb"));
    fetch_dependency(meta, machine, None, &home.join(machine), target)
}

/// The kernel of another release, as `home`/linux-image-RELEASE.deb.
pub(crate) fn kernel_of(release: &str, home: &Path) -> Result<PathBuf> {
    say(&format!("fetching the kernel of {release} with apt"));
    let target = home.join(format!("linux-image-{release}.deb"));
    let scratch = home.join(release);
    let fetched = fetch_dependency("linux-image-amd64", "amd64", Some(release), &scratch, target)?;
    fs::remove_dir_all(&scratch)?;
    Ok(fetched)
}

fn fetch_dependency(
    meta: &str,
    machine: &str,
    release: Option<&str>,
    scratch: &Path,
    target: PathBuf,
) -> Result<PathBuf> {
    fs::create_dir_all(scratch)?;
    let apt = Apt::new(&scratch.join("apt"), "deb", Some(machine), release)?;
    apt.get(&["update"], scratch)?;
    let told = run::output(&mut apt.command("apt-cache", &["depends", "--important", meta], scratch))?;
    let real = told.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
    let real = real.with_context(|| format!("{meta} depends on nothing"))?;
    apt.get(&["download", real], scratch)?;
    fs::rename(only_file(scratch, ".deb")?, &target)?;
    Ok(target)
}

/// Packages of this machine with all they depend on, unpacked into a tar and
/// not configured.
pub(crate) fn extracted(packages: &[&str], tar: &Path) -> Result<PathBuf> {
    const SUITE: &str = "bookworm";
    say(&format!("fetching {} with mmdebstrap", packages.join(", ")));
    let part = tar.with_extension("part.tar");
    let mut command = Command::new("mmdebstrap");
    command.args(["--quiet", "--variant=extract", "--mode=auto"]).arg(format!("--include={}", packages.join(",")));
    run::run(command.arg(SUITE).arg(&part))?;
    // Its name says that it is whole.
    fs::rename(&part, tar)?;
    Ok(tar.to_owned())
}

/// apt in directories of our own, so that neither root nor lines in the
/// machine's configuration are needed.
struct Apt {
    options: Vec<String>,
}

impl Apt {
    /// For this machine and its release, or others.
    fn new(home: &Path, kind: &str, machine: Option<&str>, release: Option<&str>) -> Result<Self> {
        for dir in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(home.join(dir))?;
        }
        let sources = home.join("sources.list");
        let keyring = Path::new(KEYRING).exists().then_some(KEYRING);
        fs::write(&sources, source_lines(kind, &run::output(&mut indextargets())?, keyring, release)?)?;
        let mut options = vec![
            format!("Dir::Etc::SourceList={}", sources.display()),
            "Dir::Etc::SourceParts=/dev/null".into(),
            format!("Dir::State::Lists={}", home.join("lists").display()),
            format!("Dir::Cache={}", home.join("cache").display()),
            // apt's own unprivileged user cannot reach a checkout below a home directory.
            "APT::Sandbox::User=".into(),
        ];
        if let Some(machine) = machine {
            options.extend([
                format!("APT::Architecture={machine}"),
                format!("APT::Architectures={machine}"),
                "Dir::State::status=/dev/null".into(),
            ]);
        }
        Ok(Self { options })
    }

    fn get(&self, words: &[&str], dir: &Path) -> Result<()> {
        run::run(&mut self.command("apt-get", words, dir))
    }

    fn command(&self, program: &str, words: &[&str], dir: &Path) -> Command {
        let mut command = Command::new(program);
        let options = self.options.iter().flat_map(|option| ["-o", option]);
        command.current_dir(dir).arg("-q").args(options).args(words);
        command
    }
}

/// Where this machine gets Debian's packages from: its mirror, not one of ours.
fn indextargets() -> Command {
    let mut command = Command::new("apt-get");
    command.args(["indextargets", "--format", "$(REPO_URI) $(CODENAME) $(COMPONENT)"]);
    command.args(["Created-By: Packages", "Origin: Debian"]);
    command
}

fn source_lines(kind: &str, targets: &str, keyring: Option<&str>, release: Option<&str>) -> Result<String> {
    let key = keyring.map(|file| format!("[signed-by={file}] ")).unwrap_or_default();
    let line = |target: &str| {
        let words: Vec<&str> = target.split(' ').collect();
        let [repository, codename, component] = words[..] else { return None };
        match release {
            // Updates and security have repositories of their own, each with its rule for names.
            Some(_) if codename.contains('-') || component != "main" => None,
            Some(release) => Some(format!("{kind} {key}{repository} {release} {component}\n")),
            None => Some(format!("{kind} {key}{target}\n")),
        }
    };
    let mut lines: Vec<String> = targets.lines().filter_map(line).collect();
    ensure!(!lines.is_empty(), "apt knows no Debian repository here: run `apt-get update`, then this again");
    lines.sort_unstable();
    lines.dedup();
    Ok(lines.concat())
}

fn upstream_tar(package: &str, dir: &Path) -> Result<PathBuf> {
    let starts = format!("{package}_");
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with(&starts) && name.contains(".orig.tar.") && path.extension().is_some_and(|end| end != "asc")
        {
            return Ok(path);
        }
    }
    None.with_context(|| format!("apt left no upstream tar in {}", dir.display()))
}

pub(crate) fn only_file(dir: &Path, ending: &str) -> Result<PathBuf> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(ending) {
            return Ok(path);
        }
    }
    None.with_context(|| format!("apt left no {ending} in {}", dir.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_repository_is_asked_once() {
        let targets =
            "http://m/debian bookworm main\nhttp://m/security bookworm-security main\nhttp://m/debian bookworm main\n";
        let lines = source_lines("deb-src", targets, Some("/k"), None).unwrap();
        assert_eq!(
            lines,
            "deb-src [signed-by=/k] http://m/debian bookworm main\ndeb-src [signed-by=/k] http://m/security bookworm-security main\n"
        );
        let another = source_lines("deb", targets, None, Some("trixie")).unwrap();
        assert_eq!(another, "deb http://m/debian trixie main\n");
        assert!(source_lines("deb", "", None, None).is_err());
    }
}
