//! The one place where a build runs other programs: the system's own apt-get
//! and mmdebstrap, into the cache, when the user said `--fetch`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tree::{Provenance, Tree};

use super::cache::{Cache, Wanted};
use crate::arch::Arch;
use crate::deb;
use crate::progress::Progress;

#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("`{program}` is needed to fetch {wanted}, and it does not start; on Debian: apt-get install {program}")]
    NoProgram { program: &'static str, wanted: String, source: io::Error },
    #[error("fetching {wanted}: `{program}` failed:\n{output}")]
    Failed { program: &'static str, wanted: String, output: String },
    #[error("{package} has no kernel in it, and depends on no linux-image package")]
    NoKernel { package: String },
    #[error("{}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Deb(#[from] deb::DebError),
}

/// Fetches what is wanted, each thing whole or not at all.
pub fn fetch(wanted: &[Wanted], cache: &Cache, progress: &Progress) -> Result<(), FetchError> {
    if wanted.is_empty() {
        return Ok(());
    }
    let apt = |arch: Arch| Apt { dir: cache.dir().join("apt").join(arch.debian()), arch };
    let mut updated = Vec::new();
    for one in wanted {
        let apt = apt(one.arch());
        if !matches!(one, Wanted::Root { .. }) && !updated.contains(&apt.arch) {
            let step = progress.step("apt-get update", None);
            apt.update(one)?;
            updated.push(apt.arch);
            step.done("the distribution's lists");
        }
        let step = progress.step("fetch", None);
        let target = cache.path(one);
        let dir = target.parent().expect("the cache has folders");
        make_dir(dir)?;
        let scratch = tempfile::tempdir_in(dir).map_err(|source| FetchError::Write { path: dir.into(), source })?;
        let got = match one {
            Wanted::Package { names, .. } => apt.download_first(names, scratch.path(), one)?,
            Wanted::Kernel { package, .. } => download_kernel(&apt, package, scratch.path(), one)?,
            Wanted::Root { suite, include, arch } => mmdebstrap(suite, include, *arch, scratch.path(), one)?,
        };
        fs::rename(&got, &target).map_err(|source| FetchError::Write { path: target.clone(), source })?;
        step.done(&one.to_string());
    }
    Ok(())
}

/// apt-get with lists and archives of its own, so that it needs no root, does
/// not depend on when the system's lists were read, and changes nothing there.
/// The system's sources and keys are what it trusts.
struct Apt {
    dir: PathBuf,
    arch: Arch,
}

impl Apt {
    fn command(&self) -> Result<Command, FetchError> {
        for dir in ["lists/partial", "cache/archives/partial"] {
            make_dir(&self.dir.join(dir))?;
        }
        // No package counts as installed: a newer one of the user's own would
        // be the candidate otherwise, and cannot be downloaded.
        let status = self.dir.join("status");
        fs::write(&status, "").map_err(|source| FetchError::Write { path: status, source })?;
        let mut command = Command::new("apt-get");
        for (key, value) in [
            ("Dir::State", self.dir.clone()),
            ("Dir::State::Lists", self.dir.join("lists")),
            ("Dir::State::status", self.dir.join("status")),
            ("Dir::Cache", self.dir.join("cache")),
        ] {
            command.arg("-o").arg(format!("{key}={}", absolute(&value).display()));
        }
        // Whatever machine this is.
        for key in ["APT::Architecture", "APT::Architectures"] {
            command.arg("-o").arg(format!("{key}={}", self.arch.debian()));
        }
        // Dropping privileges to a user who cannot write here only warns.
        command.args(["-q", "-o", "APT::Sandbox::User="]).env("LC_ALL", "C");
        Ok(command)
    }

    fn update(&self, wanted: &Wanted) -> Result<(), FetchError> {
        let mut command = self.command()?;
        command.arg("update");
        run("apt-get", &mut command, wanted).map(drop)
    }

    fn download_first(&self, names: &[String], into: &Path, wanted: &Wanted) -> Result<PathBuf, FetchError> {
        let (last, others) = names.split_last().expect("a package has a name");
        // A failure is the distribution's not having it; the last one's is told.
        let found = others.iter().find_map(|name| self.download(name, into, wanted).ok());
        found.map_or_else(|| self.download(last, into, wanted), Ok)
    }

    fn download(&self, package: &str, into: &Path, wanted: &Wanted) -> Result<PathBuf, FetchError> {
        let mut command = self.command()?;
        command.args(["download", package]).current_dir(into);
        let output = run("apt-get", &mut command, wanted)?;
        let is_deb = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "deb");
        let listed = fs::read_dir(into).map_err(|source| FetchError::Write { path: into.into(), source })?;
        let found = listed.filter_map(|entry| Some(entry.ok()?.path())).find(is_deb);
        found.ok_or(FetchError::Failed { program: "apt-get", wanted: wanted.to_string(), output })
    }
}

/// Debian's linux-image-amd64 is empty and depends on the real one.
fn download_kernel(apt: &Apt, package: &str, into: &Path, wanted: &Wanted) -> Result<PathBuf, FetchError> {
    let deb = apt.download(package, into, wanted)?;
    let tree = deb::load(&deb, &Provenance::new("looking for a kernel"))?;
    if has_kernel(&tree) {
        return Ok(deb);
    }
    let control = deb::control(&deb)?;
    let names = control.depends.split([',', '|']).filter_map(|clause| clause.split_whitespace().next());
    let real = names.filter(|name| name.starts_with("linux-image-")).find(|name| *name != package);
    let real = real.ok_or_else(|| FetchError::NoKernel { package: package.into() })?;
    let below = into.join("real");
    make_dir(&below)?;
    apt.download(real, &below, wanted)
}

fn has_kernel(tree: &Tree) -> bool {
    tree.walk().any(|item| item.path.name().starts_with(b"vmlinuz"))
}

fn mmdebstrap(
    suite: &str,
    include: &[String],
    arch: Arch,
    into: &Path,
    wanted: &Wanted,
) -> Result<PathBuf, FetchError> {
    let out = into.join("root.tar");
    let mut command = Command::new("mmdebstrap");
    command.args(["--quiet", "--variant=minbase", "--mode=auto"]);
    // For another machine than this it needs qemu-user and binfmt, and says so.
    command.arg(format!("--architectures={}", arch.debian()));
    if !include.is_empty() {
        command.arg(format!("--include={}", include.join(",")));
    }
    command.arg(suite).arg(&out);
    // The mirrors this system uses, where it has any for the suite; else
    // mmdebstrap knows the distribution's own.
    for name in [suite.to_owned(), format!("{suite}-security")] {
        if let Some(mirror) = mirror(&name) {
            command.arg(format!("deb {mirror} {name} main"));
        }
    }
    command.env("SOURCE_DATE_EPOCH", crate::plan::DEFAULT_EPOCH.to_string());
    run("mmdebstrap", &mut command, wanted)?;
    Ok(out)
}

fn mirror(codename: &str) -> Option<String> {
    let asked = Command::new("apt-get")
        .args(["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", &format!("Codename: {codename}")])
        .stdin(Stdio::null())
        .output()
        .ok()?;
    String::from_utf8(asked.stdout).ok()?.lines().next().map(str::to_owned)
}

fn run(program: &'static str, command: &mut Command, wanted: &Wanted) -> Result<String, FetchError> {
    let wanted = wanted.to_string();
    let output = command.stdin(Stdio::null()).output().map_err(|source| FetchError::NoProgram {
        program,
        wanted: wanted.clone(),
        source,
    })?;
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() {
        Ok(text)
    } else {
        Err(FetchError::Failed { program, wanted, output: last_lines(&text, 12) })
    }
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

fn make_dir(dir: &Path) -> Result<(), FetchError> {
    fs::create_dir_all(dir).map_err(|source| FetchError::Write { path: dir.into(), source })
}

/// apt-get is started in another folder than ours.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
