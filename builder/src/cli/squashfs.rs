//! `liveroot squashfs`: a folder or a tar as a squashfs.

use std::path::PathBuf;

use anyhow::{Context, Result};
use builder::packed::{self, Request};
use builder::progress::Progress;
use builder::squashfs::{BlockSize, Compression, Options};
use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct Squashfs {
    /// A folder, or a tar file (plain, gzip, xz or zstd)
    #[arg(value_name = "SOURCE")]
    source: PathBuf,
    /// The image
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// none, gzip[:1-9], xz[:0-9][,x86…][,dict=SIZE], lz4[:hc] or zstd[:1-22]
    #[arg(long, value_name = "CODEC", default_value = "zstd:15")]
    compress: Compression,
    /// How much is packed at a time: 4K to 1M
    #[arg(long, value_name = "SIZE", default_value = "128K")]
    block: BlockSize,
    /// Store the files of this list first, one path a line: those that a boot reads
    #[arg(long, value_name = "LIST")]
    sort: Option<PathBuf>,
    /// Leave out what matches, such as `boot/*`; may be repeated
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// Put the ends of long files into fragments too
    #[arg(long)]
    pack_tails: bool,
    /// How many threads pack [default: one a processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
}

impl Squashfs {
    pub(crate) fn run(self, progress: &Progress) -> Result<()> {
        let defaults = Options::new(self.compress);
        let jobs = self.jobs.map_or(defaults.jobs, usize::from);
        let options = Options { block_size: self.block, tail_packing: self.pack_tails, jobs, ..defaults };
        let (source, exclude, sort) = (self.source, self.exclude, self.sort);
        let request = Request { source, exclude, sort, options, epoch: super::epoch()? };
        packed::build(request, &self.output, progress).with_context(|| self.output.display().to_string())?;
        Ok(())
    }
}
