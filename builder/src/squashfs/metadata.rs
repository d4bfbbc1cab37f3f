//! Metadata blocks: 8 KiB of a table at a time, each behind its length.

use std::io;

use super::codecs::Encoder;
use super::format::{METADATA_LEN, METADATA_RAW, Position};

/// A table that grows by records and tells where each of them starts.
pub(super) struct MetadataWriter {
    encoder: Encoder,
    packed: Box<[u8]>,
    pending: Vec<u8>,
    out: Vec<u8>,
}

impl MetadataWriter {
    pub(super) fn new(encoder: Encoder) -> Self {
        let packed = vec![0; METADATA_LEN].into();
        Self { encoder, packed, pending: Vec::with_capacity(METADATA_LEN), out: Vec::new() }
    }

    /// Where the next record will start. Blocks are addressed with 32 bits.
    pub(super) fn position(&self) -> io::Result<Position> {
        let block = u32::try_from(self.out.len()).map_err(|_| io::Error::other("a table of more than 4 GiB"))?;
        Ok(Position { block, offset: self.pending.len() as u16 })
    }

    pub(super) fn write(&mut self, mut record: &[u8]) -> io::Result<()> {
        while !record.is_empty() {
            let fits = record.len().min(METADATA_LEN - self.pending.len());
            self.pending.extend_from_slice(&record[..fits]);
            record = &record[fits..];
            if self.pending.len() == METADATA_LEN {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let packed = self.encoder.encode(&self.pending, &mut self.packed[..self.pending.len()])?;
        let (header, body) = match packed {
            Some(len) => (len as u16, &self.packed[..len]),
            None => (self.pending.len() as u16 | METADATA_RAW, &self.pending[..]),
        };
        self.out.extend(header.to_le_bytes());
        self.out.extend_from_slice(body);
        self.pending.clear();
        Ok(())
    }

    /// The table's bytes.
    pub(super) fn finish(mut self) -> io::Result<Vec<u8>> {
        if !self.pending.is_empty() {
            self.flush()?;
        }
        Ok(self.out)
    }
}

/// A table whose records are found by their number: metadata blocks, and after
/// them where each block starts. `at` is where the table will stand.
pub(super) struct Lookup {
    pub(super) bytes: Vec<u8>,
    /// Where the list of starts is: what the superblock names.
    pub(super) start: u64,
}

/// `records` are all of one size, which divides a metadata block.
pub(super) fn lookup(records: &[u8], at: u64, encoder: Encoder) -> io::Result<Lookup> {
    let mut writer = MetadataWriter::new(encoder);
    let mut starts = Vec::new();
    for block in records.chunks(METADATA_LEN) {
        starts.push(at + u64::from(writer.position()?.block));
        writer.write(block)?;
    }
    let mut bytes = writer.finish()?;
    let start = at + bytes.len() as u64;
    bytes.extend(starts.into_iter().flat_map(u64::to_le_bytes));
    Ok(Lookup { bytes, start })
}
