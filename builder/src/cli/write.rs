//! `liveroot write`

use std::io::{IsTerminal, Write as _, stderr, stdin};
use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use builder::progress::Progress;
use builder::write::{Persist, Prepared, Request};
use clap::Args;

#[derive(Debug, Args)]
pub(super) struct Write {
    #[arg(value_name = "IMAGE")]
    image: PathBuf,
    /// The disk, as /dev/sdb; or a file that stands for one
    #[arg(value_name = "DEVICE")]
    device: PathBuf,
    /// Make a partition behind the image for what is to be kept, as 4GiB or `rest`; it gets no file system here
    #[arg(long, value_name = "SIZE")]
    persist: Option<Persist>,
    /// Write to a disk that cannot be taken out
    #[arg(long)]
    force: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

impl Write {
    pub(super) fn run(self, progress: &Progress) -> Result<()> {
        let Self { image, device: target, persist, force, yes } = self;
        let prepared = Prepared::new(&Request { image, target, persist, force })?;
        // Said even to those who want to hear nothing, if they are asked.
        if yes {
            progress.note(prepared.losses.trim_end());
        } else {
            confirm(&prepared.losses)?;
        }
        let notes = prepared.notes.clone();
        prepared.write(progress)?;
        for note in &notes {
            progress.note(&format!("note: {note}"));
        }
        Ok(())
    }
}

fn confirm(losses: &str) -> Result<()> {
    eprint!("{losses}");
    if !stdin().is_terminal() || !stderr().is_terminal() {
        bail!("all of it would be lost, and there is nobody to ask: --yes if that is meant");
    }
    eprint!("All of it will be lost. Type `yes` to go on: ");
    stderr().flush()?;
    let mut answer = String::new();
    stdin().read_line(&mut answer)?;
    ensure!(answer.trim() == "yes", "nothing was written");
    Ok(())
}
