//! `liveroot inspect`

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use builder::look::{inspect, ls, treemap};
use builder::opened::locate;
use builder::publish::Draft;
use clap::Args;
use init::contract::medium;

use super::{show, show_json};

#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// The image, or a place in one: x.iso, x.iso/live/root.squashfs, x.iso:esp
    #[arg(value_name = "IMAGE")]
    image: OsString,
    /// List every entry
    #[arg(long, short, conflicts_with = "json")]
    list: bool,
    /// In JSON
    #[arg(long)]
    json: bool,
    /// Draw what the bytes of an initramfs are there for
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

impl Inspect {
    pub(super) fn run(&self) -> Result<()> {
        let location = locate(&self.image)?.into_image()?;
        let report = inspect::report(&location)?;
        if let Some(file) = &self.svg {
            let image = &location.image().name;
            ensure!(
                !report.reasons.is_empty(),
                "{image}: a picture is drawn of an initramfs; on a medium of ours it is {image}{}",
                Path::new("/").join(medium::INITRAMFS).display()
            );
            let mut draft = Draft::create(file)?;
            draft.file().write_all(treemap::svg(&self.image.to_string_lossy(), &report.reasons).as_bytes())?;
            draft.publish()?;
        }
        if self.json {
            return show_json(&report);
        }
        let mut text = report.to_string();
        if self.list {
            text.extend(ls::lines(&location, true)?.iter().map(|line| format!("{line}\n")));
        }
        show(&text)
    }
}
