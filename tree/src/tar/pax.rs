//! PAX extended headers (POSIX.1-2001, "pax Extended Header"): records of
//! `LENGTH KEY=VALUE\n`, where the length alone says where a value ends.

use std::collections::BTreeMap;
use std::rc::Rc;

/// The records of one header.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Pax(BTreeMap<Vec<u8>, Vec<u8>>);

impl Pax {
    pub(super) fn parse(mut rest: &[u8]) -> Result<Self, &'static str> {
        let mut records = BTreeMap::new();
        while !rest.is_empty() {
            let (record, after) = split_record(rest).ok_or("a PAX record is malformed")?;
            let equals = record.iter().position(|b| *b == b'=').ok_or("a PAX record has no value")?;
            records.insert(record[..equals].to_vec(), record[equals + 1..].to_vec());
            rest = after;
        }
        Ok(Self(records))
    }

    pub(super) fn update(&mut self, newer: Self) {
        self.0.extend(newer.0);
    }

    pub(super) fn over(self, global: Rc<Self>) -> Records {
        Records { own: self, global }
    }
}

/// The records of one entry's header over those of the global headers before
/// it, which are shared, not copied: there may be megabytes of them.
pub(super) struct Records {
    own: Pax,
    global: Rc<Pax>,
}

impl Records {
    /// An empty value takes back what a global header said.
    pub(super) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let record = self.own.0.get(key).or_else(|| self.global.0.get(key));
        record.map(Vec::as_slice).filter(|value| !value.is_empty())
    }

    /// star's and GNU tar's form first, libarchive's where there is no other.
    /// An xattr is never global.
    pub(super) fn xattrs(&self) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, &'static str> {
        let mut xattrs = BTreeMap::new();
        for (key, value) in &self.own.0 {
            if let Some(name) = key.strip_prefix(b"LIBARCHIVE.xattr.") {
                let broken = "an xattr (LIBARCHIVE.xattr)";
                xattrs.insert(percent_decoded(name).ok_or(broken)?, base64(value).ok_or(broken)?);
            }
        }
        for (key, value) in &self.own.0 {
            if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                xattrs.insert(gnu_unescaped(name), value.clone());
            }
        }
        if let Some(label) = self.get(b"RHT.security.selinux") {
            // The xattr holds its NUL, the record does not.
            xattrs.entry(b"security.selinux".to_vec()).or_insert_with(|| [label, b"\0"].concat());
        }
        Ok(xattrs)
    }
}

/// One record without its length and line feed, and what comes after it.
fn split_record(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let blank = rest.iter().take(20).position(|b| *b == b' ')?;
    let len: usize = std::str::from_utf8(&rest[..blank]).ok()?.parse().ok()?;
    let (record, after) = rest.split_at_checked(len)?;
    Some((record.get(blank + 1..)?.strip_suffix(b"\n")?, after))
}

pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    text.iter().all(u8::is_ascii_digit).then(|| std::str::from_utf8(text).ok()?.parse().ok())?
}

/// Whole seconds, rounded down, of `-1.5` and the like.
pub(super) fn seconds(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let seconds: i64 = whole.parse().ok()?;
    let down = whole.starts_with('-') && fraction.bytes().any(|b| b != b'0');
    seconds.checked_sub(i64::from(down))
}

/// GNU tar escapes exactly `%` and `=` in the names of xattrs.
fn gnu_unescaped(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&b, tail)) = rest.split_first() {
        (out, rest) = match rest {
            [b'%', b'3', b'D', tail @ ..] => ([&out[..], b"="].concat(), tail),
            [b'%', b'2', b'5', tail @ ..] => ([&out[..], b"%"].concat(), tail),
            _ => ([&out[..], &[b]].concat(), tail),
        };
    }
    out
}

fn percent_decoded(name: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&b, tail)) = rest.split_first() {
        rest = tail;
        if b == b'%' {
            let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
            out.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &rest[2..];
        } else {
            out.push(b);
        }
    }
    Some(out)
}

/// libarchive writes it without padding.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut held) = (0u32, 0);
    for b in text.iter().filter(|b| **b != b'=') {
        let six = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(six)) & 0xffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, value: &[u8]) -> Vec<u8> {
        let body = [b" ", key.as_bytes(), b"=", value, b"\n"].concat();
        // The length counts itself.
        let mut len = body.len() + 1;
        while len.to_string().len() + body.len() != len {
            len += 1;
        }
        [len.to_string().as_bytes(), &body].concat()
    }

    #[test]
    fn a_value_ends_where_its_length_says() {
        let forged = b"x\n19 path=etc/shadow\n";
        let text = [record("SCHILY.xattr.user.a", forged), record("path", b"real"), record("uid", b"")].concat();
        let global = Pax::parse(&[record("uid", b"7"), record("gid", b"8")].concat()).unwrap();
        let both = Pax::parse(&text).unwrap().over(Rc::new(global));
        assert_eq!(both.get(b"path"), Some(&b"real"[..]));
        assert_eq!(both.xattrs().unwrap()[&b"user.a"[..]], forged);
        assert_eq!((both.get(b"uid"), both.get(b"gid")), (None, Some(&b"8"[..])));
    }

    #[test]
    fn malformed_records_are_refused() {
        for text in ["9 path=x", "8 path=x\n", "99 path=x\n", "path=x\n", "7 pathx\n", "1 ", "0 \n", "+9 path=x\n1"] {
            assert!(Pax::parse(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn xattr_names_and_values_are_decoded_by_their_forms() {
        let text = [record("LIBARCHIVE.xattr.user.b%3Ac", b"AAEC/w"), record("SCHILY.xattr.user.a%3Db%25%41", b"v")];
        let xattrs = |text: &[u8]| Pax::parse(text).unwrap().over(Rc::default()).xattrs();
        let (xattrs, broken) = (xattrs(&text.concat()).unwrap(), xattrs(&record("LIBARCHIVE.xattr.user.b", b"!")));
        assert_eq!(xattrs[&b"user.b:c"[..]], [0, 1, 2, 255]);
        assert_eq!(xattrs[&b"user.a=b%%41"[..]], b"v");
        assert!(broken.is_err());
    }

    #[test]
    fn times_round_down() {
        for (text, whole) in [("12.9", 12), ("-1.5", -2), ("-1", -1), ("-0.5", -1), ("-3.000", -3), ("0", 0)] {
            assert_eq!(seconds(text.as_bytes()), Some(whole), "{text}");
        }
        assert_eq!((seconds(b"1.x"), seconds(b""), seconds(b"now")), (None, None, None));
    }
}
