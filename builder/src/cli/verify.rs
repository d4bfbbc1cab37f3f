//! `liveroot verify`

use std::ffi::OsString;

use anyhow::Result;
use builder::look::verify;
use builder::opened::locate;
use clap::Args;

use super::{show, show_json};

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// Any image, or one in an image
    #[arg(value_name = "IMAGE")]
    image: OsString,
    /// In JSON
    #[arg(long)]
    json: bool,
}

impl Verify {
    /// 1 for an image that has a fault.
    pub(super) fn run(&self) -> Result<u8> {
        let report = verify::verify(locate(&self.image)?.into_image()?.image())?;
        if self.json {
            show_json(&report)?;
        } else {
            show(&report.to_string())?;
        }
        Ok(u8::from(!report.sound))
    }
}
