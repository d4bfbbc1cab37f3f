//! The medium's manifest: which build it is, which mode it boots in, and the
//! images or packages in order, each with its size and digest.
//!
//! ```text
//! liveroot-manifest 1.0
//! boot-id 3f0a…            32 hexadecimal digits
//! name aurora
//! mode overlay
//! part root.squashfs size=1048576 unpacked=4194304 sha256=… required
//! digest …                 SHA-256 of all bytes before this line
//! ```
//!
//! A part is a layer (overlay) or a package (ram); its path is relative to the
//! directory that the manifest stands in. Words after `sha256=` are flags:
//! `required` or `optional`, and `privileged` where set-uid files and device
//! nodes are allowed. Unknown lines and flags belong to later minor versions
//! and are skipped.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::contract::{BootId, FormatError, Mode, check_header, hex};

const NAME: &str = "liveroot-manifest";
const MAJOR: u32 = 1;
/// More than any real manifest needs; what is larger is not one.
pub const MAX_LEN: usize = 1 << 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    pub boot_id: BootId,
    pub name: String,
    pub mode: Mode,
    /// Bottom layer or first package first.
    pub parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Relative, normalised, without blanks; held by [`Manifest::parse`].
    pub path: String,
    /// Bytes on the medium.
    pub size: u64,
    /// Bytes of all its files once unpacked: the budget, and the cap.
    pub unpacked: u64,
    pub sha256: [u8; 32],
    pub required: bool,
    /// Set-uid files, file capabilities and device nodes are allowed in it.
    pub privileged: bool,
}

impl Manifest {
    pub fn print(&self) -> String {
        let mut text = format!("{NAME} {MAJOR}.0\nboot-id {}\nname {}\nmode {}\n", self.boot_id, self.name, self.mode);
        for part in &self.parts {
            let need = if part.required { "required" } else { "optional" };
            let rights = if part.privileged { " privileged" } else { "" };
            let Part { path, size, unpacked, .. } = part;
            let _ = writeln!(
                text,
                "part {path} size={size} unpacked={unpacked} sha256={} {need}{rights}",
                Hex(&part.sha256)
            );
        }
        let digest = Sha256::digest(&text);
        let _ = writeln!(text, "digest {}", Hex(&digest));
        text
    }

    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        let whole = |problem: &str| FormatError { line: 1, problem: problem.into() };
        if bytes.len() > MAX_LEN {
            return Err(whole("it is larger than a manifest can be"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| whole("it is not text"))?;
        check_header(text.lines().next(), NAME, MAJOR)?;
        let body = check_digest(text)?;

        let (mut boot_id, mut name, mut mode, mut parts) = (None, None, None, Vec::new());
        for (n, line) in body.lines().enumerate().skip(1) {
            let bad = |problem: &str| FormatError { line: n + 1, problem: format!("{problem}: `{line}`") };
            let (key, value) = line.split_once(' ').unwrap_or((line, ""));
            match key {
                "boot-id" => boot_id = Some(value.parse().map_err(|()| bad("not 32 hexadecimal digits"))?),
                "name" if value.contains(char::is_control) => return Err(bad("a control character in the name")),
                "name" => name = Some(value.to_owned()),
                "mode" => mode = Some(value.parse().map_err(|()| bad("an unknown mode"))?),
                "part" => parts.push(parse_part(value).ok_or_else(|| bad("not a part"))?),
                _ => {}
            }
        }
        let missing = |key: &str| whole(&format!("it has no line `{key}`"));
        Ok(Self {
            boot_id: boot_id.ok_or_else(|| missing("boot-id"))?,
            name: name.ok_or_else(|| missing("name"))?,
            mode: mode.ok_or_else(|| missing("mode"))?,
            parts,
        })
    }
}

/// The text before the digest line, if that line says what it is.
fn check_digest(text: &str) -> Result<&str, FormatError> {
    let bad = |problem: &str| FormatError { line: text.lines().count(), problem: problem.into() };
    let start = text.trim_end().rfind('\n').map_or(0, |newline| newline + 1);
    let (body, last) = text.split_at(start);
    let mut said = [0; 32];
    last.trim_end()
        .strip_prefix("digest ")
        .and_then(|digits| hex(digits, &mut said))
        .ok_or_else(|| bad("it does not end in its digest: it was cut short"))?;
    if Sha256::digest(body).as_slice() != said {
        return Err(bad("its digest does not match: it was changed or damaged"));
    }
    Ok(body)
}

fn parse_part(value: &str) -> Option<Part> {
    let mut words = value.split(' ');
    let path = words.next()?;
    let normal = !path.is_empty() && path.split('/').all(|name| !matches!(name, "" | "." | ".."));
    // It is printed on consoles: no control characters.
    if !normal || path.contains(char::is_control) {
        return None;
    }
    let (mut size, mut unpacked, mut sha256) = (None, None, None);
    let (mut required, mut privileged) = (true, false);
    for word in words {
        match word.split_once('=') {
            Some(("size", n)) => size = Some(n.parse().ok()?),
            Some(("unpacked", n)) => unpacked = Some(n.parse().ok()?),
            Some(("sha256", digits)) => {
                let mut digest = [0; 32];
                hex(digits, &mut digest)?;
                sha256 = Some(digest);
            }
            None if word == "optional" => required = false,
            None if word == "privileged" => privileged = true,
            _ => {}
        }
    }
    Some(Part { path: path.into(), size: size?, unpacked: unpacked?, sha256: sha256?, required, privileged })
}

/// Bytes as lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy)]
pub struct Hex<'a>(pub &'a [u8]);

impl std::fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Manifest {
        let part = |path: &str, required, privileged| Part {
            path: path.into(),
            size: 12,
            unpacked: 34,
            sha256: [7; 32],
            required,
            privileged,
        };
        Manifest {
            boot_id: BootId::new([9; 16]),
            name: "aurora one".into(),
            mode: Mode::Ram,
            parts: vec![part("packages/base.tar.xz", true, true), part("packages/extra.tar.xz", false, false)],
        }
    }

    #[test]
    fn comes_back_as_it_was() {
        assert_eq!(Manifest::parse(sample().print().as_bytes()), Ok(sample()));
    }

    #[test]
    fn every_cut_and_every_flip_is_noticed() {
        let text = sample().print();
        for cut in 0..text.len() - 1 {
            assert!(Manifest::parse(&text.as_bytes()[..cut]).is_err(), "cut at {cut}");
        }
        for at in 0..text.len() - 1 {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            assert!(Manifest::parse(&bytes).is_err(), "flip at {at}");
        }
    }

    fn signed(body: &str) -> Vec<u8> {
        format!("{body}digest {}\n", Hex(&Sha256::digest(body))).into_bytes()
    }

    #[test]
    fn later_minor_versions_are_read_and_other_majors_are_not() {
        let body = sample().print().replace("-manifest 1.0", "-manifest 1.4").replace("mode ram", "later x\nmode ram");
        let body = &body[..body.rfind("digest").unwrap()];
        assert_eq!(Manifest::parse(&signed(body)), Ok(sample()));
        let error = Manifest::parse(&signed(&body.replace("-manifest 1.4", "-manifest 2.0"))).unwrap_err();
        assert!(error.problem.contains("2.0"), "{error}");
    }

    #[test]
    fn a_part_cannot_climb_out_of_its_directory() {
        for path in ["../x", "/etc/passwd", "a/../b", "a//b", ".", "a\x1b[2J"] {
            let body = sample().print().replace("packages/base.tar.xz", path);
            let body = &body[..body.rfind("digest").unwrap()];
            assert!(Manifest::parse(&signed(body)).is_err(), "{path}");
        }
    }
}
