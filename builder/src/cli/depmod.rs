//! `liveroot depmod`: what depmod(8) does, for any tree.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use builder::elf::HostSysroot;
use builder::kernel::depmod::{self, Config, Indexes};
use builder::progress::Progress;
use builder::publish::Draft;
use clap::Args;
use tree::TreePath;

#[derive(Debug, Args)]
pub(crate) struct Depmod {
    /// The kernel's release, or a folder with its modules [default: the one release there is]
    #[arg(value_name = "RELEASE|FOLDER")]
    kernel: Option<PathBuf>,
    /// The root that has lib/modules
    #[arg(long, short, value_name = "FOLDER", default_value = "/")]
    basedir: PathBuf,
    /// Files or folders as depmod.d(5) has them, instead of the root's own; may be repeated
    #[arg(long, short = 'C', value_name = "PATH")]
    config: Vec<PathBuf>,
    /// Print the text indexes and write nothing
    #[arg(long, short = 'n')]
    dry_run: bool,
}

impl Depmod {
    pub(crate) fn run(&self, progress: &Progress) -> Result<()> {
        let (root, dir) = self.place()?;
        let sysroot = HostSysroot::new(&root);
        let release = String::from_utf8_lossy(dir.name()).into_owned();
        let config = match self.config[..] {
            [] => Config::load(&sysroot, &release)?,
            _ => configured(&self.config, &release)?,
        };
        let indexes = depmod::index(&sysroot, &dir, &config)?;
        for warning in &indexes.warnings {
            progress.note(&format!("warning: {warning}"));
        }
        if self.dry_run {
            return super::show(&String::from_utf8_lossy(&printed(&indexes)));
        }
        let folder = root.join(dir.to_string().trim_start_matches('/'));
        for (name, bytes) in &indexes.files {
            let mut draft = Draft::create(&folder.join(name))?;
            draft.file().write_all(bytes).with_context(|| folder.join(name).display().to_string())?;
            draft.publish()?;
        }
        progress.note(&format!("{}: {} modules", folder.display(), indexes.kmods));
        Ok(())
    }

    /// The root, and the modules' directory in it.
    fn place(&self) -> Result<(PathBuf, TreePath)> {
        if let Some(folder) = self.kernel.as_ref().filter(|kernel| kernel.as_os_str().to_string_lossy().contains('/')) {
            let absolute = folder.canonicalize().with_context(|| folder.display().to_string())?;
            return Ok(("/".into(), TreePath::new(absolute.as_os_str().as_encoded_bytes())?));
        }
        let found = MODULES.iter().find(|dir| self.basedir.join(dir).is_dir());
        let Some(modules) = found else { bail!("{}: there is no lib/modules in it", self.basedir.display()) };
        let release = match &self.kernel {
            Some(release) => release.clone(),
            None => only_entry(&self.basedir.join(modules))?,
        };
        Ok((self.basedir.clone(), TreePath::new(modules)?.join(release.as_os_str().as_encoded_bytes())?))
    }
}

/// On a merged /usr the latter is a symlink's other side, and never an absolute one.
const MODULES: [&str; 2] = ["usr/lib/modules", "lib/modules"];

fn only_entry(modules: &Path) -> Result<PathBuf> {
    let mut releases = Vec::new();
    for entry in std::fs::read_dir(modules).with_context(|| modules.display().to_string())? {
        releases.push(PathBuf::from(entry?.file_name()));
    }
    releases.sort();
    match &releases[..] {
        [release] => Ok(release.clone()),
        [] => bail!("{}: there are no modules of any kernel", modules.display()),
        several => {
            let names: Vec<_> = several.iter().map(|name| name.display().to_string()).collect();
            bail!("{}: name one of {}", modules.display(), names.join(", "))
        }
    }
}

fn configured(paths: &[PathBuf], release: &str) -> Result<Config> {
    let mut files: Vec<PathBuf> = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let mut listed = Vec::new();
        for entry in std::fs::read_dir(path).with_context(|| path.display().to_string())? {
            listed.push(entry?.path());
        }
        files.extend(listed.into_iter().filter(|file| file.extension().is_some_and(|ending| ending == "conf")));
    }
    files.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
    files.dedup_by(|a, b| a.file_name() == b.file_name());
    let read = |file: &PathBuf| std::fs::read_to_string(file).with_context(|| file.display().to_string());
    let texts = files.iter().map(read).collect::<Result<Vec<_>>>()?;
    let named: Vec<_> =
        files.iter().zip(&texts).map(|(file, text)| (file.display().to_string(), text.as_str())).collect();
    Ok(Config::parse(&named, release))
}

/// The `.bin` files say the same, and are not for reading.
fn printed(indexes: &Indexes) -> Vec<u8> {
    let text = indexes.files.iter().filter(|(name, _)| name.strip_suffix(".bin").is_none());
    text.flat_map(|(_, bytes)| bytes.iter().copied()).collect()
}
