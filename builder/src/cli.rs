//! The command line: flags live here and nowhere else.

mod boot;
mod cache;
mod depmod;
mod deps;
mod squashfs;
mod write;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};

use builder::plan::{DEFAULT_EPOCH, Plan, Request};
use builder::profile::{Problems, Profile};
use builder::progress::{self, Progress};
use builder::source::{self, Cache};
use builder::{How, builtin, listed, manual};

mod cat;
mod diff;
mod explain;
mod extract;
mod inspect;
mod ls;
mod verify;

#[derive(Debug, Parser)]
#[command(
    name = "liveroot",
    version,
    about = "Builds live Linux images: initramfs, root and bootable ISO, from one profile, without root"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    verb: Verb,
    /// Say nothing but errors
    #[arg(long, short, global = true)]
    quiet: bool,
}

/// When the table last changed: a page made twice is the same page.
const MANUAL_DATE: &str = "2026-11-21";

#[derive(Debug, Subcommand)]
enum Verb {
    /// Build the image
    Build {
        #[command(flatten)]
        asked: Asked,
        /// The image [default: NAME.iso]
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Pack every block of the root, also those that are in the cache, and keep none
        #[arg(long)]
        repack: bool,
        /// Read the packed root back, and compare it with what went in
        #[arg(long)]
        verify: bool,
    },
    /// Print the resolved plan, before any work
    Plan {
        #[command(flatten)]
        asked: Asked,
    },
    /// Build the initramfs alone, from a profile, a folder or a gen_init_cpio list
    Initramfs {
        #[command(flatten)]
        asked: Asked,
        /// The archive [default: NAME.img]
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
        /// The codec for a folder or a list; a profile says its own
        #[arg(long, value_name = "CODEC", default_value = "zstd:19")]
        compress: String,
        /// Write the archive as a gen_init_cpio list too, with its files in LIST.files
        #[arg(long, value_name = "LIST")]
        as_list: Option<PathBuf>,
    },
    /// Fetch what a profile needs from the distribution, with its own tools
    Fetch {
        #[command(flatten)]
        asked: Asked,
    },
    /// Show what an image is and holds
    Inspect(inspect::Inspect),
    /// List what stands in an image
    Ls(ls::Ls),
    /// Print files that stand in images
    Cat(cat::Cat),
    /// Take files out of an image
    Extract(extract::Extract),
    /// Tell where a file of an image came from, and what needs it
    Explain(explain::Explain),
    /// Check that an image is whole, and say what firmware will do with it
    Verify(verify::Verify),
    /// Compare two images by what is in them
    Diff(diff::Diff),
    /// Print the manual page of /init and its boot parameters, for man(1)
    Man {
        /// The table of parameters, as it stands in docs/parameters.md
        #[arg(long)]
        markdown: bool,
    },
    /// Try an image in a virtual machine (QEMU)
    Boot(boot::Boot),
    /// Put an image on a USB stick, and check that it is there
    Write(write::Write),
    /// Print a profile that is built in, to start from
    Profile {
        /// Without a name, the names
        name: Option<String>,
    },
    /// Write the indexes that modprobe and udev need beside a kernel's modules
    Depmod(depmod::Depmod),
    /// Show which libraries programs need, without running them
    Deps(deps::Deps),
    /// Pack a folder or a tar as a squashfs, and nothing else
    Squashfs(squashfs::Squashfs),
    /// Show and trim the cache of packed blocks, and tell what it lacks
    Cache(cache::Cache),
}

/// What every verb that reads a profile takes.
#[derive(Debug, Args)]
struct Asked {
    /// A file, or the name of a profile that is built in
    #[arg(value_name = "PROFILE")]
    profile: PathBuf,
    /// Fetch what is missing, with the system's own apt-get and mmdebstrap
    #[arg(long)]
    fetch: bool,
    /// Add to the end of every boot entry's command line
    #[arg(long, value_name = "TEXT", default_value = "", allow_hyphen_values = true)]
    append: String,
    /// Where fetched files are kept [default: $LIVEROOT_CACHE, or liveroot in the user's cache folder]
    #[arg(long, value_name = "FOLDER")]
    cache: Option<PathBuf>,
}

impl Cli {
    /// The exit code of a verb that went well.
    pub(crate) fn run(self) -> Result<u8> {
        let progress = Progress::for_stderr(self.quiet);
        match self.verb {
            Verb::Depmod(depmod) => depmod.run(&progress)?,
            Verb::Deps(deps) => deps.run()?,
            Verb::Squashfs(squashfs) => squashfs.run(&progress)?,
            Verb::Cache(cache) => cache.run(&progress)?,
            Verb::Build { asked, output, repack, verify } => {
                let plan = asked.plan()?;
                let cache = asked.cache(&plan, &progress)?;
                let output = output.unwrap_or_else(|| format!("{}.iso", plan.name).into());
                let built = builder::build(&plan, &cache, How { repack, verify }, &output, &progress)?;
                let (len, boot_id) = (progress::bytes(built.len), built.boot_id);
                progress.note(&format!("{}: {len}, boot-id {boot_id}", output.display()));
            }
            Verb::Plan { asked } => show(&asked.plan()?.to_string())?,
            Verb::Initramfs { asked, output, compress, as_list } => {
                let (len, output) = asked.initramfs(output, &compress, &progress)?;
                as_list.map(|list| listed::write_list(&output, &list)).transpose()?;
                progress.note(&format!("{}: {}", output.display(), progress::bytes(len)));
            }
            Verb::Fetch { asked } => {
                let asked = Asked { fetch: true, ..asked };
                asked.cache(&asked.plan()?, &progress)?;
            }
            Verb::Inspect(inspect) => inspect.run()?,
            Verb::Ls(ls) => ls.run()?,
            Verb::Cat(cat) => cat.run()?,
            Verb::Extract(extract) => extract.run(&progress)?,
            Verb::Explain(explain) => explain.run()?,
            Verb::Verify(verify) => return verify.run(),
            Verb::Diff(diff) => return diff.run().context(diff::Trouble),
            Verb::Man { markdown: true } => show(&manual::markdown())?,
            Verb::Man { markdown: false } => show(&manual::page(MANUAL_DATE))?,
            Verb::Boot(boot) => boot.run(&progress)?,
            Verb::Write(write) => write.run(&progress)?,
            Verb::Profile { name: None } => show(&(builtin::profile_names().join("\n") + "\n"))?,
            Verb::Profile { name: Some(name) } => {
                let known = builtin::profile_names().join(", ");
                show(builtin::profile(&name).with_context(|| format!("no profile {name}; built in are: {known}"))?)?;
            }
        }
        Ok(0)
    }
}

/// A reader who has seen enough, as `head` has, is no error.
fn show(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

fn show_json(value: &impl serde::Serialize) -> Result<()> {
    show(&(serde_json::to_string_pretty(value)? + "\n"))
}

impl Asked {
    fn plan(&self) -> Result<Plan> {
        let profile = self.load_profile()?;
        Ok(Plan::resolve(&profile, &self.request()?)?)
    }

    /// A file wins over what is built in; only a bare word can name the latter.
    fn load_profile(&self) -> Result<Profile> {
        let name = self.profile.to_str().filter(|name| !name.contains(['/', '.']));
        match name.and_then(builtin::profile) {
            Some(text) if !self.profile.is_file() => {
                // No folder's name: what is built in must not depend on where it is built.
                let file = Path::new("<built-in>").join(format!("{}.toml", self.profile.display()));
                Ok(Profile::parse(&file, text, |path| {
                    std::fs::read_to_string(path)
                        .map_err(|source| builder::profile::LoadError::Read { path: path.into(), source })
                })?)
            }
            _ if self.profile.exists() => Ok(Profile::load(&self.profile)?),
            _ => bail!(
                "{}: no such file, nor a profile that is built in ({})",
                self.profile.display(),
                builtin::profile_names().join(", ")
            ),
        }
    }

    fn request(&self) -> Result<Request> {
        Ok(Request { append: self.append.clone(), epoch: epoch()? })
    }

    /// The cache, filled first if that was asked for.
    fn cache(&self, plan: &Plan, progress: &Progress) -> Result<Cache> {
        let cache = self.cache.as_ref().map_or_else(Cache::from_env, Cache::new);
        if self.fetch {
            source::fetch::fetch(&source::missing(plan, &cache), &cache, progress)?;
        }
        Ok(cache)
    }

    fn initramfs(&self, output: Option<PathBuf>, compress: &str, progress: &Progress) -> Result<(u64, PathBuf)> {
        let from_profile = self.profile.extension().is_some_and(|ending| ending == "toml") || !self.profile.exists();
        if from_profile {
            let plan = self.plan()?.without_loader();
            let output = output.unwrap_or_else(|| format!("{}.img", plan.name).into());
            let cache = self.cache(&plan, progress)?;
            return Ok((builder::build_initramfs(&plan, &cache, &output, progress)?, output));
        }
        let output = output.unwrap_or_else(|| self.profile.with_extension("img"));
        let epoch = self.request()?.epoch.unwrap_or(DEFAULT_EPOCH);
        Ok((listed::build(&self.profile, compress.parse()?, epoch, &output)?, output))
    }
}

/// SOURCE_DATE_EPOCH, where it is set.
fn epoch() -> Result<Option<i64>> {
    let Ok(text) = std::env::var("SOURCE_DATE_EPOCH") else { return Ok(None) };
    let seconds = text.trim().parse().ok().filter(|seconds| (0..=i64::from(u32::MAX)).contains(seconds));
    Ok(Some(seconds.with_context(|| format!("SOURCE_DATE_EPOCH={text}: not seconds from 1970 to 2106"))?))
}

/// 2 for a profile that is wrong and for what `diff` cannot compare, 1 for everything else; clap's own errors
/// leave with 2 as well.
pub(crate) fn exit_code(error: &anyhow::Error) -> u8 {
    use builder::profile::LoadError;
    use builder::source::SourceError;
    use builder::stage::StageError;
    let wrong = error.chain().any(|cause| {
        cause.is::<Problems>()
            || cause.downcast_ref::<LoadError>().is_some()
            || matches!(cause.downcast_ref::<SourceError>(), Some(SourceError::Bad { .. }))
            || cause.is::<StageError>()
    });
    if wrong || error.is::<diff::Trouble>() { 2 } else { 1 }
}
