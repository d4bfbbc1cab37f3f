//! Records of an extended header (POSIX.1-2017, pax, "pax Extended Header").
//!
//! The tar crate ends a record at a newline, but a value may hold one (a
//! capability does, by chance): the length that each record begins with counts.

use std::str;

/// What the records of one header change about the entry they precede.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    /// Seconds and nanoseconds.
    pub(super) mtime: Option<(i64, i64)>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) sparse: bool,
}

impl Pax {
    /// Adds the records, later ones winning; `None` when they are not records.
    pub(super) fn read(&mut self, mut records: &[u8]) -> Option<()> {
        while !records.is_empty() {
            let blank = records.iter().position(|&b| b == b' ')?;
            let len: usize = str::from_utf8(&records[..blank]).ok()?.parse().ok()?;
            let record = records.get(blank + 1..len)?.strip_suffix(b"\n")?;
            let equals = record.iter().position(|&b| b == b'=')?;
            self.record(&record[..equals], &record[equals + 1..])?;
            records = &records[len..];
        }
        Some(())
    }

    fn record(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        // An empty value takes the record back.
        let bytes = || (!value.is_empty()).then(|| value.to_vec());
        let number = || match value {
            [] => Some(None),
            digits => str::from_utf8(digits).ok()?.parse().ok().map(Some),
        };
        match key {
            b"path" => self.path = bytes(),
            b"linkpath" => self.link = bytes(),
            b"size" => self.size = number()?,
            b"uid" => self.uid = number()?,
            b"gid" => self.gid = number()?,
            b"mtime" if value.is_empty() => self.mtime = None,
            b"mtime" => self.mtime = Some(time(value)?),
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.xattrs.retain(|(other, _)| other != name);
                    self.xattrs.push((name.to_vec(), value.to_vec()));
                }
                self.sparse |= key.starts_with(b"GNU.sparse.");
            }
        }
        Some(())
    }
}

/// `[-]seconds[.fraction]`, rounded down to a nanosecond.
fn time(value: &[u8]) -> Option<(i64, i64)> {
    let text = str::from_utf8(value).ok()?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let negative = seconds.starts_with('-');
    let seconds: i64 = seconds.parse().ok()?;
    let mut nanos = 0;
    for place in 0..9 {
        let digit = match fraction.as_bytes().get(place) {
            None => 0,
            Some(digit @ b'0'..=b'9') => i64::from(digit - b'0'),
            Some(_) => return None,
        };
        nanos = nanos * 10 + digit;
    }
    match (negative, nanos) {
        (true, 1..) => Some((seconds.checked_sub(1)?, 1_000_000_000 - nanos)),
        _ => Some((seconds, nanos)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_by_their_length() {
        let mut pax = Pax::default();
        assert_eq!(pax.read(b"12 path=a/b\n25 SCHILY.xattr.u=a\nb\0c\n9 size=7\n"), None);
        assert_eq!(pax.read(b"12 path=a/b\n25 SCHILY.xattr.u=a\nb\0cd\n9 size=7\n11 path=cc\n"), Some(()));
        let xattrs = vec![(b"u".to_vec(), b"a\nb\0cd".to_vec())];
        assert_eq!(pax, Pax { path: Some(b"cc".to_vec()), size: Some(7), xattrs, ..Pax::default() });
        assert_eq!(pax.read(b"8 path=\n"), Some(()));
        assert_eq!(pax.path, None);
    }

    #[test]
    fn what_is_no_record_is_refused() {
        let rows: [&[u8]; 11] = [
            b"x",
            b"0 path=a\n",
            b"3 \n",
            b"1 path=a\n",
            b"99 path=a\n",
            b"18446744073709551615 path=a\n",
            b"99999999999999999999 path=a\n",
            b"-9 path=a\n",
            b"9 size=x\n",
            b"10 size=-1\n",
            b"9 path=ab",
        ];
        for row in rows {
            assert_eq!(Pax::default().read(row), None, "{}", row.escape_ascii());
        }
    }

    #[test]
    fn times_round_down() {
        let rows: [(&str, Option<(i64, i64)>); 8] = [
            ("0", Some((0, 0))),
            ("12.5", Some((12, 500_000_000))),
            ("12.0000000019", Some((12, 1))),
            ("-1.5", Some((-2, 500_000_000))),
            ("-0.25", Some((-1, 750_000_000))),
            ("-3", Some((-3, 0))),
            ("1.x", None),
            ("", None),
        ];
        for (text, expected) in rows {
            assert_eq!(time(text.as_bytes()), expected, "{text}");
        }
    }
}
