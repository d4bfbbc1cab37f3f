//! A layout as bytes, appended in order: the output may be a pipe.

use std::io::{self, Write};

use tree::TreePath;

use crate::Layout;
use crate::boot_image::EspBody;
use crate::format::{APPLICATION_USE, SECTOR, SYSTEM_AREA_SECTORS, put};
use crate::layout::Piece;
use crate::media_sum::MediaSum;
use crate::sink::{self, CopyError, Sink};

#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("cannot write the image")]
    Output(#[source] io::Error),
    #[error("cannot read {path} for the image")]
    Content { path: TreePath, source: io::Error },
    #[error("cannot read the ESP for the image")]
    Esp(#[source] io::Error),
}

impl Layout<'_> {
    /// Appends the whole image to `out`; `progress` is told from time to time
    /// how many bytes have been written.
    pub fn write(&self, out: &mut dyn Write, progress: &mut dyn FnMut(u64)) -> Result<(), WriteError> {
        let mut media_sum = None;
        if self.media_sum {
            // The sum stands before what it is the sum of.
            let mut hasher = MediaSum::new(self.len());
            sink::write(&mut hasher, &mut |_| {}, |sink| self.append(sink, None))?;
            media_sum = Some(hasher.finish());
        }
        sink::write(out, progress, |sink| self.append(sink, media_sum.as_deref()))
    }

    fn append(&self, sink: &mut Sink, media_sum: Option<&str>) -> Result<(), WriteError> {
        for placed in &self.pieces {
            sink.zeros_to(u64::from(placed.extent.lba) * SECTOR as u64).map_err(WriteError::Output)?;
            let start = sink.position();
            match &placed.piece {
                Piece::Bytes(bytes) => sink.bytes(bytes).map_err(WriteError::Output)?,
                Piece::PrimaryDescriptor(bytes) => {
                    let mut bytes = bytes.clone();
                    if let (Some(sum), SYSTEM_AREA_SECTORS) = (media_sum, placed.extent.lba) {
                        put(&mut bytes, APPLICATION_USE.start, sum.as_bytes());
                    }
                    sink.bytes(&bytes).map_err(WriteError::Output)?;
                }
                Piece::Directory { volume, directory } => {
                    sink.bytes(&self.render_directory(*volume, *directory)).map_err(WriteError::Output)?;
                }
                Piece::File { path, content } => sink.content(content).map_err(|e| e.reading(path))?,
                Piece::BootImage { path, content, patch } => {
                    let reading = |source| WriteError::Content { path: (*path).clone(), source };
                    let mut image = content.read_all(content.len()).map_err(reading)?;
                    patch.apply(&mut image, placed.extent.lba, SYSTEM_AREA_SECTORS);
                    sink.bytes(&image).map_err(WriteError::Output)?;
                }
                Piece::Appended(EspBody::Fat(layout)) => layout.append(sink)?,
                Piece::Appended(EspBody::Content(content)) => sink.content(content).map_err(|e| match e {
                    CopyError::Reading(source) => WriteError::Esp(source),
                    CopyError::Writing(source) => WriteError::Output(source),
                })?,
            }
            assert_eq!(sink.position() - start, placed.extent.len, "{placed:?} has the length it was planned with");
        }
        sink.zeros_to(self.len()).map_err(WriteError::Output)
    }
}
