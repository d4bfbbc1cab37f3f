//! The `liveroot` command, run as a user runs it.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use anyhow::{Context, Result, anyhow, ensure};

use crate::oracle::{Tool, or_skip};
use crate::vm::Kernel;
use crate::vmlinux;

/// The command that `cargo xtask test` built, with its toybox in it.
pub fn liveroot() -> Result<Option<PathBuf>> {
    let program = std::env::var_os("LIVEROOT_BIN").map(PathBuf::from);
    or_skip(program, "`liveroot` (LIVEROOT_BIN)", "`cargo xtask test` builds it and sets that")
}

/// The top of the checkout.
pub fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_owned()
}

/// An image of one of tests/profiles, and what can be taken out of it.
#[derive(Debug)]
pub struct Image {
    pub iso: PathBuf,
    /// Where the medium's own files are, unpacked by another tool than ours.
    files: PathBuf,
    vmlinux: OnceLock<Result<PathBuf, String>>,
}

impl Image {
    /// Built once per process; the tests that want the same one wait for it.
    pub fn of(profile: &'static str) -> Result<Option<Arc<Self>>> {
        type Built = Arc<OnceLock<Result<Arc<Image>, String>>>;
        static BUILT: Mutex<Option<HashMap<&str, Built>>> = Mutex::new(None);
        let (Some(liveroot), Some(bsdtar)) = (liveroot()?, Tool::find("bsdtar")?) else { return Ok(None) };
        let image = {
            let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
            built.get_or_insert_default().entry(profile).or_default().clone()
        };
        let build = || Self::build(profile, &liveroot, &bsdtar).map(Arc::new).map_err(|error| format!("{error:#}"));
        image.get_or_init(build).clone().map(Some).map_err(|error| anyhow!(error))
    }

    fn build(profile: &str, liveroot: &Path, bsdtar: &Tool) -> Result<Self> {
        let dir = root().join("target/test-images");
        let (iso, files) = (dir.join(profile).with_extension("iso"), dir.join(profile));
        fs::create_dir_all(&dir)?;
        let mut build = Command::new(liveroot);
        build.current_dir(root()).args(["build", &format!("tests/profiles/{profile}.toml"), "--fetch", "-o"]).arg(&iso);
        succeed(&mut build)?;
        if files.exists() {
            fs::remove_dir_all(&files)?;
        }
        fs::create_dir(&files)?;
        succeed(bsdtar.command().arg("-xf").arg(&iso).arg("-C").arg(&files))?;
        Ok(Self { iso, files, vmlinux: OnceLock::new() })
    }

    /// A file of the medium.
    pub fn file(&self, path: &str) -> Result<PathBuf> {
        let file = self.files.join(path);
        ensure!(file.exists(), "{} has no {path}", self.iso.display());
        Ok(file)
    }

    /// Where they all are.
    pub fn files(&self) -> &Path {
        &self.files
    }

    /// The same without the kernel's own decompressor: under TCG that is at
    /// /init in a third of the time.
    pub fn vmlinux(&self, cmdline: &str) -> Result<Kernel> {
        let made = self.vmlinux.get_or_init(|| {
            let dir = self.files.with_extension("vmlinux");
            let make = || {
                fs::create_dir_all(&dir)?;
                vmlinux::extract(&self.file("boot/vmlinuz")?, &dir)
            };
            make().map_err(|error: anyhow::Error| format!("{error:#}"))
        });
        let vmlinuz = made.clone().map_err(|error| anyhow!(error))?;
        Ok(Kernel { vmlinuz, ..self.kernel(cmdline)? })
    }

    /// The image's own kernel and initramfs, for QEMU to load directly. To a kernel, a
    /// host that is busy looks like a timer that is broken, and that is a panic.
    pub fn kernel(&self, cmdline: &str) -> Result<Kernel> {
        let initramfs = Some(self.file("boot/initramfs.img")?);
        Ok(Kernel { vmlinuz: self.file("boot/vmlinuz")?, initramfs, cmdline: format!("no_timer_check {cmdline}") })
    }
}

/// Runs it to its end and wants success; its words are in the error.
pub fn succeed(command: &mut Command) -> Result<Output> {
    let name = format!("{command:?}");
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {name}"))?;
    ensure!(
        output.status.success(),
        "{name} ended with {}:\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output)
}
