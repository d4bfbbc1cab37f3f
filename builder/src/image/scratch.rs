//! Nameless files for what is encoded before the image is laid out.

use std::fs::File;
use std::io::{BufWriter, Seek, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use tree::Content;

use crate::compress::{self, Codec, Decoder};

pub(super) fn encode(
    scratch: &Path,
    codec: Codec,
    decoder: Decoder,
    len: u64,
    fill: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<File> {
    let mut encoder = codec.encoder(decoder, compress::threads(), len, BufWriter::new(scratch_file(scratch)?))?;
    fill(&mut encoder)?;
    encoder
        .finish()?
        .into_inner()
        .map_err(std::io::IntoInnerError::into_error)
        .context("a scratch file cannot be written")
}

pub(super) fn spanned(mut file: File, name: &str) -> Result<Content> {
    file.rewind()?;
    let len = file.metadata()?.len();
    Ok(Content::span(Arc::new(file), name, 0, len))
}

pub(super) fn scratch_file(dir: &Path) -> Result<File> {
    tempfile::tempfile_in(dir).with_context(|| format!("{}: a scratch file cannot be made there", dir.display()))
}
