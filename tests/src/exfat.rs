//! A file on an exFAT partition: mkfs.exfat makes an empty one, and no tool puts a file
//! into it that does not mount it.
//!
//! Law: Microsoft, "exFAT file system specification".

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// 7.2: the file; 7.6: its stream; 7.7: fifteen letters of its name.
const ENTRY: usize = 32;
const FILE: u8 = 0x85;
const STREAM: u8 = 0xc0;
const NAME: u8 = 0xc1;
const BITMAP: u8 = 0x81;
/// In one piece, which the FAT says nothing of.
const CONTIGUOUS: u8 = 3;
const ARCHIVE: u16 = 0x20;
/// 2020-01-01, by 7.4.8.
const DATE: u32 = 40 << 25 | 1 << 21 | 1 << 16;

/// Puts a file of that name into the root of an empty file system.
pub fn add(path: &Path, name: &str, from: &Path) -> Result<()> {
    let mut disk = OpenOptions::new().read(true).write(true).open(path)?;
    let mut boot = [0; 512];
    disk.read_exact_at(&mut boot, 0)?;
    ensure!(&boot[3..11] == b"EXFAT   ", "no exFAT in {}", path.display());
    let field = |at: usize| u64::from(u32::from_le_bytes(boot[at..at + 4].try_into().expect("four bytes")));
    let sector = 1_u64 << boot[108];
    let cluster = sector << boot[109];
    let place = |number: u64| field(88) * sector + (number - 2) * cluster;

    let root = place(field(96));
    let mut entries = vec![0; usize::try_from(cluster)?];
    disk.read_exact_at(&mut entries, root)?;
    let kind = |entry: &&[u8]| entry[0] == BITMAP;
    let bitmap = entries.chunks(ENTRY).find(kind).context("no allocation bitmap")?;
    let bitmap = place(u64::from(u32::from_le_bytes(bitmap[20..24].try_into()?)));
    let mut bits = vec![0; usize::try_from(field(92).div_ceil(8))?];
    disk.read_exact_at(&mut bits, bitmap)?;

    let mut from = File::open(from)?;
    let len = from.metadata()?.len();
    let count = len.div_ceil(cluster);
    // It is empty: behind what is taken nothing is.
    let taken = bits.iter().rposition(|&byte| byte != 0).map_or(0, |at| at as u64 + 1) * 8;
    ensure!(taken + count <= field(92), "{count} clusters do not fit");
    for bit in taken..taken + count {
        bits[usize::try_from(bit / 8)?] |= 1 << (bit % 8);
    }
    disk.write_all_at(&bits, bitmap)?;
    let free = entries.chunks(ENTRY).position(|entry| entry[0] == 0).context("the root has no room")?;
    disk.write_all_at(&file(name, u32::try_from(taken + 2)?, len), root + (free * ENTRY) as u64)?;
    disk.seek(SeekFrom::Start(place(taken + 2)))?;
    let mut block = vec![0; 1 << 20];
    loop {
        let read = from.read(&mut block)?;
        if read == 0 {
            return Ok(());
        }
        disk.write_all(&block[..read])?;
    }
}

fn file(name: &str, cluster: u32, len: u64) -> Vec<u8> {
    let name: Vec<u16> = name.encode_utf16().collect();
    let names = name.chunks(15);
    let mut file = vec![0; ENTRY];
    (file[0], file[1]) = (FILE, names.len() as u8 + 1);
    file[4..6].copy_from_slice(&ARCHIVE.to_le_bytes());
    for at in [8, 12, 16] {
        file[at..at + 4].copy_from_slice(&DATE.to_le_bytes());
    }
    let mut stream = vec![0; ENTRY];
    (stream[0], stream[1], stream[3]) = (STREAM, CONTIGUOUS, name.len() as u8);
    let upper = name.iter().map(|&letter| u8::try_from(letter).map_or(letter, |c| c.to_ascii_uppercase().into()));
    stream[4..6].copy_from_slice(&sum(upper.flat_map(u16::to_le_bytes)).to_le_bytes());
    stream[8..16].copy_from_slice(&len.to_le_bytes());
    stream[20..24].copy_from_slice(&cluster.to_le_bytes());
    stream[24..32].copy_from_slice(&len.to_le_bytes());
    let mut set = [file, stream].concat();
    for letters in names {
        set.extend([NAME, 0]);
        set.extend(letters.iter().flat_map(|letter| letter.to_le_bytes()));
        set.resize(set.len().next_multiple_of(ENTRY), 0);
    }
    // 6.3.3: of all but itself.
    let sum = sum(set.iter().enumerate().filter(|(at, _)| !matches!(at, 2 | 3)).map(|(_, &byte)| byte));
    set[2..4].copy_from_slice(&sum.to_le_bytes());
    set
}

fn sum(bytes: impl Iterator<Item = u8>) -> u16 {
    bytes.fold(0_u16, |sum, byte| sum.rotate_right(1).wrapping_add(byte.into()))
}
