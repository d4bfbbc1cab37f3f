//! Extended attributes (kernel: fs/squashfs/xattr.c).

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use super::ReadError;
use super::fields::{u16_le, u32_le, u64_le};
use super::metadata::{At, Metadata};

/// The value stands elsewhere (`SQUASHFS_XATTR_VALUE_OOL`).
const ELSEWHERE: u16 = 0x100;
/// `XATTR_SIZE_MAX`.
const VALUE_MAX: u32 = 65_536;
/// All attributes of one inode together, and of all inodes.
const SET_MAX: u32 = 1024;
const BYTES_MAX: u64 = 32 << 20;

type Set = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Debug)]
pub(super) struct Xattrs {
    /// Of the attributes themselves, and of the list of blocks of the index.
    table: u64,
    list: u64,
    count: u32,
    known: HashMap<u32, Rc<Set>>,
    left: u64,
}

impl Xattrs {
    /// `header` is the table's own: where the attributes begin, and how many
    /// sets of them there are; the list of blocks follows it.
    pub(super) fn new(header: &[u8], at: u64) -> Self {
        let (table, count) = (u64_le(header, 0), u32_le(header, 8));
        Self { table, list: at + 16, count, known: HashMap::new(), left: BYTES_MAX }
    }

    pub(super) fn get(&mut self, metadata: &mut Metadata<'_>, number: u32) -> Result<Rc<Set>, ReadError> {
        if let Some(set) = self.known.get(&number) {
            return Ok(set.clone());
        }
        let damaged = |problem| ReadError::Damaged { offset: self.table, problem };
        if number >= self.count {
            return Err(damaged("an inode names extended attributes that are not there"));
        }
        let index = metadata.listed(self.list, number, 16)?;
        let (reference, count) = (u64_le(&index, 0), u32_le(&index, 8));
        let mut at = At::new(self.table, reference).ok_or_else(|| damaged("a place outside of it"))?;
        if count > SET_MAX {
            return Err(ReadError::Excessive("it has more extended attributes"));
        }
        let mut set = Set::new();
        for _ in 0..count {
            let head = metadata.take(&mut at, 4)?;
            let kind = u16_le(&head, 0);
            let prefix: &[u8] = match kind & !ELSEWHERE {
                0 => b"user.",
                1 => b"trusted.",
                2 => b"security.",
                _ => return Err(damaged("an extended attribute is of no known kind")),
            };
            let name = [prefix, &metadata.take(&mut at, u16_le(&head, 2).into())?].concat();
            let mut value = value(metadata, &mut at)?;
            if kind & ELSEWHERE != 0 {
                let reference = value.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
                let elsewhere = reference.and_then(|reference| At::new(self.table, reference));
                value = self::value(metadata, &mut elsewhere.ok_or_else(|| damaged("a value's place cannot be"))?)?;
            }
            let left = self.left.checked_sub((name.len() + value.len()) as u64);
            self.left = left.ok_or(ReadError::Excessive("it has more extended attributes"))?;
            set.insert(name, value);
        }
        let set = Rc::new(set);
        self.known.insert(number, set.clone());
        Ok(set)
    }
}

fn value(metadata: &mut Metadata<'_>, at: &mut At) -> Result<Vec<u8>, ReadError> {
    let offset = at.block;
    match u32_le(&metadata.take(at, 4)?, 0) {
        len @ ..=VALUE_MAX => metadata.take(at, len as usize),
        _ => Err(ReadError::Damaged { offset, problem: "an extended attribute's length cannot be" }),
    }
}
