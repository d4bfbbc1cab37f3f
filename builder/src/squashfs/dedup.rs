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
    known: HashMap<(u64, u64), Vec<Known<'a, P>>>,
}

struct Known<'a, P> {
    piece: Piece<'a>,
    place: P,
    /// Of the whole piece, once somebody asked: many files that differ in
    /// their last byte alone must not each be read against all others.
    print: Option<u64>,
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
    pub(super) fn find(&mut self, mark: Mark, piece: Piece<'_>) -> io::Result<Option<P>> {
        let Some(candidates) = self.known.get_mut(&(mark.len, mark.print)) else { return Ok(None) };
        let print = whole_print(piece)?;
        for known in candidates {
            let known_print = match known.print {
                Some(print) => print,
                None => *known.print.insert(whole_print(known.piece)?),
            };
            if known_print == print && slice(known.piece)?.is_same(&slice(piece)?)? {
                return Ok(Some(known.place));
            }
        }
        Ok(None)
    }

    /// [`Placed::find`] for a piece that is in memory.
    pub(super) fn find_bytes(&self, mark: Mark, bytes: &[u8]) -> io::Result<Option<P>> {
        for known in self.known.get(&(mark.len, mark.print)).map_or(&[][..], Vec::as_slice) {
            if known.piece.content.open_at()?.read(known.piece.offset, known.piece.len)? == bytes {
                return Ok(Some(known.place));
            }
        }
        Ok(None)
    }

    pub(super) fn add(&mut self, mark: Mark, piece: Piece<'a>, place: P) {
        self.known.entry((mark.len, mark.print)).or_default().push(Known { piece, place, print: None });
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    len: u64,
    print: u64,
}

/// Fast, and no defence against made-up collisions: those cost time only.
pub(super) fn fingerprint(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let print = words.iter().fold(bytes.len() as u64, |print, word| mix(print, u64::from_le_bytes(*word)));
    rest.iter().fold(print, |print, byte| mix(print, u64::from(*byte)))
}

fn mix(print: u64, word: u64) -> u64 {
    // Odd, and its bits look random: the golden ratio's.
    (print.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn slice(piece: Piece<'_>) -> io::Result<Content> {
    piece.content.slice(piece.offset, piece.len).ok_or(io::ErrorKind::UnexpectedEof.into())
}

fn whole_print(piece: Piece<'_>) -> io::Result<u64> {
    const STEP: usize = 64 << 10;
    let mut reader = slice(piece)?.reader()?;
    let mut buffer = vec![0; STEP];
    let (mut print, mut left) = (0, piece.len);
    while left > 0 {
        let step = left.min(STEP as u64) as usize;
        reader.read_exact(&mut buffer[..step])?;
        print = mix(print, fingerprint(&buffer[..step]));
        left -= step as u64;
    }
    Ok(print)
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
