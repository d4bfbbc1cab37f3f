//! One entry of a package; of an archive, from its header and what extends that.

use std::io;

use nix::sys::time::TimeSpec;
use tar::Header;

use super::error::{Refusal, UnpackError};
use super::pax::Pax;

#[derive(Debug)]
pub(super) struct Member {
    /// As written in the package.
    pub(super) name: Vec<u8>,
    pub(super) kind: Kind,
    /// Of a regular file's contents.
    pub(super) size: u64,
    pub(super) attributes: Attributes,
}

#[derive(Debug, Clone)]
pub(super) struct Attributes {
    /// The low twelve bits.
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: TimeSpec,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    Symlink(Vec<u8>),
    HardLink(Vec<u8>),
    Fifo,
    Device { block: bool, major: u32, minor: u32 },
}

impl Member {
    /// `pax` has what extended headers before this one say about the entry.
    pub(super) fn new(header: &Header, size: u64, pax: Pax) -> Result<Self, UnpackError> {
        let name = pax.path.unwrap_or_else(|| header.path_bytes().into_owned());
        let refused = |why| UnpackError::Refused { entry: name.clone(), why };
        let number = || refused(Refusal::Number);
        if pax.sparse {
            return Err(refused(Refusal::Sparse));
        }
        let target = || match pax.link.or_else(|| header.link_name_bytes().map(Into::into)) {
            Some(target) if target.contains(&0) => Err(refused(Refusal::Nul)),
            Some(target) => Ok(target),
            None => Err(refused(Refusal::NoTarget)),
        };
        let device = |block| match (header.device_major(), header.device_minor()) {
            (Ok(Some(major)), Ok(Some(minor))) => Ok(Kind::Device { block, major, minor }),
            _ => Err(number()),
        };
        let kind = match header.as_old().linkflag[0] {
            // Archives from before ustar have no other sign of a directory.
            0 | b'0' | b'7' if name.ends_with(b"/") => Kind::Directory,
            0 | b'0' | b'7' => Kind::File,
            b'1' => Kind::HardLink(target()?),
            b'2' => Kind::Symlink(target()?),
            b'3' => device(false)?,
            b'4' => device(true)?,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            b'S' => return Err(refused(Refusal::Sparse)),
            other => return Err(refused(Refusal::UnknownType(other))),
        };
        let size = match kind {
            Kind::File => pax.size.unwrap_or(size),
            // Some writers give the size of the file linked to; nothing follows.
            Kind::HardLink(_) => 0,
            _ if pax.size.unwrap_or(size) > 0 => return Err(refused(Refusal::Data)),
            _ => 0,
        };
        // The highest id means "leave it" to chown(2).
        let id = |pax: Option<u64>, header: io::Result<u64>| {
            let id = pax.or(header.ok()).and_then(|id| u32::try_from(id).ok());
            id.filter(|&id| id != u32::MAX).ok_or_else(number)
        };
        let mtime = match pax.mtime {
            Some((seconds, nanos)) => TimeSpec::new(seconds, nanos),
            // Of a time before 1970 in base 256 these are the low 64 bits.
            None => TimeSpec::new(header.mtime().map_err(|_| number())?.cast_signed(), 0),
        };
        let attributes = Attributes {
            mode: header.mode().map_err(|_| number())? & 0o7777,
            uid: id(pax.uid, header.uid())?,
            gid: id(pax.gid, header.gid())?,
            mtime,
            xattrs: pax.xattrs,
        };
        Ok(Self { name, kind, size, attributes })
    }
}
