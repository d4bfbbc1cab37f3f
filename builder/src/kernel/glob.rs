//! Globs of modaliases, as fnmatch(3) without flags reads them.

/// A `*` is only ever tried again from the last one passed, which is enough
/// because an earlier one could take nothing a later one cannot: the cost is
/// at most the product of both lengths, whatever the glob.
pub(crate) fn matches(glob: &str, text: &str) -> bool {
    let (mut glob, mut text) = (glob.as_bytes(), text.as_bytes());
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        if let [b'*', rest @ ..] = glob {
            retry = Some((rest, text));
            glob = rest;
            continue;
        }
        match (text.split_first(), step(glob)) {
            (None, _) => return glob.is_empty(),
            (Some((&byte, after)), Some((one, rest))) if one.takes(byte) => (glob, text) = (rest, after),
            _ => {
                let Some((rest, [_, after @ ..])) = retry else { return false };
                retry = Some((rest, after));
                (glob, text) = (rest, after);
            }
        }
    }
}

/// What one byte of the text has to be.
enum One<'a> {
    Any,
    Byte(u8),
    Set { members: &'a [u8], negated: bool },
}

impl One<'_> {
    fn takes(&self, byte: u8) -> bool {
        match *self {
            Self::Any => true,
            Self::Byte(wanted) => wanted == byte,
            Self::Set { mut members, negated } => {
                let mut found = false;
                loop {
                    match members {
                        [] => return found != negated,
                        [low, b'-', high, rest @ ..] => {
                            found |= (*low..=*high).contains(&byte);
                            members = rest;
                        }
                        [one, rest @ ..] => {
                            found |= *one == byte;
                            members = rest;
                        }
                    }
                }
            }
        }
    }
}

/// The first element of a glob that does not begin with `*`, and the rest.
fn step(glob: &[u8]) -> Option<(One<'_>, &[u8])> {
    match glob {
        [] => None,
        [b'?', rest @ ..] => Some((One::Any, rest)),
        [b'[', rest @ ..] => Some(set(rest).unwrap_or((One::Byte(b'['), rest))),
        [b'\\', byte, rest @ ..] | [byte, rest @ ..] => Some((One::Byte(*byte), rest)),
    }
}

/// What follows a `[`; `None` when it is never closed and so stands for itself.
fn set(glob: &[u8]) -> Option<(One<'_>, &[u8])> {
    let (negated, body) = match glob {
        [b'!' | b'^', rest @ ..] => (true, rest),
        _ => (false, glob),
    };
    // A `]` in the first place is a member.
    let end = 1 + body.get(1..)?.iter().position(|&b| b == b']')?;
    Some((One::Set { members: &body[..end], negated }, &body[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_as_fnmatch_does() {
        let usb = "usb:v0781p5567d0100dc00dsc00dp00ic08isc06ip50in00";
        let rows = [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("**", "abc", true),
            ("?", "", false),
            ("a?c", "abc", true),
            ("a*c", "abcbc", true),
            ("a*c", "abcb", false),
            ("*a*b*c", "xxaxxbxxbc", true),
            ("[abc]", "b", true),
            ("[!abc]", "b", false),
            ("[^abc]", "d", true),
            ("[a-cx-z]", "y", true),
            ("[a-cx-z]", "d", false),
            ("[]a]", "]", true),
            ("[!]a]", "]", false),
            ("[a-]", "-", true),
            ("[z-a]", "m", false),
            ("[a", "[a", true),
            ("[", "[", true),
            ("[]", "[]", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("a\\", "a\\", true),
            ("pci:v*d0000[0-4]*", "pci:v00008086d00005234sv", false),
            ("pci:v*d0000[0-4]*", "pci:v00008086d00003234sv", true),
            ("pci:v*d0000[0-4]*", "pci:v00008086d00000234sv", true),
            ("usb:v*p*d*dc*dsc*dp*ic08isc06ip50in*", usb, true),
            ("usb:v*p*d*dc*dsc*dp*ic08isc06ip62in*", usb, false),
            ("acpi*:PNP0A0[38]:*", "acpi:PNP0A03:", true),
            ("a/b*", "a/b/c", true),
            ("*.x", ".x", true),
        ];
        for (glob, text, expected) in rows {
            assert_eq!(matches(glob, text), expected, "{glob} against {text}");
        }
    }

    #[test]
    fn many_stars_end_soon() {
        assert!(!matches(&"*a".repeat(1_000), &"a".repeat(999)));
        assert!(!matches(&format!("{}b", "a*".repeat(200)), &"a".repeat(1_000)));
    }
}
