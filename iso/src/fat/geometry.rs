//! How large everything is that is not content, decided from how much content
//! there is.

use super::format::{ENTRY, FIRST_CLUSTER, FatKind, SECTOR};
use crate::format::SECTOR as DISC_SECTOR;

/// Sizes are rounded up to this many sectors. It is two tracks of the
/// geometry that the boot sector tells, which mtools asks for, and partition
/// tools find nothing to say against a partition that ends there.
const TOTAL_ALIGN: u64 = 64;

/// From here on FAT32. UEFI wants it on disks, and smaller ones would have
/// too few clusters for it.
const FAT32_FROM: u64 = (36 << 20) / SECTOR;

/// Numbers of clusters this near to where the kind changes are avoided:
/// there are drivers that draw the line a little beside it.
const BORDER: u64 = 16;

/// Root entries of FAT12 and FAT16 that everybody gives.
const ROOT_ENTRIES: u64 = 512;

pub(super) const TABLES: u64 = 2;

/// In sectors of 512 bytes, if nothing else is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Geometry {
    pub(super) kind: FatKind,
    pub(super) per_cluster: u64,
    pub(super) reserved: u64,
    pub(super) table: u64,
    /// Of the root directory outside the clusters: none on FAT32.
    pub(super) root: u64,
    pub(super) clusters: u64,
    pub(super) total: u64,
}

/// What has to fit: the root directory's entries, and the bytes of every
/// other directory and of every file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Needs<'n> {
    pub(super) root_entries: usize,
    pub(super) directories: &'n [u64],
    pub(super) files: &'n [u64],
    pub(super) min_len: u64,
}

impl Geometry {
    /// The smallest that holds it. `None` where FAT cannot count it.
    pub(super) fn for_needs(needs: Needs<'_>) -> Option<Self> {
        let small = [FatKind::Fat12, FatKind::Fat16].into_iter().find_map(|kind| Self::with(needs, kind, 4));
        // FAT32 with the largest clusters of which there are enough.
        small
            .filter(|small| small.total < FAT32_FROM)
            .or_else(|| [64, 32, 16, 8, 4, 2, 1].into_iter().find_map(|size| Self::with(needs, FatKind::Fat32, size)))
    }

    fn with(needs: Needs<'_>, kind: FatKind, per_cluster: u64) -> Option<Self> {
        let root_len = (needs.root_entries * ENTRY) as u64;
        let (reserved, root_entries, least_clusters, least) = match kind {
            FatKind::Fat32 => (32, 0, 1, FAT32_FROM),
            FatKind::Fat16 => (4, root_entries(needs), 4085 + BORDER, 0),
            FatKind::Fat12 => (4, root_entries(needs), 1, 0),
        };
        let wanted =
            clusters_used(needs, (kind == FatKind::Fat32).then_some(root_len), per_cluster).max(least_clusters);
        let least = least.max(needs.min_len.div_ceil(SECTOR));
        // Rounding up adds clusters, and those need room in the tables.
        let most = wanted.max(least / per_cluster) + TOTAL_ALIGN;
        let table = kind.table_sectors(most).next_multiple_of(2);
        let root = root_entries * ENTRY as u64 / SECTOR;
        let head = reserved + TABLES * table + root;
        let total = (head + wanted * per_cluster).max(least).next_multiple_of(TOTAL_ALIGN);
        let clusters = (total - head) / per_cluster;
        let is_clear = |border: u64| clusters.abs_diff(border) >= BORDER;
        let fits = FatKind::of(clusters) == kind
            && is_clear(4085)
            && is_clear(65_525)
            && clusters < u64::from(FatKind::Fat32.mask()) - BORDER
            && u32::try_from(total).is_ok()
            && u16::try_from(root_entries).is_ok();
        fits.then_some(Self { kind, per_cluster, reserved, table, root, clusters, total })
    }

    pub(super) fn cluster_len(&self) -> u64 {
        self.per_cluster * SECTOR
    }

    /// Clusters that hold `len` bytes.
    pub(super) fn clusters_for(&self, len: u64) -> u64 {
        len.div_ceil(self.cluster_len())
    }

    /// Where cluster `number` stands, in bytes.
    pub(super) fn offset(&self, number: u32) -> u64 {
        let head = self.reserved + TABLES * self.table + self.root;
        head * SECTOR + u64::from(number - FIRST_CLUSTER) * self.cluster_len()
    }

    /// Clusters are so many times smaller than what files are aligned to.
    pub(super) fn file_align(&self) -> u32 {
        (DISC_SECTOR as u64 / self.cluster_len()).max(1) as u32
    }
}

/// Of FAT12 and FAT16, in whole sectors of a disc.
fn root_entries(needs: Needs<'_>) -> u64 {
    ROOT_ENTRIES.max(needs.root_entries as u64).next_multiple_of((DISC_SECTOR / ENTRY) as u64)
}

/// Directories one behind the other, and every file from the next sector of a
/// disc: ISO 9660 can then point into it.
fn clusters_used(needs: Needs<'_>, root_len: Option<u64>, per_cluster: u64) -> u64 {
    let len = per_cluster * SECTOR;
    let align = (DISC_SECTOR as u64 / len).max(1);
    let directories: u64 = root_len.iter().chain(needs.directories).map(|bytes| bytes.div_ceil(len).max(1)).sum();
    let files = needs.files.iter().filter(|bytes| **bytes > 0);
    files.fold(directories, |used, bytes| used.next_multiple_of(align) + bytes.div_ceil(len))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn geometry(files: &[u64]) -> Geometry {
        Geometry::for_needs(Needs { root_entries: 3, directories: &[64, 96], files, min_len: 0 }).unwrap()
    }

    #[test]
    fn the_kind_follows_the_size() {
        for (mib, kind) in [
            (0, FatKind::Fat12),
            (7, FatKind::Fat12),
            (9, FatKind::Fat16),
            (35, FatKind::Fat16),
            (36, FatKind::Fat32),
            (300, FatKind::Fat32),
        ] {
            let geometry = geometry(&[mib << 20]);
            assert_eq!(geometry.kind, kind, "{mib} MiB");
            assert!(geometry.clusters * geometry.cluster_len() >= mib << 20);
        }
    }

    #[test]
    fn every_size_is_one_kind_to_everybody_and_starts_files_at_sectors_of_a_disc() {
        for kib in (0..80_000).step_by(37) {
            let geometry = geometry(&[kib << 10]);
            assert_eq!(FatKind::of(geometry.clusters), geometry.kind, "{kib} KiB");
            for border in [4085, 65_525] {
                assert!(geometry.clusters.abs_diff(border) >= BORDER, "{kib} KiB: {} clusters", geometry.clusters);
            }
            assert!(geometry.kind.table_sectors(geometry.clusters) <= geometry.table, "{kib} KiB");
            assert_eq!(geometry.offset(FIRST_CLUSTER) % DISC_SECTOR as u64, 0, "{kib} KiB");
            assert_eq!(geometry.total % TOTAL_ALIGN, 0);
        }
    }

    #[test]
    fn a_larger_one_can_be_asked_for() {
        let needs = Needs { root_entries: 1, directories: &[], files: &[], min_len: 40 << 20 };
        let geometry = Geometry::for_needs(needs).unwrap();
        assert_eq!((geometry.kind, geometry.total), (FatKind::Fat32, (40 << 20) / SECTOR));
    }

    #[test]
    fn what_fat_cannot_count_is_refused() {
        let files = vec![1 << 31; 1 << 10];
        assert_eq!(Geometry::for_needs(Needs { root_entries: 1, directories: &[], files: &files, min_len: 0 }), None);
    }
}
