//! The xattr tables: each different set once, named by its number.

use std::collections::{BTreeMap, HashMap};
use std::io;

use super::codecs::Encoder;
use super::format::{METADATA_LEN, NO_TABLE, NO_XATTRS};
use super::metadata::{MetadataWriter, lookup};

/// The name spaces of fs/squashfs/xattr.c. There is no number for `system.`,
/// so POSIX ACLs have no place in a squashfs, whoever writes it.
const PREFIXES: [(&[u8], u16); 3] = [(b"user.", 0), (b"trusted.", 1), (b"security.", 2)];

/// The name space's number and the rest of the name; `None` for a name that no
/// squashfs can hold.
pub(super) fn split(name: &[u8]) -> Option<(u16, &[u8])> {
    let split = PREFIXES.iter().find_map(|(prefix, number)| Some((*number, name.strip_prefix(*prefix)?)))?;
    (!split.1.is_empty() && split.1.len() <= 255).then_some(split)
}

#[derive(Debug, Default)]
pub(super) struct Xattrs {
    sets: Vec<Set>,
    places: HashMap<Vec<u8>, u32>,
}

#[derive(Debug)]
struct Set {
    count: u32,
    /// Names with their prefixes and values: what the kernel reckons `st_blocks` by.
    size: u32,
    bytes: Vec<u8>,
}

impl Xattrs {
    /// The number of this set, or [`NO_XATTRS`].
    pub(super) fn place(&mut self, xattrs: &BTreeMap<Vec<u8>, Vec<u8>>) -> u32 {
        let mut set = Set { count: 0, size: 0, bytes: Vec::new() };
        for (name, value) in xattrs {
            let Some((space, rest)) = split(name) else { continue };
            set.count += 1;
            set.size += (name.len() + 1 + value.len()) as u32;
            set.bytes.extend(space.to_le_bytes());
            set.bytes.extend((rest.len() as u16).to_le_bytes());
            set.bytes.extend(rest);
            set.bytes.extend((value.len() as u32).to_le_bytes());
            set.bytes.extend(value);
        }
        if set.count == 0 {
            return NO_XATTRS;
        }
        if let Some(place) = self.places.get(&set.bytes) {
            return *place;
        }
        let place = self.sets.len() as u32;
        self.places.insert(set.bytes.clone(), place);
        self.sets.push(set);
        place
    }

    /// The tables as they stand at `at`, and what the superblock names.
    pub(super) fn tables(&self, at: u64, encoder: impl Fn() -> io::Result<Encoder>) -> io::Result<(Vec<u8>, u64)> {
        if self.sets.is_empty() {
            return Ok((Vec::new(), NO_TABLE));
        }
        let mut writer = MetadataWriter::new(encoder()?);
        let mut records = Vec::with_capacity(self.sets.len() * 16);
        for set in &self.sets {
            records.extend(writer.position()?.reference().to_le_bytes());
            records.extend(set.count.to_le_bytes());
            records.extend(set.size.to_le_bytes());
            writer.write(&set.bytes)?;
        }
        let mut bytes = writer.finish()?;
        let table = lookup(&records, at + bytes.len() as u64, encoder()?)?;
        // struct squashfs_xattr_id_table stands between the blocks and the list
        // of where they are.
        let blocks = records.len().div_ceil(METADATA_LEN);
        let (packed, starts) = table.bytes.split_at(table.bytes.len() - blocks * 8);
        bytes.extend(packed);
        let start = at + bytes.len() as u64;
        bytes.extend(at.to_le_bytes());
        bytes.extend((self.sets.len() as u32).to_le_bytes());
        bytes.extend(0_u32.to_le_bytes());
        bytes.extend(starts);
        Ok((bytes, start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_by_name_space_and_acls_have_none() {
        assert_eq!(split(b"security.capability"), Some((2, &b"capability"[..])));
        assert_eq!(split(b"user.x"), Some((0, &b"x"[..])));
        for unheld in ["system.posix_acl_access", "user.", "other.x"] {
            assert_eq!(split(unheld.as_bytes()), None, "{unheld}");
        }
    }

    #[test]
    fn equal_sets_share_a_number() {
        let set = |value: &[u8]| BTreeMap::from([(b"user.a".to_vec(), value.to_vec())]);
        let mut xattrs = Xattrs::default();
        let places = [&set(b"1"), &set(b"2"), &set(b"1"), &BTreeMap::new()].map(|set| xattrs.place(set));
        assert_eq!(places, [0, 1, 0, NO_XATTRS]);
    }
}
