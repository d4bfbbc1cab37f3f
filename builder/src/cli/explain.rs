//! `liveroot explain`

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use anyhow::Result;
use builder::look::explain;
use builder::opened::{Location, follow, locate};
use clap::Args;
use tree::TreePath;

use super::{show, show_json};

#[derive(Debug, Args)]
pub(super) struct Explain {
    /// An image that liveroot built: x.iso, x.iso/live/root.squashfs, x.iso/boot/initramfs.img
    #[arg(value_name = "IMAGE")]
    image: OsString,
    /// Paths in it; one may also stand behind the image and a colon
    #[arg(value_name = "PATH")]
    paths: Vec<OsString>,
    /// In JSON; several paths make a list
    #[arg(long)]
    json: bool,
}

impl Explain {
    pub(super) fn run(&self) -> Result<()> {
        let (location, paths) = self.places()?;
        let explained = explain::explain(&location, &paths)?;
        match &*explained {
            [one] if self.json => show_json(one),
            several if self.json => show_json(&several),
            several => show(&several.iter().map(ToString::to_string).collect::<String>()),
        }
    }

    fn places(&self) -> Result<(Location, Vec<TreePath>)> {
        let [first, ..] = &*self.paths else {
            let location = locate(&self.image)?;
            let path = location.path.clone();
            return Ok((location, vec![path]));
        };
        // The first may lead through further images; the others stand where it does.
        let mut place = self.image.clone();
        place.push(":");
        place.push(first);
        let location = locate(&place)?;
        let rest = self.paths[1..].iter().map(|path| follow(&location.image().opened.tree, path.as_bytes(), false));
        let paths = [Ok(location.path.clone())].into_iter().chain(rest).collect::<Result<_, _>>()?;
        Ok((location, paths))
    }
}
