//! What firmware does with an ISO, by what it looks for.

use iso::read::Iso;

use super::Boot;
use super::esp::Esp;
use crate::opened::Level;

const CD: &str = "CD-ROM";
const DISK: &str = "USB stick or disk";
/// What a BIOS runs of the first sector; the partition table stands behind it.
const BOOT_CODE: u64 = 440;

pub(super) fn what_firmware_does(image: &Level, volume: &Iso, esp: Option<&Esp>) -> Vec<Boot> {
    // Their errors are findings already.
    let entries = volume.boot_entries().unwrap_or_default();
    let tables = volume.partitions().unwrap_or_default();
    let bios = entries.iter().find(|entry| entry.bootable && entry.platform == 0);
    let uefi = entries.iter().any(|entry| entry.bootable && entry.platform == 0xef);
    let code = image.opened.content.open_at().and_then(|at| at.read(0, BOOT_CODE)).unwrap_or_default();
    let has_code = code.iter().any(|b| *b != 0);
    let in_table = tables.gpt.is_some() || tables.mbr.iter().any(|part| part.kind == 0xef);
    let no_esp = || (false, "finds no ESP with a program for it".to_owned());

    let bios_cd = bios.map_or_else(
        || (false, "finds no boot image in the boot catalog".to_owned()),
        |entry| (true, format!("loads {} bytes from sector {}", u32::from(entry.load_sectors) * 512, entry.lba)),
    );
    let bios_disk = match (has_code, tables.mbr.is_empty()) {
        (true, false) => (true, "runs the code in the first sector".to_owned()),
        (true, true) => (false, "finds no partition table behind the code in the first sector".to_owned()),
        (false, _) => (false, "finds no code in the first sector".to_owned()),
    };
    let starts = esp.and_then(started);
    let uefi_cd = starts.clone().filter(|_| uefi).map_or_else(no_esp, |what| (true, what));
    let uefi_disk = starts.filter(|_| in_table).map_or_else(no_esp, |what| (true, what));
    let all = [("BIOS", CD, bios_cd), ("BIOS", DISK, bios_disk), ("UEFI", CD, uefi_cd), ("UEFI", DISK, uefi_disk)];
    all.map(|(firmware, attachment, (boots, what))| Boot { firmware, attachment, boots, what }).into()
}

fn started(esp: &Esp) -> Option<String> {
    let loaders: Vec<String> = esp
        .loaders
        .iter()
        .map(|loader| {
            let signed = if loader.is_signed { "signed" } else { "unsigned: not with Secure Boot" };
            format!("starts {} on {} ({signed})", loader.path, loader.arch)
        })
        .collect();
    (!loaders.is_empty()).then(|| loaders.join(", "))
}
