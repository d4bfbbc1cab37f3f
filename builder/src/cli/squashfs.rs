//! `liveroot squashfs`: a folder or a tar as a squashfs.

use std::path::PathBuf;

use anyhow::{Context, Result};
use builder::packed::{self, Request};
use builder::progress::Progress;
use builder::source::Cache;
use builder::squashfs::{BlockSize, CacheAt, Compression, Options, cache};
use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct Squashfs {
    #[command(flatten)]
    packing: Packing,
    /// The image
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Pack every block, also those that are in the cache, and keep none
    #[arg(long)]
    repack: bool,
    /// Read the image back before it gets its name, and compare it with SOURCE
    #[arg(long)]
    verify: bool,
}

/// What decides on an image's blocks.
#[derive(Debug, Args)]
pub(crate) struct Packing {
    /// A folder, or a tar file (plain, gzip, xz or zstd); `-` is a tar on standard input
    #[arg(value_name = "SOURCE")]
    source: PathBuf,
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
    /// Where packed blocks are kept, in `blocks` [default: $LIVEROOT_CACHE, or liveroot in the user's cache folder]
    #[arg(long, value_name = "FOLDER")]
    cache: Option<PathBuf>,
}

impl Packing {
    pub(crate) fn request(self) -> Result<Request> {
        let defaults = Options::new(self.compress);
        let jobs = self.jobs.map_or(defaults.jobs, usize::from);
        let cache = Some(CacheAt { dir: blocks(self.cache), max: cache::DEFAULT_MAX });
        let options = Options { block_size: self.block, tail_packing: self.pack_tails, jobs, cache, ..defaults };
        let (source, exclude, sort) = (self.source, self.exclude, self.sort);
        Ok(Request { source, exclude, sort, options, epoch: super::epoch()?, verify: false })
    }
}

/// The cache of packed blocks in the cache that was named, or the user's.
pub(crate) fn blocks(cache: Option<PathBuf>) -> PathBuf {
    cache.map_or_else(Cache::from_env, Cache::new).blocks()
}

impl Squashfs {
    pub(crate) fn run(self, progress: &Progress) -> Result<()> {
        let mut request = self.packing.request()?;
        request.verify = self.verify;
        if self.repack {
            request.options.cache = None;
        }
        packed::build(request, &self.output, progress).with_context(|| self.output.display().to_string())?;
        Ok(())
    }
}
