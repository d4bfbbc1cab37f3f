//! What is to stand on the disk: the image, with its partition table made to
//! fit, and zeros where something old must not be found again.

use std::io;
use std::ops::Range;

use tree::ContentAt;

use super::gpt::{SECTOR, Span, Table};

/// Bytes in place of the image's, or behind them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Patch {
    pub(super) at: u64,
    pub(super) bytes: Vec<u8>,
}

/// So much is cleared where a file system, a RAID or a table may have its mark.
const MARKS: u64 = 1 << 20;

#[derive(Debug)]
pub(super) struct Contents {
    image: ContentAt,
    image_len: u64,
    patches: Vec<Patch>,
    /// In the order in which they are to be written: the first is written as
    /// zeros before, so that an interrupted run leaves nothing that boots.
    ranges: Vec<Range<u64>>,
}

impl Contents {
    /// `table` is the image's, and `persist` a partition in it.
    pub(super) fn new(
        image: ContentAt,
        image_len: u64,
        disk_len: u64,
        table: Option<&Table>,
        persist: Option<Span>,
    ) -> Self {
        let end = image_len.next_multiple_of(SECTOR);
        let head = MARKS.min(end);
        let tail = disk_len.saturating_sub(MARKS).max(end)..disk_len;
        let persist = persist.map(|span| span.start..(span.start + MARKS).min(tail.start));
        let ranges = [Some(head..end), persist, Some(tail), Some(0..head)];
        Self {
            image,
            image_len,
            patches: table.map(|table| table.patches(disk_len)).unwrap_or_default(),
            ranges: ranges.into_iter().flatten().filter(|range| !range.is_empty()).collect(),
        }
    }

    pub(super) fn ranges(&self) -> &[Range<u64>] {
        &self.ranges
    }

    /// Bytes to be written.
    pub(super) fn len(&self) -> u64 {
        self.ranges.iter().map(|range| range.end - range.start).sum()
    }

    /// Fills the buffer with what is to stand at `at`.
    pub(super) fn read(&self, at: u64, buffer: &mut [u8]) -> io::Result<()> {
        let from_image = self.image_len.saturating_sub(at).min(buffer.len() as u64);
        let (image, rest) = buffer.split_at_mut(from_image as usize);
        if !image.is_empty() {
            image.copy_from_slice(&self.image.read(at, from_image)?);
        }
        rest.fill(0);
        for Patch { at: start, bytes } in &self.patches {
            let from = at.max(*start);
            let to = (at + buffer.len() as u64).min(start + bytes.len() as u64);
            if from < to {
                let patch = &bytes[(from - start) as usize..(to - start) as usize];
                buffer[(from - at) as usize..(to - at) as usize].copy_from_slice(patch);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tree::Content;

    const MIB: u64 = 1 << 20;

    fn contents(image: Vec<u8>, disk_len: u64, persist: Option<Span>) -> Contents {
        let len = image.len() as u64;
        Contents::new(Content::from(image).open_at().unwrap(), len, disk_len, None, persist)
    }

    #[test]
    fn the_head_comes_last_and_old_marks_are_covered() {
        let persist = Span { start: 4 * MIB, end: 9 * MIB };
        let whole = contents(vec![1; 3 * MIB as usize + 1], 10 * MIB, Some(persist));
        assert_eq!(
            whole.ranges(),
            [MIB..3 * MIB + 512, 4 * MIB..5 * MIB, 9 * MIB..10 * MIB, 0..MIB],
            "the image ends with a whole sector"
        );
        assert_eq!(whole.len(), 5 * MIB + 512);
        assert_eq!(contents(vec![1; 2048], 2048, None).ranges(), std::slice::from_ref(&(0..2048)));
    }

    #[test]
    fn patches_lie_over_the_image_and_zeros_behind_it() {
        let mut contents = contents(vec![1; 10], 2048, None);
        contents.patches = vec![Patch { at: 3, bytes: vec![2; 4] }, Patch { at: 12, bytes: vec![3; 2] }];
        let mut buffer = [9; 8];
        contents.read(0, &mut buffer).unwrap();
        assert_eq!(buffer, [1, 1, 1, 2, 2, 2, 2, 1]);
        contents.read(5, &mut buffer).unwrap();
        assert_eq!(buffer, [2, 2, 1, 1, 1, 0, 0, 3]);
        contents.read(13, &mut buffer).unwrap();
        assert_eq!(buffer, [3, 0, 0, 0, 0, 0, 0, 0]);
    }
}
