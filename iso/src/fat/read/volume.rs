//! The boot sector, the table, and the chains that it tells.

use tree::{Content, ContentAt, TreePath};

use super::FatReadError;
use crate::fat::format::{ENTRY, FIRST_CLUSTER, FatKind};
use crate::read::fields::{u16_le, u32_le};

/// The table is kept in memory. This much is half a terabyte in clusters of
/// 32 KiB.
const TABLE_MAX: u64 = 64 << 20;

/// fatgen103: a directory has less than 65,536 entries.
const DIRECTORY_MAX: u64 = 65_536 * ENTRY as u64;

/// Part of an image: offset and length in bytes.
pub(super) type Stretch = (u64, u64);

pub(super) struct Volume {
    kind: FatKind,
    table: Vec<u8>,
    cluster_len: u64,
    clusters: u64,
    data: u64,
    root: Root,
    /// One bit for each cluster that something stands in: a second use is a
    /// loop, or as bad as one.
    used: Vec<u64>,
}

#[derive(Clone, Copy)]
enum Root {
    Area(Stretch),
    Chain(u32),
}

/// Fields of "Boot Sector and BPB", held against each other and against the
/// image's length.
impl Volume {
    pub(super) fn open(image: &Content, at: &ContentAt) -> Result<Self, FatReadError> {
        let not = FatReadError::NotAnImage;
        if image.len() < 512 {
            return Err(not("it has less than 512 bytes"));
        }
        let boot = at.read(0, 512)?;
        let short = |at| u64::from(u16_le(&boot, at).unwrap_or(0));
        let long = |at| u64::from(u32_le(&boot, at).unwrap_or(0));
        let either = |first: u64, second: u64| if first == 0 { second } else { first };
        if boot[510..512] != [0x55, 0xAA] || !matches!(boot[0], 0xEB | 0xE9) {
            return Err(not("it does not begin with a boot sector"));
        }
        let sector = short(11);
        let per_cluster = u64::from(boot[13]);
        let (reserved, tables, root_entries) = (short(14), u64::from(boot[16]), short(17));
        let (total, table_sectors) = (either(short(19), long(32)), either(short(22), long(36)));
        if !matches!(sector, 512 | 1024 | 2048 | 4096) || !per_cluster.is_power_of_two() {
            return Err(not("its sectors or clusters have no possible size"));
        }
        let head = reserved + tables * table_sectors;
        let root_sectors = (root_entries * ENTRY as u64).div_ceil(sector);
        if reserved == 0 || tables == 0 || table_sectors == 0 || head + root_sectors > total {
            return Err(not("its tables have no place in it"));
        }
        if total * sector > image.len() {
            let (end, len) = (total * sector, image.len());
            return Err(FatReadError::PastEnd { end, len });
        }
        let clusters = (total - head - root_sectors) / per_cluster;
        // As Linux has it (fs/fat/inode.c, `fat_fill_super`): a table that 16
        // bits cannot count is FAT32's, however few clusters there are.
        let kind = match FatKind::of(clusters) {
            _ if short(22) == 0 => FatKind::Fat32,
            FatKind::Fat12 => FatKind::Fat12,
            _ => FatKind::Fat16,
        };
        let table_len = table_sectors * sector;
        let clusters = clusters.min((table_len * 8 / kind.bits()).saturating_sub(u64::from(FIRST_CLUSTER)));
        let needed = ((clusters + u64::from(FIRST_CLUSTER)) * kind.bits()).div_ceil(8);
        if needed > TABLE_MAX {
            return Err(FatReadError::Excessive { path: TreePath::root(), what: "its table is larger" });
        }
        let root = match kind {
            FatKind::Fat32 => Root::Chain(long(44) as u32),
            _ => Root::Area((head * sector, root_entries * ENTRY as u64)),
        };
        Ok(Self {
            kind,
            table: at.read(reserved * sector, needed.min(table_len))?,
            cluster_len: per_cluster * sector,
            clusters,
            data: (head + root_sectors) * sector,
            root,
            used: vec![0; (clusters / 64 + 1) as usize],
        })
    }

    /// Where the root directory's entries stand.
    pub(super) fn root(&mut self) -> Result<Vec<Stretch>, FatReadError> {
        match self.root {
            Root::Area(stretch) => Ok(vec![stretch]),
            Root::Chain(first) => self.directory(&TreePath::root(), first),
        }
    }

    /// A directory does not tell its length: the chain does.
    pub(super) fn directory(&mut self, path: &TreePath, first: u32) -> Result<Vec<Stretch>, FatReadError> {
        self.chain(path, first, None)
    }

    /// The parts of the image that a file of `len` bytes consists of.
    pub(super) fn file(&mut self, path: &TreePath, first: u32, len: u32) -> Result<Vec<Stretch>, FatReadError> {
        self.chain(path, first, Some(u64::from(len)))
    }

    fn chain(&mut self, path: &TreePath, first: u32, len: Option<u64>) -> Result<Vec<Stretch>, FatReadError> {
        let damaged = |problem| FatReadError::Damaged { path: path.clone(), problem };
        let mut stretches: Vec<Stretch> = Vec::new();
        let mut left = len.unwrap_or(DIRECTORY_MAX);
        let mut next = Some(first);
        while left > 0 {
            let Some(cluster) = next else {
                // A directory ends with its chain, a file must not end before.
                return if len.is_none() { Ok(stretches) } else { Err(damaged("its chain is shorter than the file")) };
            };
            let index = cluster.checked_sub(FIRST_CLUSTER).map(u64::from).filter(|index| *index < self.clusters);
            let index = index.ok_or_else(|| damaged("its chain leads to a cluster that there is not"))?;
            let (word, bit) = ((index / 64) as usize, 1 << (index % 64));
            if self.used[word] & bit != 0 {
                return Err(damaged("its chain leads to a cluster that is used already"));
            }
            self.used[word] |= bit;
            let (offset, taken) = (self.data + index * self.cluster_len, self.cluster_len.min(left));
            match stretches.last_mut() {
                Some((at, len)) if *at + *len == offset => *len += taken,
                _ => stretches.push((offset, taken)),
            }
            left -= taken;
            next = self.after(cluster);
        }
        if len.is_none() && next.is_some() {
            return Err(FatReadError::Excessive { path: path.clone(), what: "it is a larger directory" });
        }
        Ok(stretches)
    }

    /// The next cluster of a chain. What is behind the table ends it like an
    /// end mark; what is no cluster is found when it is looked for.
    fn after(&self, cluster: u32) -> Option<u32> {
        let at = cluster as usize;
        let entry = match self.kind {
            FatKind::Fat12 => {
                let pair = u32::from(u16_le(&self.table, at * 3 / 2)?);
                if at.is_multiple_of(2) { pair & 0xFFF } else { pair >> 4 }
            }
            FatKind::Fat16 => u32::from(u16_le(&self.table, at * 2)?),
            FatKind::Fat32 => u32_le(&self.table, at * 4)? & self.kind.mask(),
        };
        // The last eight values all mean the end.
        (entry < self.kind.mask() - 7).then_some(entry)
    }
}
