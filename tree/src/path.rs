//! [`TreePath`]: where an entry stands in a tree.

use std::cmp::Ordering;
use std::fmt;

/// A relative, normalised path made of bytes: no leading, trailing or double
/// `/`, no `.` and no `..` component, no NUL. The empty path is the root.
///
/// The order is by component, so a directory comes right before everything
/// that stands in it, and `a/b` before `a-b`.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct TreePath(Box<[u8]>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    #[error("path `{}` climbs out of the tree with `..`", Escaped(.0))]
    Climbs(Vec<u8>),
    #[error("path `{}` has a NUL byte in it", Escaped(.0))]
    Nul(Vec<u8>),
    #[error("path `{}…` has a component of more than 255 bytes", Escaped(&.0[..64.min(.0.len())]))]
    NameTooLong(Vec<u8>),
}

impl TreePath {
    pub fn root() -> Self {
        Self::default()
    }

    /// Reads a path as users and archives write it: `/etc//x`, `./etc/x` and
    /// `etc/x/` are all `etc/x`. A `..` is refused, never resolved: behind a
    /// symlink it would not mean what it says.
    pub fn new(written: impl AsRef<[u8]>) -> Result<Self, PathError> {
        let written = written.as_ref();
        if written.contains(&0) {
            return Err(PathError::Nul(written.to_vec()));
        }
        let mut out = Vec::with_capacity(written.len());
        for part in written.split(|&b| b == b'/') {
            match part {
                b"" | b"." => {}
                b".." => return Err(PathError::Climbs(written.to_vec())),
                _ if part.len() > 255 => return Err(PathError::NameTooLong(written.to_vec())),
                _ => {
                    if !out.is_empty() {
                        out.push(b'/');
                    }
                    out.extend_from_slice(part);
                }
            }
        }
        Ok(Self(out.into_boxed_slice()))
    }

    pub fn join(&self, written: impl AsRef<[u8]>) -> Result<Self, PathError> {
        let mut joined = self.0.to_vec();
        joined.push(b'/');
        joined.extend_from_slice(written.as_ref());
        Self::new(joined)
    }

    /// [`TreePath::join`] with what is a path already.
    pub(crate) fn below(&self, rest: &Self) -> Self {
        if self.is_root() || rest.is_root() {
            return if rest.is_root() { self.clone() } else { rest.clone() };
        }
        Self([&*self.0, b"/", &*rest.0].concat().into())
    }

    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The last component; empty for the root.
    pub fn name(&self) -> &[u8] {
        match self.0.iter().rposition(|&b| b == b'/') {
            Some(slash) => &self.0[slash + 1..],
            None => &self.0,
        }
    }

    /// `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let end = self.0.iter().rposition(|&b| b == b'/').unwrap_or(0);
        Some(Self(self.0[..end].into()))
    }

    pub fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|&b| b == b'/').filter(|part| !part.is_empty())
    }

    /// How many components: 0 for the root.
    pub fn depth(&self) -> usize {
        self.components().count()
    }

    /// True for `dir` itself and for everything below it.
    pub fn is_within(&self, dir: &Self) -> bool {
        match self.0.strip_prefix(&*dir.0) {
            Some(rest) => dir.is_root() || rest.is_empty() || rest[0] == b'/',
            None => false,
        }
    }

    /// What is left of `self` below `dir`.
    pub fn strip_dir(&self, dir: &Self) -> Option<Self> {
        if !self.is_within(dir) {
            return None;
        }
        let rest = &self.0[dir.0.len()..];
        Some(Self(rest.strip_prefix(b"/").unwrap_or(rest).into()))
    }
}

impl Ord for TreePath {
    fn cmp(&self, other: &Self) -> Ordering {
        // A `/` sorts below every byte that a name can have, which is the
        // order by component without splitting.
        let key = |b: &u8| if *b == b'/' { 0 } else { *b };
        // Neighbours have long beginnings in common, and byte by byte those were
        // two fifths of what reading a large root takes.
        let (mine, _) = self.0.as_chunks::<16>();
        let (theirs, _) = other.0.as_chunks::<16>();
        let same = 16 * mine.iter().zip(theirs).take_while(|(mine, theirs)| mine == theirs).count();
        self.0[same..].iter().map(key).cmp(other.0[same..].iter().map(key))
    }
}

impl PartialOrd for TreePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", Escaped(&self.0))
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Bytes as text that is safe on a terminal and unambiguous in a listing:
/// printable ASCII and valid UTF-8 letters stand for themselves, `\` is `\\`,
/// everything else (blanks and control characters too) is `\xNN`.
#[derive(Debug, Clone, Copy)]
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if c == '\\' {
                    f.write_str("\\\\")?;
                } else if c.is_ascii_graphic() || (!c.is_ascii() && c.is_alphanumeric()) {
                    write!(f, "{c}")?;
                } else {
                    let mut utf8 = [0; 4];
                    for b in c.encode_utf8(&mut utf8).bytes() {
                        write!(f, "\\x{b:02x}")?;
                    }
                }
            }
            for b in chunk.invalid() {
                write!(f, "\\x{b:02x}")?;
            }
        }
        Ok(())
    }
}

/// The bytes behind what [`Escaped`] printed; `None` for a broken escape.
pub fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&b, tail)) = rest.split_first() {
        rest = tail;
        if b != b'\\' {
            out.push(b);
            continue;
        }
        match rest {
            [b'\\', tail @ ..] => {
                out.push(b'\\');
                rest = tail;
            }
            [b'x', hi, lo, tail @ ..] => {
                let digit = |d: u8| char::from(d).to_digit(16);
                out.push((digit(*hi)? * 16 + digit(*lo)?) as u8);
                rest = tail;
            }
            _ => return None,
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(written: &str) -> TreePath {
        TreePath::new(written).unwrap()
    }

    #[test]
    fn normalises_what_users_and_archives_write() {
        for written in ["etc/passwd", "/etc/passwd", "./etc//passwd", "etc/./passwd/"] {
            assert_eq!(path(written).as_bytes(), b"etc/passwd", "{written}");
        }
        for root in ["", "/", ".", "./"] {
            assert!(path(root).is_root(), "{root:?}");
        }
    }

    #[test]
    fn refuses_what_could_leave_the_tree() {
        assert!(matches!(TreePath::new("a/../b"), Err(PathError::Climbs(_))));
        assert!(matches!(TreePath::new("a\0b"), Err(PathError::Nul(_))));
        assert!(matches!(TreePath::new("x".repeat(256)), Err(PathError::NameTooLong(_))));
        assert!(TreePath::new("a..b/...").is_ok());
    }

    #[test]
    fn a_directory_comes_right_before_what_stands_in_it() {
        let mut paths: Vec<_> = ["a-b", "a/b", "a", "b", "", "a/b/c", "a!", "a/b-"].map(path).into();
        paths.sort();
        let order: Vec<_> = paths.iter().map(|p| String::from_utf8_lossy(p.as_bytes()).into_owned()).collect();
        assert_eq!(order, ["", "a", "a/b", "a/b/c", "a/b-", "a!", "a-b", "b"]);
    }

    #[test]
    fn a_long_beginning_in_common_does_not_change_the_order() {
        for len in [1, 14, 15, 16, 17, 31, 32, 33, 64] {
            let start = "x".repeat(len);
            let ends = ["", "/", "/a", "/a/b", "/a-b", "!", "!/a", "-", "a", "b/c"];
            let paths = ends.map(|end| path(format!("{start}{end}").trim_end_matches('/')));
            for (a, b) in paths.iter().flat_map(|a| paths.iter().map(move |b| (a, b))) {
                assert_eq!(a.cmp(b), a.components().cmp(b.components()), "{a} {b}");
            }
        }
    }

    #[test]
    fn parents_names_and_prefixes() {
        assert_eq!(path("a/b/c").parent(), Some(path("a/b")));
        assert_eq!(path("a").parent(), Some(TreePath::root()));
        assert_eq!(TreePath::root().parent(), None);
        assert_eq!(path("a/b").name(), b"b");
        assert!(path("a/b").is_within(&path("a")) && path("a").is_within(&path("a")));
        assert!(!path("ab").is_within(&path("a")));
        assert_eq!(path("a/b/c").strip_dir(&path("a")), Some(path("b/c")));
        for (dir, rest, whole) in [("a", "b/c", "a/b/c"), ("", "b", "b"), ("a", "", "a"), ("", "", "")] {
            assert_eq!(path(dir).below(&path(rest)), path(whole));
        }
    }

    #[test]
    fn escapes_come_back() {
        for bytes in [&b"plain"[..], b"a b\n", b"\\x41", "gr\u{fc}n".as_bytes(), b"\xff\xfe", "\u{202e}".as_bytes()] {
            let text = Escaped(bytes).to_string();
            assert!(!text.contains([' ', '\n', '\u{202e}']), "{text}");
            assert_eq!(unescape(&text).as_deref(), Some(bytes), "{text}");
        }
        assert_eq!(unescape("\\q"), None);
    }
}
