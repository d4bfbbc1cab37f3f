//! Console output as a reader sees it.

/// Without escape sequences (ECMA-48 5.4: `ESC [ … final`, and two-byte ones),
/// carriage returns, and the bytes that only move a cursor.
pub fn strip(raw: &[u8]) -> String {
    let mut text = Vec::with_capacity(raw.len());
    let mut bytes = raw.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            0x1b if bytes.next() == Some(b'[') => {
                for byte in bytes.by_ref() {
                    if (0x40..=0x7e).contains(&byte) {
                        break;
                    }
                }
            }
            0x1b | b'\r' | 0x07 | 0x08 | 0 => {}
            _ => text.push(byte),
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_cursor_moves_and_bells_go_and_text_stays() {
        for (raw, seen) in [
            (&b"\x1b[1;31mred\x1b[0m\r\n"[..], "red\n"),
            (b"\x1bcclear\x07", "clear"),
            (b"\x1b[2J\x1b[01;01Ha[b]c", "a[b]c"),
            (b"cut \x1b[1;3", "cut "),
            ("Grüße".as_bytes(), "Grüße"),
        ] {
            assert_eq!(strip(raw), seen);
        }
    }
}
