//! Just enough of Rust's lexical rules to tell code, comments and string
//! literals apart: plain, raw and byte strings, characters and lifetimes,
//! nested comments.

/// One string literal: the line it begins on, counted from 1, and its text
/// between the quotes, escapes left as they are.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Literal<'a> {
    pub(super) line: usize,
    pub(super) text: &'a str,
}

pub(super) fn literals(source: &str) -> Vec<Literal<'_>> {
    let strings = pieces(source).into_iter().filter(|piece| piece.kind == Kind::String);
    strings
        .map(|piece| Literal { line: 1 + newlines(&source[..piece.start]), text: &source[piece.start..piece.end] })
        .collect()
}

/// The source with the text of comments and literals gone, its lines kept.
pub(super) fn without_literals(source: &str) -> String {
    let (mut code, mut at) = (String::new(), 0);
    for Piece { start, end, .. } in pieces(source) {
        code.push_str(&source[at..start]);
        code.push_str(&"\n".repeat(newlines(&source[start..end])));
        at = end;
    }
    code + &source[at..]
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    String,
    Comment,
}

/// What is not code, from `start` to `end` without its delimiters.
struct Piece {
    kind: Kind,
    start: usize,
    end: usize,
}

fn pieces(source: &str) -> Vec<Piece> {
    let bytes = source.as_bytes();
    let (mut pieces, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let rest = &source.as_bytes()[at..];
        let (kind, start, end, next) = if rest.starts_with(b"//") {
            let end = find(bytes, at, b"\n").unwrap_or(bytes.len());
            (Kind::Comment, at + 2, end, end)
        } else if rest.starts_with(b"/*") {
            let end = comment_end(bytes, at + 2);
            (Kind::Comment, at + 2, end, end + 2)
        } else if let Some(hashes) = raw_string(bytes, at) {
            let start = at + hashes + 2;
            let close = format!("\"{}", "#".repeat(hashes));
            let end = find(bytes, start, close.as_bytes()).unwrap_or(bytes.len());
            (Kind::String, start, end, end + close.len())
        } else if rest[0] == b'"' {
            let end = string_end(bytes, at + 1);
            (Kind::String, at + 1, end, end + 1)
        } else {
            at += if rest[0] == b'\'' { char_len(rest) } else { 1 };
            continue;
        };
        pieces.push(Piece { kind, start, end });
        at = next;
    }
    pieces
}

fn newlines(text: &str) -> usize {
    text.bytes().filter(|&byte| byte == b'\n').count()
}

fn find(bytes: &[u8], from: usize, what: &[u8]) -> Option<usize> {
    let from = from.min(bytes.len());
    bytes[from..].windows(what.len()).position(|window| window == what).map(|at| from + at)
}

/// The number of `#` where a raw string begins.
fn raw_string(bytes: &[u8], at: usize) -> Option<usize> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let before = at.checked_sub(1).map_or(b' ', |before| bytes[before]);
    // `br"` and `cr"` begin one too; any other letter before makes it a name.
    if bytes[at] != b'r' || word(before) && !matches!(before, b'b' | b'c') {
        return None;
    }
    let hashes = bytes[at + 1..].iter().take_while(|&&byte| byte == b'#').count();
    (bytes.get(at + 1 + hashes) == Some(&b'"')).then_some(hashes)
}

fn string_end(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at.min(bytes.len())
}

fn comment_end(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 1;
    while at < bytes.len() {
        match &bytes[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] if depth == 1 => return at,
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    bytes.len()
}

/// A quote opens a character, as in `'"'`, or names a lifetime.
fn char_len(rest: &[u8]) -> usize {
    match rest {
        [_, b'\\', _, tail @ ..] => 4 + tail.iter().position(|&byte| byte == b'\'').unwrap_or(0),
        [_, _, b'\'', ..] => 3,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> Vec<&str> {
        literals(source).into_iter().map(|literal| literal.text).collect()
    }

    #[test]
    fn strings_are_found_and_comments_are_not_strings() {
        for (source, found) in [
            (r#"f("a", b"b", c"c")"#, &["a", "b", "c"][..]),
            (r##"r"a\" + r#"b"c"# + br"d""##, &[r"a\", r#"b"c"#, "d"]),
            (r#""a\"b" "c\\" 'x' '"' '\'' '\u{7f}' "d""#, &[r#"a\"b"#, r"c\\", "d"]),
            ("// \"a\"\n/* \"b\" /* \"c\" */ \"d\" */ \"e\"", &["e"]),
            ("fn f<'a>(x: &'a str) { \"b\" }", &["b"]),
            ("attr\"x\" \"unclosed", &["x", "unclosed"]),
        ] {
            assert_eq!(texts(source), found, "{source}");
        }
    }

    #[test]
    fn lines_are_counted_and_kept() {
        let source = "a\n\"b\nc\" // d\n\"e\"";
        assert_eq!(literals(source), [Literal { line: 2, text: "b\nc" }, Literal { line: 4, text: "e" }]);
        assert_eq!(without_literals(source), "a\n\"\n\" //\n\"\"");
    }
}
