//! A listing's text, written and read.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::{Line, Listing, What};
use crate::{Escaped, TreePath, unescape};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("listing line {line}: {problem}")]
pub struct ListingError {
    pub line: usize,
    pub problem: String,
}

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, what, mode, uid, gid, mtime, links, link, xattrs } = self;
        write!(f, "{} {mode:04o} {uid}:{gid} {mtime} {path}{what}", what.letter())?;
        if *links != 1 {
            write!(f, " links={links}")?;
        }
        if let Some(first) = link {
            write!(f, " link={first}")?;
        }
        for (name, value) in xattrs {
            write!(f, " xattr={}:{}", Escaped(name), Hex(value))?;
        }
        Ok(())
    }
}

impl What {
    pub(super) fn letter(&self) -> char {
        match self {
            Self::Dir => 'd',
            Self::File { .. } => 'f',
            Self::Symlink(_) => 'l',
            Self::CharDevice { .. } => 'c',
            Self::BlockDevice { .. } => 'b',
            Self::Fifo => 'p',
            Self::Socket => 's',
        }
    }
}

/// The fields that the kind brings, each with a blank before it.
impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dir | Self::Fifo | Self::Socket => Ok(()),
            Self::File { size, sha256: None } => write!(f, " size={size}"),
            Self::File { size, sha256: Some(digest) } => write!(f, " size={size} sha256={}", Hex(digest)),
            Self::Symlink(target) => write!(f, " to={}", Escaped(target)),
            Self::CharDevice { major, minor } | Self::BlockDevice { major, minor } => {
                write!(f, " dev={major}:{minor}")
            }
        }
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Reads what a [`Listing`] prints. Empty lines and such that begin with `#`
/// are passed over.
pub fn parse(text: &str) -> Result<Listing, ListingError> {
    let mut lines = Vec::new();
    for (n, line) in text.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        lines.push(parse_line(line).map_err(|problem| ListingError { line: n + 1, problem })?);
    }
    Ok(Listing { lines })
}

fn parse_line(line: &str) -> Result<Line, String> {
    let mut words = line.split(' ');
    let mut word = |what: &str| words.next().ok_or_else(|| format!("ends before its {what}"));
    let (letter, mode, owner) = (word("type")?, word("mode")?, word("owner")?);
    let (mtime, path) = (number(word("time")?)?, parse_path(word("path")?)?);
    let mode = u32::from_str_radix(mode, 8).ok().filter(|mode| *mode <= 0o7777);
    let mode = mode.ok_or("the mode is not up to four octal digits")?;
    let (uid, gid) = pair(owner)?;
    let mut fields = Fields::default();
    for field in words {
        let (key, value) = field.split_once('=').ok_or_else(|| format!("`{field}` is no key=value"))?;
        if key == "xattr" {
            // Hexadecimal has no colon, a name may.
            let (name, value) = value.rsplit_once(':').ok_or("an xattr has no value")?;
            fields.xattrs.insert(unescaped(name)?, unhex(value)?);
        } else if fields.plain.insert(key, value).is_some() {
            return Err(format!("`{key}` stands there twice"));
        }
    }
    let what = match letter {
        "d" => What::Dir,
        "f" => {
            let sha256 = fields
                .take("sha256")
                .map(|digest| unhex(digest)?.try_into().map_err(|_| "a SHA-256 has 64 hexadecimal digits".to_owned()));
            What::File { size: number(fields.need("size")?)?, sha256: sha256.transpose()? }
        }
        "l" => What::Symlink(unescaped(fields.need("to")?)?),
        "c" | "b" => {
            let (major, minor) = pair(fields.need("dev")?)?;
            if letter == "c" { What::CharDevice { major, minor } } else { What::BlockDevice { major, minor } }
        }
        "p" => What::Fifo,
        "s" => What::Socket,
        _ => return Err(format!("`{letter}` is no type (d f l c b p s)")),
    };
    let links = fields.take("links").map_or(Ok(1), number)?;
    let link = fields.take("link").map(parse_path).transpose()?;
    if let Some((key, _)) = fields.plain.first_key_value() {
        return Err(format!("`{key}` does not belong to an entry of type {letter}"));
    }
    Ok(Line { path, what, mode, uid, gid, mtime, links, link, xattrs: fields.xattrs })
}

#[derive(Default)]
struct Fields<'a> {
    plain: BTreeMap<&'a str, &'a str>,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl<'a> Fields<'a> {
    fn take(&mut self, key: &str) -> Option<&'a str> {
        self.plain.remove(key)
    }

    fn need(&mut self, key: &str) -> Result<&'a str, String> {
        self.take(key).ok_or_else(|| format!("`{key}=` is missing"))
    }
}

fn number<T: FromStr>(word: &str) -> Result<T, String> {
    word.parse().map_err(|_| format!("`{word}` is not a number that fits"))
}

fn pair(word: &str) -> Result<(u32, u32), String> {
    let (a, b) = word.split_once(':').ok_or_else(|| format!("`{word}` is not two numbers with a colon"))?;
    Ok((number(a)?, number(b)?))
}

fn parse_path(word: &str) -> Result<TreePath, String> {
    TreePath::new(unescaped(word)?).map_err(|e| e.to_string())
}

fn unescaped(word: &str) -> Result<Vec<u8>, String> {
    unescape(word).ok_or_else(|| format!("`{word}` has a broken escape"))
}

fn unhex(word: &str) -> Result<Vec<u8>, String> {
    let broken = || format!("`{word}` is not hexadecimal");
    let digit = |d: u8| char::from(d).to_digit(16).ok_or_else(broken);
    if !word.len().is_multiple_of(2) {
        return Err(broken());
    }
    word.as_bytes().chunks(2).map(|pair| Ok((digit(pair[0])? * 16 + digit(pair[1])?) as u8)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
d 0755 0:0 0 /
f 0644 1000:100 1700000000 /bin/sh size=7 links=2
f 0644 1000:100 1700000000 /bin/toy\\x20box size=7 links=2 link=/bin/sh
c 0600 0:5 -1 /dev/console dev=5:1
b 0660 0:6 0 /dev/sda dev=8:0
l 0777 0:0 0 /lib to=usr/lib
p 0600 0:0 0 /pipe
f 4755 0:0 0 /ping size=0 \
sha256=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 xattr=user.a:b:00ff xattr=user.e:
s 0600 0:0 0 /socket
";

    #[test]
    fn what_is_parsed_prints_the_same() {
        let listing = parse(TEXT).unwrap();
        assert_eq!(listing.to_string(), TEXT);
        assert_eq!(listing.lines[7].xattrs[&b"user.a:b"[..]], [0, 255]);
        assert_eq!(parse(&format!("# comment\n\n{TEXT}")).unwrap(), listing);
    }

    #[test]
    fn a_broken_line_is_named_with_what_is_wrong() {
        for (line, problem) in [
            ("f 0644 0:0 0", "ends before its path"),
            ("x 0644 0:0 0 /a", "`x` is no type (d f l c b p s)"),
            ("f 0644 0:0 0 /a", "`size=` is missing"),
            ("f 0944 0:0 0 /a size=1", "the mode is not up to four octal digits"),
            ("f 0644 0:0 0 /a/../b size=1", "path `/a/../b` climbs out of the tree with `..`"),
            ("f 0644 0:0 0 /a size=1 size=2", "`size` stands there twice"),
            ("d 0755 0:0 0 /a size=1", "`size` does not belong to an entry of type d"),
            ("f 0644 0:0 0 /a size=-1", "`-1` is not a number that fits"),
            ("f 0644 0:0 0 /a size=1 sha256=00", "a SHA-256 has 64 hexadecimal digits"),
            ("c 0644 0:0 0 /a dev=5", "`5` is not two numbers with a colon"),
            ("d 0755 0:0 0 /a xattr=user.a:0", "`0` is not hexadecimal"),
            ("d 0755 0:0 0 /a\\x4", "`/a\\x4` has a broken escape"),
            ("d 0755 0:0 0 /a extra", "`extra` is no key=value"),
        ] {
            let error = parse(&format!("d 0755 0:0 0 /\n{line}\n")).unwrap_err();
            assert_eq!(error, ListingError { line: 2, problem: problem.into() }, "{line}");
        }
    }
}
