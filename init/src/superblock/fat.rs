//! FAT12, FAT16 and FAT32: Microsoft's FAT specification 1.03.
//!
//! FAT has no magic. A boot sector whose fields make sense together is taken
//! for one, as the kernel takes it (fat_read_bpb of fs/fat/inode.c).

use std::io;

use super::{Device, Fs, Superblock, le16, le32, trimmed};

/// Sectors of a root directory, or its clusters, that are searched for the
/// label. It is the first entry where mkfs made it.
const SECTORS_MAX: u64 = 64;
const NO_NAME: &[u8] = b"NO NAME    ";

struct Layout {
    sector: u64,
    fat_start: u64,
    /// Where the root directory is, or its first cluster.
    root: Root,
    /// Of the extended boot record, which FAT32 has further back.
    serial: u32,
    label: [u8; 11],
}

enum Root {
    Fixed { start: u64, sectors: u64 },
    Clusters { first: u32, heap: u64, sectors: u64 },
}

pub(super) fn probe(device: &Device) -> io::Result<Option<Superblock>> {
    let Some(block) = device.read::<512>(0)? else { return Ok(None) };
    let Some(layout) = layout(&block) else { return Ok(None) };
    let label = match root_label(device, &layout)? {
        Some(label) => label,
        None => layout.label,
    };
    let label = if label == NO_NAME { Vec::new() } else { trimmed(&label) };
    let uuid = match layout.serial {
        0 => String::new(),
        serial => format!("{:04X}-{:04X}", serial >> 16, serial & 0xffff),
    };
    Ok(Some(Superblock::new(Fs::Vfat, label, uuid)))
}

fn layout(block: &[u8; 512]) -> Option<Layout> {
    let sector = u64::from(le16(block, 11));
    let per_cluster = u64::from(block[13]);
    let reserved = u64::from(le16(block, 14));
    let fats = u64::from(block[16]);
    let root_entries = u64::from(le16(block, 17));
    let media = block[21];
    let sectors = match le16(block, 19) {
        0 => u64::from(le32(block, 32)),
        small => u64::from(small),
    };
    let fat32 = le16(block, 22) == 0;
    let fat_sectors = if fat32 { u64::from(le32(block, 36)) } else { u64::from(le16(block, 22)) };
    let sane = le16(block, 510) == 0xaa55
        && matches!(sector, 512 | 1024 | 2048 | 4096)
        && per_cluster.is_power_of_two()
        && reserved > 0
        && (1..=4).contains(&fats)
        && (media == 0xf0 || media >= 0xf8)
        && fat_sectors > 0
        && (fat32 || root_entries > 0);
    if !sane {
        return None;
    }
    let root_start = reserved + fats * fat_sectors;
    let root_sectors = (root_entries * 32).div_ceil(sector);
    if root_start + root_sectors >= sectors {
        return None;
    }
    // The extended boot record: signature 0x29 (or 0x28, without the label).
    let extended = if fat32 { 66 } else { 38 };
    let (serial, label) = match block[extended] {
        0x29 => (le32(block, extended + 1), std::array::from_fn(|n| block[extended + 5 + n])),
        0x28 => (le32(block, extended + 1), *b"NO NAME    "),
        _ => (0, *b"NO NAME    "),
    };
    let root = if fat32 {
        Root::Clusters { first: le32(block, 44), heap: root_start, sectors: per_cluster }
    } else {
        Root::Fixed { start: root_start, sectors: root_sectors }
    };
    Some(Layout { sector, fat_start: reserved, root, serial, label })
}

/// The label in the root directory, which is the one that users change.
fn root_label(device: &Device, layout: &Layout) -> io::Result<Option<[u8; 11]>> {
    let mut budget = SECTORS_MAX;
    match layout.root {
        Root::Fixed { start, sectors } => match search(device, layout, start, sectors, &mut budget)? {
            Search::Found(label) => Ok(Some(label)),
            Search::Ended | Search::NotHere => Ok(None),
        },
        Root::Clusters { mut first, heap, sectors } => {
            while (2..0x0fff_fff7).contains(&first) && budget > 0 {
                let start = heap + u64::from(first - 2) * sectors;
                match search(device, layout, start, sectors, &mut budget)? {
                    Search::Found(label) => return Ok(Some(label)),
                    Search::Ended => return Ok(None),
                    Search::NotHere => {}
                }
                let Some(next) = device.read::<4>(layout.fat_start * layout.sector + u64::from(first) * 4)? else {
                    return Ok(None);
                };
                first = u32::from_le_bytes(next) & 0x0fff_ffff;
            }
            Ok(None)
        }
    }
}

enum Search {
    Found([u8; 11]),
    /// The directory's end came.
    Ended,
    NotHere,
}

fn search(device: &Device, layout: &Layout, start: u64, sectors: u64, budget: &mut u64) -> io::Result<Search> {
    const VOLUME: u8 = 0x08;
    const DIRECTORY: u8 = 0x10;
    const LONG_NAME: u8 = 0x0f;
    const FREE: u8 = 0xe5;
    let sectors = sectors.min(*budget);
    *budget -= sectors;
    for at in 0..sectors * layout.sector / 512 {
        let Some(block) = device.read::<512>(start * layout.sector + at * 512)? else { return Ok(Search::Ended) };
        for entry in block.chunks_exact(32) {
            let attributes = entry[11];
            if entry[0] == 0 {
                return Ok(Search::Ended);
            }
            let is_label = attributes & (VOLUME | DIRECTORY) == VOLUME && attributes & LONG_NAME != LONG_NAME;
            // A label has no contents: its first cluster is none.
            if is_label && entry[0] != FREE && le16(entry, 20) == 0 && le16(entry, 26) == 0 {
                let mut label = std::array::from_fn(|n| entry[n]);
                // Clause 6.1: 0x05 stands for a first byte that would mean "free".
                if label[0] == 0x05 {
                    label[0] = FREE;
                }
                return Ok(Search::Found(label));
            }
        }
    }
    Ok(Search::NotHere)
}
