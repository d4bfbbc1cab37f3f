//! What is in the image already is not written again. A fingerprint finds the
//! candidates, and only equal bytes make a duplicate.

use std::collections::HashMap;
use std::io::{self, Read};

use tree::Content;

/// A stretch of a file: all of it, or its end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece<'a> {
    pub(super) content: &'a Content,
    pub(super) offset: u64,
    pub(super) len: u64,
}

/// Pieces that were placed, each with where.
pub(super) struct Placed<'a, P> {
    /// The lengths that more than one piece has: only these are worth a look.
    shared: HashMap<u64, bool>,
    known: HashMap<(u64, u64), Vec<(Piece<'a>, P)>>,
}

impl<'a, P: Copy> Placed<'a, P> {
    /// `lens` are the lengths of all pieces that will be looked for.
    pub(super) fn new(lens: impl Iterator<Item = u64>) -> Self {
        let mut shared = HashMap::new();
        for len in lens {
            shared.entry(len).and_modify(|more| *more = true).or_insert(false);
        }
        shared.retain(|_, more| *more);
        Self { shared, known: HashMap::new() }
    }

    /// The mark to look a piece up by, from its first bytes; `None` if no
    /// other piece is as long.
    pub(super) fn mark(&self, len: u64, head: &[u8]) -> Option<Mark> {
        self.shared.contains_key(&len).then(|| Mark { len, print: fingerprint(head) })
    }

    /// Where a piece of these very bytes was placed.
    pub(super) fn find(&self, mark: Mark, piece: Piece<'_>) -> io::Result<Option<P>> {
        for (placed, place) in self.candidates(mark) {
            if same(*placed, piece)? {
                return Ok(Some(*place));
            }
        }
        Ok(None)
    }

    /// [`Placed::find`] for a piece that is in memory.
    pub(super) fn find_bytes(&self, mark: Mark, bytes: &[u8]) -> io::Result<Option<P>> {
        for (placed, place) in self.candidates(mark) {
            if placed.content.open_at()?.read(placed.offset, placed.len)? == bytes {
                return Ok(Some(*place));
            }
        }
        Ok(None)
    }

    pub(super) fn add(&mut self, mark: Mark, piece: Piece<'a>, place: P) {
        self.known.entry((mark.len, mark.print)).or_default().push((piece, place));
    }

    fn candidates(&self, mark: Mark) -> &[(Piece<'a>, P)] {
        self.known.get(&(mark.len, mark.print)).map_or(&[], Vec::as_slice)
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    len: u64,
    print: u64,
}

/// Fast, and no defence against made-up collisions: those cost time only.
fn fingerprint(bytes: &[u8]) -> u64 {
    // Odd, and its bits look random: the golden ratio's.
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |print: u64, word: u64| (print.rotate_left(23) ^ word).wrapping_mul(FACTOR);
    let (words, rest) = bytes.as_chunks::<8>();
    let print = words.iter().fold(bytes.len() as u64, |print, word| mix(print, u64::from_le_bytes(*word)));
    rest.iter().fold(print, |print, byte| mix(print, u64::from(*byte)))
}

fn same(a: Piece<'_>, b: Piece<'_>) -> io::Result<bool> {
    const STEP: u64 = 64 << 10;
    if a.len != b.len {
        return Ok(false);
    }
    let part = |piece: Piece<'_>| {
        let slice = piece.content.slice(piece.offset, piece.len).ok_or(io::ErrorKind::UnexpectedEof)?;
        slice.reader()
    };
    let (mut a_reader, mut b_reader) = (part(a)?, part(b)?);
    let mut buffers = (vec![0; STEP as usize], vec![0; STEP as usize]);
    let mut left = a.len;
    while left > 0 {
        let step = left.min(STEP) as usize;
        a_reader.read_exact(&mut buffers.0[..step])?;
        b_reader.read_exact(&mut buffers.1[..step])?;
        if buffers.0[..step] != buffers.1[..step] {
            return Ok(false);
        }
        left -= step as u64;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_equal_bytes_make_a_duplicate() {
        // One head, so one fingerprint, and different ends.
        let contents: Vec<Content> =
            [1_u8, 2, 1].iter().map(|end| [vec![7; 200_000], vec![*end]].concat().into()).collect();
        let piece = |n: usize| Piece { content: &contents[n], offset: 0, len: 200_001 };
        let mut placed = Placed::new([200_001, 200_001, 200_001, 5].into_iter());
        assert!(placed.mark(5, b"alone").is_none(), "nothing else is as long");
        let mark = placed.mark(200_001, &[7; 100]).unwrap();
        placed.add(mark, piece(0), "first");
        assert_eq!(placed.find(mark, piece(1)).unwrap(), None);
        placed.add(mark, piece(1), "second");
        assert_eq!(placed.find(mark, piece(2)).unwrap(), Some("first"));
        let bytes = contents[1].read_all(1 << 20).unwrap();
        assert_eq!(placed.find_bytes(mark, &bytes).unwrap(), Some("second"));
    }
}
