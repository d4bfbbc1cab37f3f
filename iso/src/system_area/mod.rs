//! The first 32 KiB, which ISO 9660 leaves to others: MBR and GPT, in sectors
//! of 512 bytes.

mod crc;
mod gpt;
mod mbr;

use crate::StartCode;
use crate::format::{PARTITION_OFFSET, SECTOR};
use crate::layout::Extent;
pub(crate) use crc::crc32;
pub(crate) use gpt::BACKUP_LEN;
pub(crate) use mbr::expected_len;

/// A disk's own sector.
pub(crate) const DISK_SECTOR: u64 = 512;

/// The geometry that a partition table of 64 heads and 32 sectors tells: one
/// cylinder is 1 MiB. BIOSes that guess the geometry guess it from there, and
/// want whole cylinders.
pub(crate) const HEADS: u64 = 64;
pub(crate) const SECTORS_PER_TRACK: u64 = 32;
pub(crate) const CYLINDER: u64 = HEADS * SECTORS_PER_TRACK * DISK_SECTOR;

/// Partition tools warn of a partition that ends anywhere else.
pub(crate) const PARTITION_ALIGN: u64 = 64 * DISK_SECTOR;

/// Disk sectors in one sector of the disc.
const PER_SECTOR: u64 = SECTOR as u64 / DISK_SECTOR;

/// What partition tables tell of an image.
#[derive(Debug)]
pub(crate) struct Disk<'d> {
    /// The BIOS boot image stands at that sector of the disc.
    pub(crate) start: Option<(&'d StartCode, u32)>,
    pub(crate) esp: Option<Extent>,
    /// Where an ISO 9660 partition of its own ends, in sectors of the disc.
    pub(crate) iso_end: u32,
    /// Of the whole image, in sectors of the disc.
    pub(crate) end: u32,
    /// What numbers that identify the disk are made of.
    pub(crate) seed: &'d [u8],
}

impl Disk<'_> {
    fn sectors(&self) -> u64 {
        u64::from(self.end) * PER_SECTOR
    }

    /// A number for the MBR that the same image gets again.
    fn id(&self) -> u32 {
        crc32(self.seed)
    }

    fn mbr(&self, partitions: &[mbr::Partition]) -> Vec<u8> {
        let code = self.start.map(|(code, lba)| mbr::start(code, lba));
        mbr::mbr(&code.unwrap_or_default(), self.id(), partitions)
    }

    /// One active partition over everything, and one for the ESP where there
    /// is one.
    pub(crate) fn isohybrid(&self) -> Vec<u8> {
        self.iso_and_esp(0, self.sectors())
    }

    /// One active partition that can be mounted by itself, and one for the
    /// ESP where there is one.
    pub(crate) fn mbr_only(&self) -> Vec<u8> {
        let start = u64::from(PARTITION_OFFSET) * PER_SECTOR;
        self.iso_and_esp(start, u64::from(self.iso_end) * PER_SECTOR - start)
    }

    fn iso_and_esp(&self, start: u64, sectors: u64) -> Vec<u8> {
        let iso = mbr::Partition { active: true, kind: mbr::kind::HIDDEN, start, sectors };
        let esp = self.esp.map(|esp| {
            let (start, sectors) = stretch(esp);
            mbr::Partition { active: false, kind: mbr::kind::ESP, start, sectors }
        });
        let partitions: Vec<_> = [iso].into_iter().chain(esp).collect();
        self.mbr(&partitions)
    }

    /// Protective MBR and primary GPT, and the backup GPT for the image's end.
    pub(crate) fn gpt(&self) -> (Vec<u8>, Vec<u8>) {
        let all = mbr::Partition { active: false, kind: mbr::kind::PROTECTIVE, start: 1, sectors: self.sectors() - 1 };
        // Some BIOSes boot no disk without an active partition, and UEFI
        // wants the protective one inactive.
        let active = mbr::Partition { active: true, kind: mbr::kind::EMPTY, start: 0, sectors: 1 };
        let mut head = self.mbr(&[all, active]);
        let mut partitions = vec![gpt::Partition {
            kind: gpt::BASIC_DATA,
            first: u64::from(PARTITION_OFFSET) * PER_SECTOR,
            last: u64::from(self.iso_end) * PER_SECTOR - 1,
            attributes: gpt::REQUIRED_READ_ONLY,
            name: "ISO9660",
        }];
        partitions.extend(self.esp.map(|esp| {
            let (start, sectors) = stretch(esp);
            gpt::Partition { kind: gpt::ESP, first: start, last: start + sectors - 1, attributes: 0, name: "ESP" }
        }));
        let table = gpt::Table { partitions, disk_sectors: self.sectors(), seed: self.seed };
        head.extend(table.primary());
        (head, table.backup())
    }
}

/// First sector and count, in sectors of 512 bytes.
fn stretch(extent: Extent) -> (u64, u64) {
    (u64::from(extent.lba) * PER_SECTOR, extent.len.div_ceil(DISK_SECTOR))
}
