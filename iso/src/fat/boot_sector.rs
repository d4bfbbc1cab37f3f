//! The first sectors: what an image says about itself.

use super::format::{FIRST_CLUSTER, FatKind, MEDIUM, SECTOR};
use super::geometry::{Geometry, TABLES};
use crate::format::put;
use crate::system_area::{HEADS, SECTORS_PER_TRACK};

/// FAT32 keeps a copy of its first sectors here.
const BACKUP: usize = 6;

const INFO: usize = 1;

/// `int 0x18`, the BIOS's way to try the next device; if it comes back, halt.
const NOT_BOOTABLE: [u8; 5] = [0xCD, 0x18, 0xF4, 0xEB, 0xFD];

/// All reserved sectors. `label` is eleven bytes, `free` the number of
/// clusters that nothing stands in.
pub(super) fn reserved(geometry: &Geometry, label: &[u8; 11], serial: u32, next: u32, free: u64) -> Vec<u8> {
    let sector = SECTOR as usize;
    let mut out = vec![0; geometry.reserved as usize * sector];
    let boot = boot_sector(geometry, label, serial);
    put(&mut out, 0, &boot);
    if geometry.kind == FatKind::Fat32 {
        let info = info(next, free);
        put(&mut out, INFO * sector, &info);
        put(&mut out, BACKUP * sector, &boot);
        put(&mut out, (BACKUP + INFO) * sector, &info);
    }
    out
}

/// "Boot Sector and BPB".
fn boot_sector(geometry: &Geometry, label: &[u8; 11], serial: u32) -> Vec<u8> {
    let mut out = vec![0; SECTOR as usize];
    let is_fat32 = geometry.kind == FatKind::Fat32;
    let extended = if is_fat32 { 64 } else { 36 };
    let code = extended + 26;
    put(&mut out, 0, &[0xEB, (code - 2) as u8, 0x90]);
    put(&mut out, 3, b"LIVEROOT");
    put(&mut out, 11, &(SECTOR as u16).to_le_bytes());
    out[13] = geometry.per_cluster as u8;
    put(&mut out, 14, &(geometry.reserved as u16).to_le_bytes());
    out[16] = TABLES as u8;
    let root_entries = (geometry.root * SECTOR / super::format::ENTRY as u64) as u16;
    put(&mut out, 17, &root_entries.to_le_bytes());
    match u16::try_from(geometry.total) {
        Ok(total) if !is_fat32 => put(&mut out, 19, &total.to_le_bytes()),
        _ => put(&mut out, 32, &(geometry.total as u32).to_le_bytes()),
    }
    out[21] = MEDIUM;
    put(&mut out, 24, &(SECTORS_PER_TRACK as u16).to_le_bytes());
    put(&mut out, 26, &(HEADS as u16).to_le_bytes());
    if is_fat32 {
        put(&mut out, 36, &(geometry.table as u32).to_le_bytes());
        put(&mut out, 44, &FIRST_CLUSTER.to_le_bytes());
        put(&mut out, 48, &(INFO as u16).to_le_bytes());
        put(&mut out, 50, &(BACKUP as u16).to_le_bytes());
    } else {
        put(&mut out, 22, &(geometry.table as u16).to_le_bytes());
    }
    out[extended] = 0x80;
    out[extended + 2] = 0x29;
    put(&mut out, extended + 3, &serial.to_le_bytes());
    put(&mut out, extended + 7, label);
    let kind: &[u8; 8] = match geometry.kind {
        FatKind::Fat12 => b"FAT12   ",
        FatKind::Fat16 => b"FAT16   ",
        FatKind::Fat32 => b"FAT32   ",
    };
    put(&mut out, extended + 18, kind);
    put(&mut out, code, &NOT_BOOTABLE);
    put(&mut out, 510, &[0x55, 0xAA]);
    out
}

/// "FAT32 FSInfo Sector Structure".
fn info(next: u32, free: u64) -> Vec<u8> {
    let mut out = vec![0; SECTOR as usize];
    put(&mut out, 0, b"RRaA");
    put(&mut out, 484, b"rrAa");
    put(&mut out, 488, &(free as u32).to_le_bytes());
    put(&mut out, 492, &next.to_le_bytes());
    put(&mut out, 510, &[0x55, 0xAA]);
    out
}
