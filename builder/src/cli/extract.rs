//! `liveroot extract`

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use builder::look::extract;
use builder::opened::{follow, locate};
use builder::progress::{Progress, bytes};
use clap::Args;

#[derive(Debug, Args)]
pub(super) struct Extract {
    /// An image, or a directory or file in one: x.iso, x.iso/live/root.squashfs:, x.iso:/boot/vmlinuz
    #[arg(value_name = "PLACE")]
    place: OsString,
    /// A folder that is new or empty, or the file [default: the place's own name, here]
    #[arg(long, short, value_name = "TARGET")]
    output: Option<PathBuf>,
}

impl Extract {
    pub(super) fn run(&self, progress: &Progress) -> Result<()> {
        let location = locate(&self.place)?;
        let image = location.image();
        let path = follow(&image.opened.tree, location.path.as_bytes(), true)?;
        let output = match &self.output {
            Some(output) => output.clone(),
            None if path.is_root() => bail!("--output names the folder for a whole image"),
            None => OsStr::from_bytes(path.name()).into(),
        };
        let item = image.opened.tree.get(&path).with_context(|| format!("{path}: is not there"))?;
        if let Some(content) = item.content() {
            let len = extract::file(&path, content, &output)?;
            progress.note(&format!("{}: {}", output.display(), bytes(len)));
            return Ok(());
        }
        let made = extract::tree(&image.opened.tree, &path, &output)?;
        let (count, len) = (made.entries, bytes(made.bytes));
        progress.note(&format!("{}: {count} entries, {len}", output.display()));
        for special in &made.special {
            progress.note(&format!("note: {special}: a special file, left out"));
        }
        for (count, what) in [
            (made.without_owner, "are yours now, without set-uid bits: their owners take root to keep"),
            (made.without_xattrs, "have extended attributes, which are left out"),
        ] {
            if count > 0 {
                progress.note(&format!("note: {count} entries {what}"));
            }
        }
        Ok(())
    }
}
