//! The medium's manifest: which build it is, which mode it boots in, and the
//! images or packages in order, each with its size and digest.
//!
//! ```text
//! liveroot-manifest 1.1
//! boot-id 3f0a…            32 hexadecimal digits
//! name aurora
//! mode overlay
//! part root.squashfs size=1048576 unpacked=4194304 sha256=… required verity=… hashes=root.verity hashes-size=12288
//! digest …                 SHA-256 of all bytes before this line
//! ```
//!
//! A part is a layer (overlay) or a package (ram); its path is relative to the
//! directory that the manifest stands in. Words after `sha256=` are flags:
//! `required` or `optional`, `privileged` where set-uid files and device
//! nodes are allowed, and `extra` for what is used only where the command line
//! names it. Since 1.1 a part may have a dm-verity root hash, and the
//! path and size of its hash device. Unknown lines and flags belong to later minor versions
//! and are skipped.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::contract::{BootId, FormatError, Mode, check_header, hex};

const NAME: &str = "liveroot-manifest";
const MAJOR: u32 = 1;
const MINOR: u32 = 1;
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
    /// Used only where it is asked for by name.
    pub extra: bool,
    /// Of a part that is read through dm-verity.
    pub verity: Option<Verity>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verity {
    pub root_hash: [u8; 32],
    /// The hash device ([`crate::verity`]), beside the part.
    pub hashes: String,
    /// Its bytes on the medium.
    pub hashes_size: u64,
}

impl Manifest {
    pub fn print(&self) -> String {
        let Self { boot_id, name, mode, .. } = self;
        let mut text = format!("{NAME} {MAJOR}.{MINOR}\nboot-id {boot_id}\nname {name}\nmode {mode}\n");
        for part in &self.parts {
            let need = if part.required { "required" } else { "optional" };
            let rights = if part.privileged { " privileged" } else { "" };
            let extra = if part.extra { " extra" } else { "" };
            let Part { path, size, unpacked, .. } = part;
            let _ = write!(
                text,
                "part {path} size={size} unpacked={unpacked} sha256={} {need}{rights}{extra}",
                Hex(&part.sha256)
            );
            if let Some(Verity { root_hash, hashes, hashes_size }) = &part.verity {
                let _ = write!(text, " verity={} hashes={hashes} hashes-size={hashes_size}", Hex(root_hash));
            }
            text.push('\n');
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
    let path = parse_path(words.next()?)?;
    let (mut size, mut unpacked, mut sha256) = (None, None, None);
    let (mut root_hash, mut hashes, mut hashes_size) = (None, None, None);
    let (mut required, mut privileged, mut extra) = (true, false, false);
    for word in words {
        match word.split_once('=') {
            Some(("size", n)) => size = Some(n.parse().ok()?),
            Some(("unpacked", n)) => unpacked = Some(n.parse().ok()?),
            Some(("sha256", digits)) => sha256 = Some(parse_digest(digits)?),
            Some(("verity", digits)) => root_hash = Some(parse_digest(digits)?),
            Some(("hashes", path)) => hashes = Some(parse_path(path)?),
            Some(("hashes-size", n)) => hashes_size = Some(n.parse().ok()?),
            None if word == "optional" => required = false,
            None if word == "privileged" => privileged = true,
            None if word == "extra" => extra = true,
            _ => {}
        }
    }
    let verity = match root_hash {
        Some(root_hash) => Some(Verity { root_hash, hashes: hashes?, hashes_size: hashes_size? }),
        None => None,
    };
    Some(Part { path, size: size?, unpacked: unpacked?, sha256: sha256?, required, privileged, extra, verity })
}

fn parse_path(path: &str) -> Option<String> {
    let normal = path.split('/').all(|name| !matches!(name, "" | "." | ".."));
    // It is printed on consoles: no control characters.
    (normal && !path.contains(char::is_control)).then(|| path.into())
}

fn parse_digest(digits: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    hex(digits, &mut digest).map(|()| digest)
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
            extra: !required,
            verity: required.then(|| Verity { root_hash: [8; 32], hashes: "x.verity".into(), hashes_size: 56 }),
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
        let body = sample().print().replace("-manifest 1.1", "-manifest 1.4").replace("mode ram", "later x\nmode ram");
        let body = &body[..body.rfind("digest").unwrap()];
        assert_eq!(Manifest::parse(&signed(body)), Ok(sample()));
        let error = Manifest::parse(&signed(&body.replace("-manifest 1.4", "-manifest 2.0"))).unwrap_err();
        assert!(error.problem.contains("2.0"), "{error}");
    }

    #[test]
    fn a_part_cannot_climb_out_of_its_directory() {
        for path in ["", "../x", "/etc/passwd", "a/../b", "a//b", ".", "a\x1b[2J"] {
            for good in ["packages/base.tar.xz", "x.verity"] {
                let body = sample().print().replace(good, path);
                let body = &body[..body.rfind("digest").unwrap()];
                assert!(Manifest::parse(&signed(body)).is_err(), "{path}");
            }
        }
    }

    #[test]
    fn half_a_root_hash_is_no_part() {
        for word in [" hashes=x.verity", " hashes-size=56"] {
            let body = sample().print().replace(word, "");
            let body = &body[..body.rfind("digest").unwrap()];
            assert!(Manifest::parse(&signed(body)).is_err(), "without{word}");
        }
    }
}
