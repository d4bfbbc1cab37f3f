//! The 512-byte header: POSIX.1-1988 (ustar), and what GNU tar adds to it
//! ("Basic Tar Format" in its manual).

use std::ops::Range;

pub(super) const BLOCK: usize = 512;

const NAME: Range<usize> = 0..100;
const MODE: Range<usize> = 100..108;
const UID: Range<usize> = 108..116;
const GID: Range<usize> = 116..124;
const SIZE: Range<usize> = 124..136;
const MTIME: Range<usize> = 136..148;
const CHECKSUM: Range<usize> = 148..156;
const KIND: usize = 156;
const LINK: Range<usize> = 157..257;
/// `ustar\0` is POSIX's, `ustar ` is GNU's, which uses the prefix otherwise.
const MAGIC: Range<usize> = 257..263;
const MAJOR: Range<usize> = 329..337;
const MINOR: Range<usize> = 337..345;
const PREFIX: Range<usize> = 345..500;

pub(super) struct Header(pub(super) [u8; BLOCK]);

impl Header {
    pub(super) fn is_end(&self) -> bool {
        self.0.iter().all(|b| *b == 0)
    }

    /// The sum counts its own field as blanks. Some old tars added up signed
    /// bytes.
    pub(super) fn sum_is_right(&self) -> bool {
        let (mut unsigned, mut signed) = (0, 0);
        for (n, &b) in self.0.iter().enumerate() {
            let b = if CHECKSUM.contains(&n) { b' ' } else { b };
            unsigned += i64::from(b);
            signed += i64::from(b.cast_signed());
        }
        number(&self.0[CHECKSUM]).is_some_and(|sum| sum == unsigned || sum == signed)
    }

    pub(super) fn kind(&self) -> u8 {
        self.0[KIND]
    }

    pub(super) fn name(&self) -> Vec<u8> {
        let (prefix, name) = (text(&self.0[PREFIX]), text(&self.0[NAME]));
        if &self.0[MAGIC] == b"ustar\0" && !prefix.is_empty() {
            return [prefix, b"/", name].concat();
        }
        name.to_vec()
    }

    pub(super) fn link(&self) -> Vec<u8> {
        text(&self.0[LINK]).to_vec()
    }

    pub(super) fn mode(&self) -> Option<u32> {
        number(&self.0[MODE]).map(|mode| (mode & 0o7777).cast_unsigned() as u32)
    }

    pub(super) fn uid(&self) -> Option<i64> {
        number(&self.0[UID])
    }

    pub(super) fn gid(&self) -> Option<i64> {
        number(&self.0[GID])
    }

    pub(super) fn size(&self) -> Option<u64> {
        number(&self.0[SIZE])?.try_into().ok()
    }

    pub(super) fn mtime(&self) -> Option<i64> {
        number(&self.0[MTIME])
    }

    pub(super) fn device(&self) -> Option<(u32, u32)> {
        let (major, minor) = (number(&self.0[MAJOR])?, number(&self.0[MINOR])?);
        Some((major.try_into().ok()?, minor.try_into().ok()?))
    }
}

fn text(field: &[u8]) -> &[u8] {
    &field[..field.iter().position(|b| *b == 0).unwrap_or(field.len())]
}

/// Octal digits between blanks and NULs, where none at all is zero; or, with
/// the top bit set, GNU's two's complement of base 256.
pub(super) fn number(field: &[u8]) -> Option<i64> {
    let (&first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        // Bit 6 is the sign, bit 7 the mark.
        let start = i128::from((first << 1).cast_signed() >> 1);
        let value = rest.iter().try_fold(start, |sum, b| sum.checked_mul(256).map(|sum| sum + i128::from(*b)))?;
        return value.try_into().ok();
    }
    let pad = |b: &u8| *b == b' ' || *b == 0;
    let start = field.iter().position(|b| !pad(b)).unwrap_or(field.len());
    let digits = &field[start..];
    let digits = &digits[..digits.iter().position(pad).unwrap_or(digits.len())];
    if digits.is_empty() {
        return Some(0);
    }
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    i64::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_are_octal_or_base_256() {
        let base_256 = |first: u8, low: [u8; 4]| [&[first, 0, 0, 0, 0, 0, 0, 0][..], &low].concat();
        for (field, value) in [
            (b"0000644\0".to_vec(), Some(0o644)),
            (b"  644 \0\0".to_vec(), Some(0o644)),
            (b"\0\0\0\0\0\0\0\0".to_vec(), Some(0)),
            (b"77777777777\0".to_vec(), Some(0o77_777_777_777)),
            (b"777777777777".to_vec(), Some(0o777_777_777_777)),
            (b"0009".to_vec(), None),
            (b"-1\0".to_vec(), None),
            (base_256(0x80, [1, 0, 0, 0]), Some(1 << 24)),
            (vec![0xff; 12], Some(-1)),
            ([&[0xff; 11][..], &[0xfe]].concat(), Some(-2)),
            ([&[0x80, 0x7f][..], &[0xff; 10]].concat(), None),
            (vec![], None),
        ] {
            assert_eq!(number(&field), value, "{field:?}");
        }
    }
}
