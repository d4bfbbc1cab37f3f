//! The bytes of an inode: basic where that is enough, else extended.

use super::directories::Listing;
use super::files::Stored;
use super::format::{DOTS_LEN, NO_FRAGMENT, NO_XATTRS, Type};

/// What every inode has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    pub(super) mode: u16,
    pub(super) uid: u16,
    pub(super) gid: u16,
    pub(super) mtime: u32,
    pub(super) number: u32,
    pub(super) links: u32,
    /// The number of its set of xattrs, or [`NO_XATTRS`].
    pub(super) xattrs: u32,
}

impl Header {
    fn start(&self, kind: u16) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        for half in [kind, self.mode, self.uid, self.gid] {
            out.extend(half.to_le_bytes());
        }
        words(&mut out, [self.mtime, self.number]);
        out
    }

    fn has_xattrs(&self) -> bool {
        self.xattrs != NO_XATTRS
    }

    /// Everything that is neither a directory nor a regular file: the links,
    /// what the type needs, and the xattrs at the very end.
    fn simple(&self, kind: Type, body: &[u8]) -> Vec<u8> {
        let mut out = self.start(if self.has_xattrs() { kind.extended() } else { kind.basic() });
        words(&mut out, [self.links]);
        out.extend(body);
        if self.has_xattrs() {
            words(&mut out, [self.xattrs]);
        }
        out
    }
}

pub(super) fn symlink(header: &Header, target: &[u8]) -> Vec<u8> {
    let len = (target.len() as u32).to_le_bytes();
    header.simple(Type::Symlink, &[&len, target].concat())
}

pub(super) fn device(header: &Header, kind: Type, number: u32) -> Vec<u8> {
    header.simple(kind, &number.to_le_bytes())
}

pub(super) fn ipc(header: &Header, kind: Type) -> Vec<u8> {
    header.simple(kind, &[])
}

/// A regular file; `start` is where its first block is, 0 if it has none.
pub(super) fn file(header: &Header, len: u64, start: u64, stored: &Stored, all_words: &[u32]) -> Vec<u8> {
    let (fragment, offset) = stored.tail.map_or((NO_FRAGMENT, 0), |tail| (tail.fragment, tail.offset));
    let basic = match (u32::try_from(start), u32::try_from(len)) {
        (Ok(start), Ok(len)) if header.links == 1 && stored.sparse == 0 && !header.has_xattrs() => Some((start, len)),
        _ => None,
    };
    let mut out = if let Some((start, len)) = basic {
        let mut out = header.start(Type::File.basic());
        words(&mut out, [start, fragment, offset, len]);
        out
    } else {
        let mut out = header.start(Type::File.extended());
        for long in [start, len, stored.sparse] {
            out.extend(long.to_le_bytes());
        }
        words(&mut out, [header.links, fragment, offset, header.xattrs]);
        out
    };
    words(&mut out, stored.words(all_words));
    out
}

/// `parent` is the number of the inode that `..` is.
pub(super) fn dir(header: &Header, listing: &Listing, parent: u32) -> Vec<u8> {
    let len = listing.len + DOTS_LEN;
    let at = listing.position;
    if let (Ok(len), true, false) = (u16::try_from(len), listing.index.is_empty(), header.has_xattrs()) {
        let mut out = header.start(Type::Dir.basic());
        words(&mut out, [at.block, header.links]);
        out.extend(len.to_le_bytes());
        out.extend(at.offset.to_le_bytes());
        words(&mut out, [parent]);
        return out;
    }
    let mut out = header.start(Type::Dir.extended());
    words(&mut out, [header.links, len, at.block, parent]);
    out.extend((listing.index.len() as u16).to_le_bytes());
    out.extend(at.offset.to_le_bytes());
    words(&mut out, [header.xattrs]);
    for entry in &listing.index {
        words(&mut out, [entry.at, entry.block, entry.name.len() as u32 - 1]);
        out.extend(entry.name);
    }
    out
}

fn words(out: &mut Vec<u8>, words: impl IntoIterator<Item = u32>) {
    out.extend(words.into_iter().flat_map(u32::to_le_bytes));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_extended_only_where_a_basic_inode_cannot_say_it() {
        const GIB_4: u64 = 1 << 32;
        let plain = Header { mode: 0o644, uid: 0, gid: 0, mtime: 0, number: 1, links: 1, xattrs: NO_XATTRS };
        let (stored, mut holed) = (Stored::default(), Stored::default());
        holed.sparse = 4096;
        let (linked, labelled) = (Header { links: 2, ..plain }, Header { xattrs: 0, ..plain });
        for (header, len, start, stored, is_extended) in [
            (plain, GIB_4 - 1, GIB_4 - 1, &stored, false),
            (plain, GIB_4, 0, &stored, true),
            (plain, 1, GIB_4, &stored, true),
            (plain, 1, 0, &holed, true),
            (linked, 1, 0, &stored, true),
            (labelled, 1, 0, &stored, true),
        ] {
            let bytes = file(&header, len, start, stored, &[]);
            // struct squashfs_reg_inode and squashfs_lreg_inode, without block words.
            assert_eq!(
                (bytes[0], bytes.len()),
                if is_extended { (9, 56) } else { (2, 32) },
                "{header:?} {len} {start}"
            );
            let (at, width) = if is_extended { (24, 8) } else { (28, 4) };
            assert_eq!(bytes[at..at + width], len.to_le_bytes()[..width], "{header:?}");
        }
    }
}
