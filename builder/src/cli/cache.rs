//! `liveroot cache`: the blocks that were packed before.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use builder::packed;
use builder::progress::{Progress, bytes};
use builder::squashfs::cache::{self, Kept, Trimmed};
use clap::{Args, Subcommand};

use super::squashfs::{Packing, blocks};

#[derive(Debug, Args)]
pub(crate) struct Cache {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List what is kept: codec, block size and encoder, blocks, room on the disk, when last used
    Ls(At),
    /// Remove what was not used for longest, until the rest fits
    Gc {
        #[command(flatten)]
        at: At,
        /// What may stay, such as 512MiB; 0 removes all [default: 4GiB, as after each build]
        #[arg(long, value_name = "SIZE", value_parser = max)]
        max: Option<u64>,
    },
    /// Tell which files of a folder or a tar would be packed anew
    Why {
        #[command(flatten)]
        packing: Packing,
    },
}

#[derive(Debug, Args)]
struct At {
    /// Where the cache is [default: $LIVEROOT_CACHE, or liveroot in the user's cache folder]
    #[arg(long, value_name = "FOLDER")]
    cache: Option<PathBuf>,
}

fn max(text: &str) -> Result<u64, String> {
    match text {
        "0" => Ok(0),
        _ => builder::plan::parse_size(text).ok_or_else(|| "a size as 512MiB or 4GiB, or 0".into()),
    }
}

impl Cache {
    pub(crate) fn run(self, progress: &Progress) -> Result<()> {
        match self.verb {
            Verb::Ls(at) => {
                let home = blocks(at.cache);
                super::show(&listed(&cache::list(&home).with_context(|| named(&home))?))
            }
            Verb::Gc { at, max } => {
                let home = blocks(at.cache);
                let trimmed = cache::trim(&home, max.unwrap_or(cache::DEFAULT_MAX)).with_context(|| named(&home))?;
                let Some(Trimmed { blocks, bytes: freed, left }) = trimmed else {
                    bail!("{}: another build is trimming it: try again in a moment", named(&home));
                };
                super::show(&format!("{blocks} blocks removed, {} freed, {} left\n", bytes(freed), bytes(left)))
            }
            Verb::Why { packing } => {
                let request = packing.request()?;
                let (home, codec) = (request.options.cache.clone(), request.options.compression);
                let Some(missing) = packed::missing(request, progress)? else {
                    return super::show(&format!("{codec} packs as fast as a cache is read: nothing is kept of it\n"));
                };
                let others = home.map(|at| cache::list(&at.dir)).transpose()?.unwrap_or_default();
                super::show(&missing.to_string())?;
                if missing.blocks == missing.of && !others.is_empty() {
                    let kept: Vec<&str> = others.iter().map(|kept| kept.name.as_str()).collect();
                    super::show(&format!("what is kept was packed in another way: {}\n", kept.join(", ")))?;
                }
                Ok(())
            }
        }
    }
}

fn named(home: &Path) -> String {
    home.display().to_string()
}

fn listed(kept: &[Kept]) -> String {
    let mut text = String::new();
    for Kept { name, blocks, bytes: room, last_used } in kept {
        let days = SystemTime::now().duration_since(*last_used).unwrap_or_default().as_secs() / 86_400;
        let used = if days == 0 { "today".into() } else { format!("{days} days ago") };
        let _ = writeln!(text, "{name:32} {blocks:>8} blocks {:>12}  {used}", bytes(*room));
    }
    let _ = writeln!(text, "{} in all", bytes(kept.iter().map(|kept| kept.bytes).sum()));
    text
}
