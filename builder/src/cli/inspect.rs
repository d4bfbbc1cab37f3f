//! `liveroot inspect`

use std::ffi::OsString;

use anyhow::Result;
use builder::look::{inspect, ls};
use builder::opened::locate;
use clap::Args;

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
}

impl Inspect {
    pub(super) fn run(&self) -> Result<()> {
        let location = locate(&self.image)?.into_image()?;
        let report = inspect::report(&location.image().opened)?;
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
