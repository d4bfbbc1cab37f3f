//! A GPT moved from the image it was made for to the larger disk it is on: the
//! backup goes to the disk's end, and what says how large the disk is says so
//! (UEFI 2.10, 5.2.3 and 5.3). The image's table was found sound before.

use flate2::Crc;

use super::Patch;

/// Tables in images are for disks whose sectors have 512 bytes.
pub(super) const SECTOR: u64 = 512;
/// UEFI 2.10, 5.3.2.
const HEADER_LEN: usize = 92;
const ENTRY_LEN: usize = 128;
/// Where partitions begin and end, so that no flash block is shared by two.
pub(super) const ALIGN: u64 = 1 << 20;
/// 0FC63DAF-8483-4772-8E79-3D69D8477DE4, "Linux filesystem", as on disk.
const LINUX: [u8; 16] =
    [0xAF, 0x3D, 0xC6, 0x0F, 0x83, 0x84, 0x72, 0x47, 0x8E, 0x79, 0x3D, 0x69, 0xD8, 0x47, 0x7D, 0xE4];
/// UEFI 2.10, 5.2.3: the MBR's entry for a disk that a GPT protects.
const PROTECTIVE: u8 = 0xEE;

#[derive(Debug, Clone)]
pub(super) struct Table {
    mbr: Vec<u8>,
    header: Vec<u8>,
    entries_at: u64,
    entries: Vec<u8>,
}

/// In bytes, and both ends at [`ALIGN`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u64,
    pub(super) end: u64,
}

impl Table {
    /// From the image's first bytes, which reach behind its partition entries;
    /// None for a table of another make than all in use.
    pub(super) fn parse(head: &[u8]) -> Option<Self> {
        let (mbr, rest) = head.split_at_checked(SECTOR as usize)?;
        let header = rest.get(..HEADER_LEN)?;
        let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let usual =
            header.starts_with(b"EFI PART") && word(12) as usize == HEADER_LEN && word(84) as usize == ENTRY_LEN;
        let entries_at = u64::from(word(72)) * SECTOR;
        let len = (word(80) as usize).checked_mul(ENTRY_LEN)?;
        // The upper half of a sector's number that stands so near is zero.
        if !usual || word(76) != 0 {
            return None;
        }
        let entries = head.get(entries_at as usize..)?.get(..len)?;
        Some(Self { mbr: mbr.into(), header: header.into(), entries_at, entries: entries.into() })
    }

    /// How far the image's first bytes have to reach.
    pub(super) const HEAD_LEN: u64 = 1 << 20;

    /// Bytes at the disk's end that the backup takes.
    fn backup_len(&self) -> u64 {
        (self.entries.len() as u64).next_multiple_of(SECTOR) + SECTOR
    }

    /// The room behind the image, before the backup.
    pub(super) fn room(&self, image_len: u64, disk_len: u64) -> Span {
        let start = image_len.next_multiple_of(ALIGN);
        let end = disk_len.saturating_sub(self.backup_len()) / ALIGN * ALIGN;
        Span { start, end: end.max(start) }
    }

    /// Puts a partition into the first entry that is free; false if none is.
    pub(super) fn add(&mut self, name: &str, Span { start, end }: Span) -> bool {
        // Of the image's own: the same on each stick, as all its numbers are.
        let guid = derived(&self.header[56..72]);
        let Some(entry) = self.entries.chunks_exact_mut(ENTRY_LEN).find(|entry| entry[..16] == [0; 16]) else {
            return false;
        };
        entry.fill(0);
        entry[..16].copy_from_slice(&LINUX);
        entry[16..32].copy_from_slice(&guid);
        entry[32..40].copy_from_slice(&(start / SECTOR).to_le_bytes());
        entry[40..48].copy_from_slice(&(end / SECTOR - 1).to_le_bytes());
        for (unit, place) in name.encode_utf16().zip(entry[56..].chunks_exact_mut(2)) {
            place.copy_from_slice(&unit.to_le_bytes());
        }
        true
    }

    /// What is to stand on a disk of that many bytes.
    pub(super) fn patches(&self, disk_len: u64) -> Vec<Patch> {
        let last = disk_len / SECTOR - 1;
        let backup_entries = (disk_len - self.backup_len()) / SECTOR;
        let mut backup = self.entries.clone();
        backup.resize((self.backup_len() - SECTOR) as usize, 0);
        let mut header = self.header(last, 1, backup_entries);
        header.resize(SECTOR as usize, 0);
        backup.extend(header);
        vec![
            Patch { at: 0, bytes: self.protective_mbr(last) },
            Patch { at: SECTOR, bytes: self.header(1, last, self.entries_at / SECTOR) },
            Patch { at: self.entries_at, bytes: self.entries.clone() },
            Patch { at: disk_len - self.backup_len(), bytes: backup },
        ]
    }

    fn header(&self, here: u64, other: u64, entries_at: u64) -> Vec<u8> {
        let last_usable = here.max(other) - self.backup_len() / SECTOR;
        let mut header = self.header.clone();
        for (at, value) in [(24, here), (32, other), (48, last_usable), (72, entries_at)] {
            header[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        header[88..92].copy_from_slice(&crc32(&self.entries).to_le_bytes());
        header[16..20].fill(0);
        let sum = crc32(&header);
        header[16..20].copy_from_slice(&sum.to_le_bytes());
        header
    }

    /// The protective entry spans the disk, or as much as an MBR can say.
    fn protective_mbr(&self, last: u64) -> Vec<u8> {
        let mut mbr = self.mbr.clone();
        for entry in mbr[446..510].chunks_exact_mut(16).filter(|entry| entry[4] == PROTECTIVE) {
            let start = u32::from_le_bytes([entry[8], entry[9], entry[10], entry[11]]);
            let sectors = u32::try_from(last + 1 - u64::from(start)).unwrap_or(u32::MAX);
            entry[12..16].copy_from_slice(&sectors.to_le_bytes());
            // Cylinder, head and sector of the end: past what they can tell.
            entry[5..8].fill(0xFF);
        }
        mbr
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// Another GUID made of one, of RFC 9562's version 8.
fn derived(guid: &[u8]) -> [u8; 16] {
    use sha2::Digest;
    let digest = sha2::Sha256::new().chain_update("persistence").chain_update(guid).finalize();
    let mut out = [0; 16];
    out.copy_from_slice(&digest[..16]);
    out[7] = out[7] & 0x0F | 0x80;
    out[8] = out[8] & 0x3F | 0x80;
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sound enough for what is not checked here again.
    fn head() -> Vec<u8> {
        let mut head = vec![0; Table::HEAD_LEN as usize];
        head[446..462].copy_from_slice(&[0, 0, 2, 0, PROTECTIVE, 1, 2, 3, 1, 0, 0, 0, 9, 0, 0, 0]);
        let header = &mut head[512..604];
        header[..16].copy_from_slice(b"EFI PART\0\0\x01\0\x5c\0\0\0");
        header[56..72].fill(7);
        header[72] = 2;
        header[80] = 128;
        header[84] = 128;
        head[1024..1040].fill(1); // one partition
        head
    }

    fn word(bytes: &[u8], at: usize) -> u64 {
        u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
    }

    #[test]
    fn both_headers_and_the_mbr_say_how_large_the_disk_is() {
        let table = Table::parse(&head()).unwrap();
        let disk = 100 << 20;
        let patches = table.patches(disk);
        let (mbr, header, backup) = (&patches[0].bytes, &patches[1].bytes, &patches[3].bytes);
        let last = disk / SECTOR - 1;
        assert_eq!(mbr[446..462], [0, 0, 2, 0, PROTECTIVE, 255, 255, 255, 1, 0, 0, 0, 255, 31, 3, 0]);
        assert_eq!([word(header, 24), word(header, 32), word(header, 48), word(header, 72)], [1, last, last - 33, 2]);
        assert_eq!((patches[3].at, backup.len() as u64), (disk - 33 * SECTOR, 33 * SECTOR));
        let backup = &backup[32 * 512..];
        assert_eq!([word(backup, 24), word(backup, 32), word(backup, 72)], [last, 1, last - 32]);
    }

    #[test]
    fn a_partition_takes_the_room_behind_the_image() {
        let mut table = Table::parse(&head()).unwrap();
        let room = table.room((10 << 20) + 1, 100 << 20);
        assert_eq!(room, Span { start: 11 << 20, end: 99 << 20 });
        assert!(table.add("live-persist", room));
        let entry = &table.entries[128..256];
        assert_eq!(entry[..16], LINUX);
        assert_eq!([word(entry, 32), word(entry, 40)], [22 << 10, (99 << 11) - 1]);
        assert_eq!(&entry[56..64], b"l\0i\0v\0e\0");
        assert_eq!(table.room(100 << 20, 100 << 20), Span { start: 100 << 20, end: 100 << 20 }, "no room at all");
    }

    #[test]
    fn tables_of_another_make_and_cut_ones_are_none() {
        for (at, value) in [(512, 0), (512 + 12, 91), (512 + 84, 64), (512 + 75, 255), (512 + 83, 255)] {
            let mut head = head();
            head[at] = value;
            assert!(Table::parse(&head).is_none(), "{at}");
        }
        assert!(Table::parse(&head()[..2000]).is_none());
    }
}
