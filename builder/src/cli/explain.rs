//! `liveroot explain`

use std::ffi::OsString;

use anyhow::Result;
use builder::look::explain;
use builder::opened::locate;
use clap::Args;

use super::{show, show_json};

#[derive(Debug, Args)]
pub(super) struct Explain {
    /// An image that liveroot built: x.iso, x.iso/live/root.squashfs, x.iso/boot/initramfs.img
    #[arg(value_name = "IMAGE")]
    image: OsString,
    /// A path in it; it may also stand behind the image and a colon
    #[arg(value_name = "PATH")]
    path: Option<OsString>,
    /// In JSON
    #[arg(long)]
    json: bool,
}

impl Explain {
    pub(super) fn run(&self) -> Result<()> {
        let mut place = self.image.clone();
        if let Some(path) = &self.path {
            place.push(":");
            place.push(path);
        }
        let explanation = explain::explain(&locate(&place)?)?;
        if self.json {
            return show_json(&explanation);
        }
        show(&explanation.to_string())
    }
}
