//! `liveroot diff`

use std::ffi::OsString;

use anyhow::Result;
use builder::look::diff;
use builder::opened::locate;
use clap::Args;

use super::{show, show_json};

#[derive(Debug, Args)]
pub(super) struct Diff {
    /// An image, or a directory in one
    #[arg(value_name = "OLD")]
    old: OsString,
    #[arg(value_name = "NEW")]
    new: OsString,
    /// In JSON
    #[arg(long)]
    json: bool,
}

/// Not the 1 that says that something differs.
#[derive(Debug, thiserror::Error)]
#[error("the images cannot be compared")]
pub(super) struct Trouble;

impl Diff {
    /// As diff(1) leaves: 0 if nothing differs, 1 if something does, 2 for trouble.
    pub(super) fn run(&self) -> Result<u8> {
        let report = diff::diff(&locate(&self.old)?.into_image()?, &locate(&self.new)?.into_image()?)?;
        if self.json {
            show_json(&report.json())?;
        } else {
            show(&report.to_string())?;
        }
        Ok(u8::from(!report.is_empty()))
    }
}
