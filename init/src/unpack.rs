//! Packages: tar archives, compressed or not, and mounted images, extracted over
//! a root directory.
//!
//! A package is foreign data. Nothing it holds lands outside the root, nothing
//! is left half written, and what gives rights on the machine (set-uid bits,
//! device nodes, capabilities) needs the manifest's word that it may.

mod archive;
mod error;
mod linked;
mod member;
mod pax;
mod place;
mod root;
mod tree;

use std::io::{self, BufReader, Read};
use std::path::Path;

use self::archive::Archive;
pub use self::error::{Refusal, UnpackError};
pub(crate) use self::linked::{Linked, names};
use self::member::{Kind, Member};
use self::place::{Contents, Placer, TEMPORARY};
pub(crate) use self::root::Root;
pub use self::tree::tree;
use crate::decompress::{Codec, MAGIC_LEN};

/// A whole desktop has a third of it. Entries without contents cost memory that
/// no cap on bytes holds.
pub(crate) const ENTRIES_MAX: u64 = 1 << 20;

#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of all regular files together.
    pub unpacked: u64,
    /// Set-uid and set-gid files, file capabilities and device nodes are allowed.
    pub privileged: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    pub entries: u64,
    /// Of regular files.
    pub bytes: u64,
}

/// A package's archive, out of its compression.
pub fn decoded<'a>(input: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    decoded_from(Box::new(input))
}

/// Once in the program, whatever is read from.
fn decoded_from<'a>(mut input: Box<dyn Read + 'a>) -> io::Result<Box<dyn Read + 'a>> {
    let mut magic = Vec::new();
    input.by_ref().take(MAGIC_LEN as u64).read_to_end(&mut magic)?;
    let codec = Codec::of(&magic);
    codec.reader(BufReader::with_capacity(64 << 10, io::Cursor::new(magic).chain(input)))
}

/// Decodes and extracts a package over `root`.
pub fn package(input: impl Read, root: &Path, limits: &Limits) -> Result<Summary, UnpackError> {
    let decoded = decoded(input).map_err(|error| UnpackError::Read { after: Vec::new(), error })?;
    archive(decoded, root, limits)
}

/// Extracts an archive over `root`. After an error the entries before the one it
/// names are there, whole, and nothing of that one.
pub fn archive(input: impl Read, root: &Path, limits: &Limits) -> Result<Summary, UnpackError> {
    extract(Archive::new(Box::new(input)), root, limits)
}

fn extract(mut archive: Archive<'_>, root: &Path, limits: &Limits) -> Result<Summary, UnpackError> {
    let mut extraction = Extraction::new(root, limits)?;
    while let Some(member) = archive.next()? {
        extraction.place(&member, &mut |buffer| archive.read(buffer))?;
    }
    extraction.finish()
}

/// Of one package, entry by entry.
struct Extraction<'a> {
    placer: Placer,
    limits: &'a Limits,
    summary: Summary,
}

impl<'a> Extraction<'a> {
    fn new(root: &Path, limits: &'a Limits) -> Result<Self, UnpackError> {
        let opened = Root::open(root).map_err(|errno| UnpackError::Failed {
            entry: root.as_os_str().as_encoded_bytes().to_vec(),
            doing: "open the root directory",
            errno,
        });
        Ok(Self { placer: Placer::new(opened?, limits.privileged), limits, summary: Summary::default() })
    }

    fn place(&mut self, member: &Member, contents: &mut Contents<'_>) -> Result<(), UnpackError> {
        self.summary.entries += 1;
        self.summary.bytes = self.summary.bytes.saturating_add(member.size);
        let path = check(member, self.limits, &self.summary)
            .map_err(|why| UnpackError::Refused { entry: member.name.clone(), why })?;
        self.placer.place(&path, member, contents)
    }

    fn finish(mut self) -> Result<Summary, UnpackError> {
        self.placer.finish()?;
        Ok(self.summary)
    }
}

/// Everything that can be said against an entry before anything is written;
/// its path below the root when there is nothing. `sum` has it counted in.
fn check(member: &Member, limits: &Limits, sum: &Summary) -> Result<Vec<u8>, Refusal> {
    let path = normal(&member.name)?;
    if sum.entries > ENTRIES_MAX {
        return Err(Refusal::TooMany(ENTRIES_MAX));
    }
    if sum.bytes > limits.unpacked {
        return Err(Refusal::Larger(limits.unpacked));
    }
    if !limits.privileged {
        // On a directory set-gid gives nobody rights: what is made in it gets
        // its group, as /var/mail has it.
        if member.attributes.mode & 0o6000 != 0 && matches!(member.kind, Kind::File | Kind::Fifo) {
            return Err(Refusal::SetId);
        }
        if matches!(member.kind, Kind::Device { .. }) {
            return Err(Refusal::Device);
        }
        if member.attributes.xattrs.iter().any(|(name, _)| !name.starts_with(b"user.")) {
            return Err(Refusal::Attribute);
        }
    }
    Ok(path)
}

/// A path as archives write it, without its `.`, doubled and outer slashes.
fn normal(written: &[u8]) -> Result<Vec<u8>, Refusal> {
    if written.contains(&0) {
        return Err(Refusal::Nul);
    }
    let mut path = Vec::with_capacity(written.len());
    for name in written.split(|&b| b == b'/') {
        match name {
            b"" | b"." => {}
            b".." => return Err(Refusal::Climbs),
            name if name == TEMPORARY.as_bytes() => return Err(Refusal::Reserved),
            name => {
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(name);
            }
        }
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(kind: Kind, mode: u32) -> Member {
        let mtime = nix::sys::time::TimeSpec::new(0, 0);
        let attributes = member::Attributes { mode, uid: 0, gid: 0, mtime, xattrs: Vec::new() };
        Member { name: b"./usr//x/".to_vec(), kind, size: 0, attributes }
    }

    #[test]
    fn what_needs_a_privileged_package_is_refused_in_others() {
        let device = || Kind::Device { block: true, major: 8, minor: 0 };
        let rows = [
            (Kind::File, 0o755, Ok(())),
            (Kind::File, 0o4755, Err(Refusal::SetId)),
            (Kind::File, 0o2755, Err(Refusal::SetId)),
            (Kind::Directory, 0o3777, Ok(())),
            (device(), 0o600, Err(Refusal::Device)),
            (Kind::Fifo, 0o600, Ok(())),
            (Kind::Fifo, 0o6426, Err(Refusal::SetId)),
        ];
        for (kind, mode, expected) in rows {
            let member = member(kind, mode);
            let path = || b"usr/x".to_vec();
            let check = |privileged| check(&member, &Limits { unpacked: 0, privileged }, &Summary::default());
            assert_eq!(check(false), expected.map(|()| path()), "{member:?}");
            assert_eq!(check(true), Ok(path()), "{member:?}");
        }
    }

    #[test]
    fn the_caps_hold_at_the_entry_that_goes_over_them() {
        let limits = Limits { unpacked: 100, privileged: false };
        let check = |entries, bytes| check(&member(Kind::File, 0o644), &limits, &Summary { entries, bytes });
        assert!(check(ENTRIES_MAX, 100).is_ok());
        assert_eq!(check(1, 101), Err(Refusal::Larger(100)));
        assert_eq!(check(ENTRIES_MAX + 1, 0), Err(Refusal::TooMany(ENTRIES_MAX)));
    }
}
