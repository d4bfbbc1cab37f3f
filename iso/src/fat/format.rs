//! Numbers of FAT, from Microsoft's "FAT: General Overview of On-Disk Format"
//! (fatgen103) where no other source is named. Reader and writer have them
//! from here.

pub(super) const SECTOR: u64 = 512;

/// Directory entries, long and short alike.
pub(super) const ENTRY: usize = 32;

/// What the medium byte says: a fixed disk.
pub(super) const MEDIUM: u8 = 0xF8;

/// The first cluster there is: the first two entries of a table say other
/// things.
pub(super) const FIRST_CLUSTER: u32 = 2;

/// Attributes of a directory entry.
pub(super) mod attribute {
    pub(crate) const VOLUME: u8 = 0x08;
    pub(crate) const DIRECTORY: u8 = 0x10;
    pub(crate) const ARCHIVE: u8 = 0x20;
    /// A piece of a long name.
    pub(crate) const LONG: u8 = 0x0F;
}

/// The three kinds of table, told apart by the number of clusters alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FatKind {
    Fat12,
    Fat16,
    Fat32,
}

impl FatKind {
    /// "FAT Type Determination".
    pub(super) fn of(clusters: u64) -> Self {
        match clusters {
            0..4085 => Self::Fat12,
            4085..65_525 => Self::Fat16,
            _ => Self::Fat32,
        }
    }

    /// The bits of a table's entry.
    pub(super) fn bits(self) -> u64 {
        match self {
            Self::Fat12 => 12,
            Self::Fat16 => 16,
            Self::Fat32 => 32,
        }
    }

    /// The bits of an entry that mean something; all set, they end a chain.
    pub(super) fn mask(self) -> u32 {
        match self {
            Self::Fat12 => 0x0FFF,
            Self::Fat16 => 0xFFFF,
            Self::Fat32 => 0x0FFF_FFFF,
        }
    }

    /// Sectors of a table for so many clusters.
    pub(super) fn table_sectors(self, clusters: u64) -> u64 {
        ((clusters + u64::from(FIRST_CLUSTER)) * self.bits()).div_ceil(8 * SECTOR)
    }
}

/// Where a long name's 13 units stand in each of its entries.
pub(super) const LONG_UNITS: [usize; 13] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];

/// Set in the number of a long name's last piece, which stands first.
pub(super) const LONG_LAST: u8 = 0x40;

/// Units of a long name at most.
pub(super) const LONG_MAX: usize = 255;

/// `ChkSum()`: what ties the pieces of a long name to the short entry.
pub(super) fn short_sum(short: &[u8; 11]) -> u8 {
    short.iter().fold(0, |sum: u8, &byte| sum.rotate_right(1).wrapping_add(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_clusters_alone_tells_the_kind() {
        for (clusters, kind) in [
            (0, FatKind::Fat12),
            (4084, FatKind::Fat12),
            (4085, FatKind::Fat16),
            (65_524, FatKind::Fat16),
            (65_525, FatKind::Fat32),
        ] {
            assert_eq!(FatKind::of(clusters), kind, "{clusters}");
        }
    }

    #[test]
    fn tables_have_room_for_every_cluster() {
        assert_eq!(FatKind::Fat12.table_sectors(339), 1, "341 entries of 12 bits and half a byte");
        assert_eq!(FatKind::Fat12.table_sectors(340), 2);
        assert_eq!(FatKind::Fat16.table_sectors(254), 1);
        assert_eq!(FatKind::Fat32.table_sectors(127), 2);
    }
}
