//! `liveroot ls`

use std::ffi::OsString;

use anyhow::Result;
use builder::look::ls;
use builder::opened::locate;
use clap::Args;

use super::{show, show_json};

#[derive(Debug, Args)]
pub(super) struct Ls {
    /// A place in an image: x.iso:/boot, x.iso/live/root.squashfs:/etc, x.iso:esp:/EFI
    #[arg(value_name = "PLACE")]
    place: OsString,
    /// Type, mode, owner, date and size
    #[arg(long, short)]
    long: bool,
    /// All that stands below it
    #[arg(long, short = 'R')]
    recursive: bool,
    /// In JSON
    #[arg(long)]
    json: bool,
}

impl Ls {
    pub(super) fn run(&self) -> Result<()> {
        let location = locate(&self.place)?;
        let lines = ls::lines(&location, self.recursive)?;
        if self.json {
            return show_json(&lines.iter().map(ls::Entry::from).collect::<Vec<_>>());
        }
        let mut text = String::new();
        for line in &lines {
            let line = if self.long { line.to_string() } else { ls::name(line, &location.path, self.recursive) };
            text += &(line + "\n");
        }
        show(&text)
    }
}
