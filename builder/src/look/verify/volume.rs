//! The ISO as a volume and as a disk.

use init::contract::medium;
use iso::read::{BootEntry, Iso};
use iso::{Boot, EfiImage, Image, VolumeId};
use tree::ContentAt;

use super::esp::Esp;
use super::report::chain;
use super::{Report, Severity, path};
use crate::opened::Level;

const DISK_SECTOR: u64 = 512;

pub(super) fn check(image: &Level, volume: &Iso, esp: Option<&Esp>, is_ours: bool, report: &mut Report) {
    let (name, len) = (&image.name, image.opened.content.len());
    if volume.volume_len() > len {
        let wanted = volume.volume_len();
        report.fault(name, format!("has {len} bytes and should have {wanted}: it is cut short"));
    }
    match VolumeId::new(volume.volume_id()) {
        Ok(label) => advise(image, label, esp, report),
        Err(error) => report.advise(name, error.to_string()),
    }
    match (volume.boot_entries(), image.opened.content.open_at()) {
        (Ok(entries), Ok(at)) => {
            for entry in entries.iter().filter(|entry| entry.bootable) {
                check_boot_image(name, &at, len, entry, report);
            }
        }
        (Err(error), _) => report.fault(name, chain(&error)),
        (_, Err(error)) => report.fault(name, error.to_string()),
    }
    check_tables(name, volume, len, is_ours, report);
    check_stored_once(image, esp, report);
}

/// The sentences that a build of the same image would have said.
fn advise(image: &Level, label: VolumeId, esp: Option<&Esp>, report: &mut Report) {
    let efi = esp.map(|esp| EfiImage::Appended(esp.content.clone()));
    let boot = Some(Boot { bios: None, efi });
    let asked = Image { boot, ..Image::new(&image.opened.tree, label, 0) };
    for sentence in iso::advice(&asked) {
        report.advise(&image.name, sentence);
    }
}

fn check_boot_image(name: &str, at: &ContentAt, len: u64, entry: &BootEntry, report: &mut Report) {
    let place = format!("{name}: El Torito image at sector {}", entry.lba);
    let start = u64::from(entry.lba) * iso::SECTOR as u64;
    let Ok(head) = at.read(start, 64) else {
        return report.fault(place, format!("stands behind the end of the image, which has {len} bytes"));
    };
    if head.iter().all(|b| *b == 0) {
        report.fault(&place, "is empty");
    }
    if entry.platform != 0 || entry.emulation != 0 {
        return;
    }
    let field = |n: usize| u32::from_le_bytes([head[n], head[n + 1], head[n + 2], head[n + 3]]);
    // The boot info table stands at byte 8 (mkisofs(8), "EL TORITO BOOT
    // INFORMATION TABLE"): the descriptor's sector, the image's, length and sum.
    let (descriptor, own, length, sum) = (field(8), field(12), field(16), field(20));
    if descriptor != 16 {
        return;
    }
    if own != entry.lba {
        return report.fault(place, format!("thinks that it stands at sector {own}"));
    }
    match at.read(start, length.into()).map(|bytes| checksum(&bytes)) {
        Ok(found) if found == sum => {}
        Ok(_) => report.fault(place, "does not match the checksum in its boot info table: it is damaged"),
        Err(_) => report.fault(place, "is cut short"),
    }
}

/// Of all 32-bit words behind the table.
fn checksum(image: &[u8]) -> u32 {
    let words = image.get(64..).unwrap_or_default().chunks(4);
    words.fold(0, |sum, word| {
        let mut bytes = [0; 4];
        bytes[..word.len()].copy_from_slice(word);
        sum.wrapping_add(u32::from_le_bytes(bytes))
    })
}

/// Tables that partition tools complain about are common, and boot.
fn check_tables(name: &str, volume: &Iso, len: u64, is_ours: bool, report: &mut Report) {
    let tables = match volume.partitions() {
        Ok(tables) => tables,
        Err(error) => return report.fault(name, chain(&error)),
    };
    let severity = if is_ours { Severity::Fault } else { Severity::Advice };
    for problem in tables.gpt.iter().flat_map(|gpt| &gpt.problems) {
        report.add(severity, format!("{name}: GPT"), *problem);
    }
    for part in &tables.mbr {
        if part.start.saturating_add(part.sectors).saturating_mul(DISK_SECTOR) > len {
            report.add(
                severity,
                format!("{name}: MBR partition {}", part.number),
                "reaches behind the end of the image",
            );
        }
    }
}

/// Kernel and initramfs that stand in the ESP, and in the ISO once more.
fn check_stored_once(image: &Level, esp: Option<&Esp>, report: &mut Report) {
    let Some(esp) = esp else { return };
    for written in [medium::KERNEL, medium::INITRAMFS] {
        let path = path(written);
        let Some(content) = image.opened.tree.get(&path).and_then(|item| item.content()) else { continue };
        let twins = esp.tree.walk().filter_map(|item| item.content());
        let mut twins = twins.filter(|twin| !twin.is_same_place(content));
        if twins.any(|twin| twin.is_same(content).unwrap_or(false)) {
            report.advise(format!("{}:{path}", image.name), "stands in the ESP, too: it is stored twice");
        }
    }
}
