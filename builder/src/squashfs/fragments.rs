//! Fragment blocks: small files and ends of files, packed together.

use super::SquashfsError;
use super::blocks::{Buffer, Feed};

/// Where in which fragment block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tail {
    pub(super) fragment: u32,
    pub(super) offset: u32,
}

#[derive(Default)]
pub(super) struct Fragments {
    open: Option<Buffer>,
    /// The number of each fragment's block.
    sent: Vec<usize>,
}

impl Fragments {
    pub(super) fn add(&mut self, feed: &mut Feed, piece: &[u8]) -> Result<Tail, SquashfsError> {
        if let Some(open) = &mut self.open {
            let offset = open.bytes().len() as u32;
            if open.append(piece) {
                return Ok(Tail { fragment: self.sent.len() as u32, offset });
            }
            self.close(feed)?;
        }
        let mut fresh = feed.buffer()?;
        fresh.append(piece);
        self.open = Some(fresh);
        Ok(Tail { fragment: self.sent.len() as u32, offset: 0 })
    }

    pub(super) fn close(&mut self, feed: &mut Feed) -> Result<(), SquashfsError> {
        if let Some(full) = self.open.take() {
            self.sent.push(feed.send(full)?);
        }
        Ok(())
    }

    pub(super) fn finish(mut self, feed: &mut Feed) -> Result<Vec<usize>, SquashfsError> {
        self.close(feed)?;
        Ok(self.sent)
    }
}
