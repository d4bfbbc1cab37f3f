//! GUID partition tables (UEFI 2.10, 5.3), primary and backup.

use super::{DISK_SECTOR, crc32};
use crate::format::{SECTOR, put};

/// UEFI 2.10, 5.3.1: 16 KiB at least, which is 128 entries of 128 bytes.
const ENTRIES: u32 = 128;
const ENTRY: usize = 128;
const ENTRIES_BYTES: usize = ENTRIES as usize * ENTRY;
const ENTRIES_SECTORS: u64 = ENTRIES_BYTES as u64 / DISK_SECTOR;

/// UEFI 2.10, 5.3.2.
const HEADER: usize = 92;

/// Bytes of the backup table, filled up to whole sectors of the disc.
pub(crate) const BACKUP_LEN: u64 = ((ENTRIES_SECTORS + 1) * DISK_SECTOR).next_multiple_of(SECTOR as u64);

/// As Microsoft writes GUIDs on disk: the first three fields little-endian.
pub(crate) type Guid = [u8; 16];

/// EBD0A0A2-B9E5-4433-87C0-68B6B72699C7, "basic data".
pub(crate) const BASIC_DATA: Guid =
    [0xA2, 0xA0, 0xD0, 0xEB, 0xE5, 0xB9, 0x33, 0x44, 0x87, 0xC0, 0x68, 0xB6, 0xB7, 0x26, 0x99, 0xC7];

/// C12A7328-F81F-11D2-BA4B-00A0C93EC93B, the EFI system partition.
pub(crate) const ESP: Guid =
    [0x28, 0x73, 0x2A, 0xC1, 0x1F, 0xF8, 0xD2, 0x11, 0xBA, 0x4B, 0x00, 0xA0, 0xC9, 0x3E, 0xC9, 0x3B];

/// Attributes of a partition (UEFI 2.10, table 5.8; bit 60 is Microsoft's
/// "read-only").
pub(crate) const REQUIRED_READ_ONLY: u64 = 1 << 60 | 1;

/// First and last sector, both within the partition.
#[derive(Debug, Clone)]
pub(crate) struct Partition {
    pub(crate) kind: Guid,
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) attributes: u64,
    pub(crate) name: &'static str,
}

#[derive(Debug)]
pub(crate) struct Table<'t> {
    pub(crate) partitions: Vec<Partition>,
    /// Of the disk, in sectors.
    pub(crate) disk_sectors: u64,
    /// What the GUIDs are made of: the same image gets the same ones.
    pub(crate) seed: &'t [u8],
}

impl Table<'_> {
    /// Header and entries, to stand right behind the MBR.
    pub(crate) fn primary(&self) -> Vec<u8> {
        let entries = self.entries();
        let mut out = self.header(1, self.disk_sectors - 1, 2, &entries);
        out.resize(DISK_SECTOR as usize, 0);
        out.extend(entries);
        out
    }

    /// Entries and header, to stand at the very end: [`BACKUP_LEN`] bytes.
    pub(crate) fn backup(&self) -> Vec<u8> {
        let entries = self.entries();
        let header = self.header(self.disk_sectors - 1, 1, self.disk_sectors - 1 - ENTRIES_SECTORS, &entries);
        let mut out = vec![0; BACKUP_LEN as usize];
        let header_at = out.len() - DISK_SECTOR as usize;
        put(&mut out, header_at, &header);
        put(&mut out, header_at - ENTRIES_BYTES, &entries);
        out
    }

    fn header(&self, here: u64, other: u64, entries_at: u64, entries: &[u8]) -> Vec<u8> {
        let mut out = vec![0; HEADER];
        put(&mut out, 0, b"EFI PART");
        put(&mut out, 8, &0x0001_0000_u32.to_le_bytes());
        put(&mut out, 12, &(HEADER as u32).to_le_bytes());
        put(&mut out, 24, &here.to_le_bytes());
        put(&mut out, 32, &other.to_le_bytes());
        let first_usable = 2 + ENTRIES_SECTORS;
        let last_usable = self.disk_sectors - 2 - ENTRIES_SECTORS;
        put(&mut out, 40, &first_usable.to_le_bytes());
        put(&mut out, 48, &last_usable.to_le_bytes());
        put(&mut out, 56, &self.guid("disk"));
        put(&mut out, 72, &entries_at.to_le_bytes());
        put(&mut out, 80, &ENTRIES.to_le_bytes());
        put(&mut out, 84, &(ENTRY as u32).to_le_bytes());
        put(&mut out, 88, &crc32(entries).to_le_bytes());
        let sum = crc32(&out);
        put(&mut out, 16, &sum.to_le_bytes());
        out
    }

    /// UEFI 2.10, table 5.6.
    fn entries(&self) -> Vec<u8> {
        let mut out = vec![0; ENTRIES_BYTES];
        for (partition, entry) in self.partitions.iter().zip(out.chunks_exact_mut(ENTRY)) {
            put(entry, 0, &partition.kind);
            put(entry, 16, &self.guid(partition.name));
            put(entry, 32, &partition.first.to_le_bytes());
            put(entry, 40, &partition.last.to_le_bytes());
            put(entry, 48, &partition.attributes.to_le_bytes());
            let name: Vec<u8> = partition.name.encode_utf16().flat_map(u16::to_le_bytes).collect();
            put(entry, 56, &name);
        }
        out
    }

    /// An RFC 9562 UUID of version 8, whose bits are the maker's: two FNV-1a
    /// hashes of the seed and of what it is for.
    fn guid(&self, purpose: &str) -> Guid {
        let hash = |lane: u8| {
            let bytes = self.seed.iter().chain(purpose.as_bytes()).chain([&lane]);
            bytes.fold(0xCBF2_9CE4_8422_2325_u64, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
        };
        let mut out = [0; 16];
        put(&mut out, 0, &hash(1).to_le_bytes());
        put(&mut out, 8, &hash(2).to_le_bytes());
        out[7] = out[7] & 0x0F | 0x80;
        out[8] = out[8] & 0x3F | 0x80;
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table<'static> {
        let partition = |kind, first, last, name| Partition { kind, first, last, attributes: REQUIRED_READ_ONLY, name };
        let partitions = vec![partition(BASIC_DATA, 64, 4095, "ISO9660"), partition(ESP, 4096, 6143, "ESP")];
        Table { partitions, disk_sectors: 8192, seed: b"seed" }
    }

    #[test]
    fn both_headers_point_at_each_other_and_sum_up() {
        let (primary, backup) = (table().primary(), table().backup());
        let word = |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let header_at = backup.len() - 512;
        for (header, here, other, entries_at) in
            [(&primary[..], 1, 8191, 2), (&backup[header_at..], 8191, 1, 8191 - 32)]
        {
            assert_eq!(&header[..16], b"EFI PART\0\0\x01\0\x5c\0\0\0");
            assert_eq!([word(header, 24), word(header, 32), word(header, 72)], [here, other, entries_at]);
            assert_eq!([word(header, 40), word(header, 48)], [34, 8192 - 34]);
            let mut unsummed = header[..92].to_vec();
            unsummed[16..20].fill(0);
            assert_eq!(header[16..20], crc32(&unsummed).to_le_bytes());
            assert_eq!(header[88..92], crc32(&primary[512..]).to_le_bytes());
        }
        assert_eq!(primary.len(), 33 * 512);
        assert_eq!(backup[header_at - ENTRIES_BYTES..header_at], primary[512..]);
        assert_eq!(backup.len() % SECTOR, 0);
    }

    #[test]
    fn entries_have_type_place_attributes_and_name() {
        let primary = table().primary();
        let esp = &primary[512 + 128..512 + 256];
        assert_eq!(esp[..16], ESP);
        assert_eq!(esp[32..48], [4096_u64.to_le_bytes(), 6143_u64.to_le_bytes()].concat());
        assert_eq!(esp[48..56], [1, 0, 0, 0, 0, 0, 0, 0x10]);
        assert_eq!(&esp[56..64], b"E\0S\0P\0\0\0");
    }

    #[test]
    fn guids_differ_by_purpose_and_by_seed() {
        let (one, other) = (table(), Table { seed: b"other", ..table() });
        assert_ne!(one.guid("disk"), one.guid("ESP"));
        assert_ne!(one.guid("disk"), other.guid("disk"));
        assert_eq!(one.guid("disk"), table().guid("disk"));
        assert_eq!(one.guid("disk")[7] >> 4, 8);
    }
}
