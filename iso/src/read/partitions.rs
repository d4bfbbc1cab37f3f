//! MBR and GPT, as found. A table that is wrong is read as far as it goes and
//! what is wrong is said: half of the images in use have such a table.

use std::fmt;

use tree::ContentAt;

use crate::system_area::{DISK_SECTOR, crc32};

use super::ReadError;
use super::fields::{u32_le, u64_le};

/// All numbers of sectors are of 512 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Partitions {
    pub mbr: Vec<MbrPartition>,
    pub gpt: Option<Gpt>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MbrPartition {
    /// From 1.
    pub number: u32,
    pub active: bool,
    pub kind: u8,
    pub start: u64,
    pub sectors: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gpt {
    pub partitions: Vec<GptPartition>,
    /// What partition tools will complain about.
    pub problems: Vec<&'static str>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GptPartition {
    /// From 1.
    pub number: u32,
    pub kind: Guid,
    pub first: u64,
    /// Within the partition.
    pub last: u64,
    pub attributes: u64,
    pub name: String,
}

/// The first three fields stand little-endian on disk.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Guid(pub [u8; 16]);

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, at) in [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15].into_iter().enumerate() {
            let dash = if matches!(n, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{dash}{:02x}", self.0[at])?;
        }
        Ok(())
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Tables for 512-byte sectors, which is what images have in them.
pub(super) fn find(at: &ContentAt, image_len: u64) -> Result<Partitions, ReadError> {
    if image_len < 2 * DISK_SECTOR {
        return Ok(Partitions::default());
    }
    let head = at.read(0, 2 * DISK_SECTOR)?;
    let (mbr, header) = head.split_at(DISK_SECTOR as usize);
    Ok(Partitions { mbr: mbr_partitions(mbr), gpt: gpt(at, image_len, header)? })
}

fn mbr_partitions(sector: &[u8]) -> Vec<MbrPartition> {
    if sector[510..] != [0x55, 0xAA] {
        return Vec::new();
    }
    let partition = |(number, entry): (u32, &[u8])| {
        let sectors = u64::from(u32_le(entry, 12)?);
        let start = u64::from(u32_le(entry, 8)?);
        (sectors > 0).then_some(MbrPartition { number, active: entry[0] == 0x80, kind: entry[4], start, sectors })
    };
    (1..).zip(sector[446..510].chunks_exact(16)).filter_map(partition).collect()
}

/// Entries are 128 bytes everywhere and 128 or, by xorriso, up to 248 in
/// number; more than this are not looked at.
const TABLE_MAX: u64 = 128 << 10;

fn gpt(at: &ContentAt, image_len: u64, header: &[u8]) -> Result<Option<Gpt>, ReadError> {
    let Some(fields) = Header::parse(header) else { return Ok(None) };
    let mut problems = Vec::new();
    if !fields.sums_up {
        problems.push("the header's checksum is wrong");
    }
    let backup_at = fields.backup.checked_mul(DISK_SECTOR).filter(|start| start + DISK_SECTOR <= image_len);
    match backup_at {
        None => problems.push("the backup header stands behind the end"),
        Some(start) => {
            if start + DISK_SECTOR != image_len {
                problems.push("the backup header is not at the end");
            }
            if !Header::parse(&at.read(start, DISK_SECTOR)?).is_some_and(|backup| backup.sums_up) {
                problems.push("there is no valid backup header where the primary one points");
            }
        }
    }
    let len = u64::from(fields.entries) * u64::from(fields.entry_len);
    let start = fields.entries_at.checked_mul(DISK_SECTOR);
    let within = start.filter(|start| start.checked_add(len).is_some_and(|end| end <= image_len));
    let (Some(start), 128.., ..=TABLE_MAX) = (within, fields.entry_len, len) else {
        problems.push("the entries are out of reach");
        return Ok(Some(Gpt { partitions: Vec::new(), problems }));
    };
    let bytes = at.read(start, len)?;
    if crc32(&bytes) != fields.entries_sum {
        problems.push("the entries' checksum is wrong");
    }
    let entries = (1..).zip(bytes.chunks_exact(fields.entry_len as usize));
    let partitions: Vec<_> = entries.filter_map(|(number, entry)| gpt_partition(number, entry)).collect();
    let overlap = |(n, one): (usize, &GptPartition)| {
        partitions[n + 1..].iter().any(|other| one.first <= other.last && other.first <= one.last)
    };
    if partitions.iter().enumerate().any(overlap) {
        problems.push("partitions overlap");
    }
    Ok(Some(Gpt { partitions, problems }))
}

/// UEFI 2.10, 5.3.2.
struct Header {
    backup: u64,
    entries_at: u64,
    entries: u32,
    entry_len: u32,
    entries_sum: u32,
    sums_up: bool,
}

impl Header {
    fn parse(sector: &[u8]) -> Option<Self> {
        let len = u32_le(sector, 12)? as usize;
        let mut summed = sector.get(..len).filter(|header| header.starts_with(b"EFI PART") && len >= 92)?.to_vec();
        summed[16..20].fill(0);
        Some(Self {
            backup: u64_le(sector, 32)?,
            entries_at: u64_le(sector, 72)?,
            entries: u32_le(sector, 80)?,
            entry_len: u32_le(sector, 84)?,
            entries_sum: u32_le(sector, 88)?,
            sums_up: u32_le(sector, 16)? == crc32(&summed),
        })
    }
}

fn gpt_partition(number: u32, entry: &[u8]) -> Option<GptPartition> {
    let kind = Guid(*entry.first_chunk()?);
    if kind.0 == [0; 16] {
        return None;
    }
    let units = entry.get(56..128)?.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let name: Vec<u16> = units.take_while(|&unit| unit != 0).collect();
    let (first, last, attributes) = (u64_le(entry, 32)?, u64_le(entry, 40)?, u64_le(entry, 48)?);
    Some(GptPartition { number, kind, first, last, attributes, name: String::from_utf16_lossy(&name) })
}
