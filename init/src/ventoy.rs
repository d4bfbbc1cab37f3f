//! What Ventoy leaves in memory for the system that it starts: which file on
//! which disk the firmware saw as a disk.
//!
//! Law: ventoy.net, "Ventoy Compatible", the format of the runtime parameter, and its
//! reader, vtoydump, for the ACPI table.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use nix::mount::MsFlags;

use crate::devices::Devices;
use crate::early::make_dir;
use crate::log::debug;
use crate::medium::{IsoFile, Spec, inside};
use crate::mounts::Mounted;

const LEN: usize = 512;
const SIGNATURE: &[u8; 16] = b"  www.ventoy.net";
const VARIABLE: &str = "VentoyOsParam-77772020-2e77-6576-6e74-6f792e6e6574";
/// Where there is a BIOS, or Secure Boot.
const TABLE: &str = "/sys/firmware/acpi/tables/VTOY";
/// ACPI, "System Description Table Header": it stands before the table's own bytes.
const TABLE_HEADER: usize = 36;
const EFI: &str = "/sys/firmware/efi";
/// efivarfs: a variable's attributes stand before its value.
const ATTRIBUTES: usize = 4;
/// Below it, firmware and boot loaders keep what must outlive them.
const LOW_MEMORY: std::ops::Range<u64> = 0x80000..0xa0000;

/// The ISO file that this system was started from, where Ventoy says so.
pub(crate) fn asked(devices: &mut Devices) -> Option<IsoFile> {
    let told = table().as_deref().and_then(parse);
    told.or_else(|| {
        let found = if fs::metadata(EFI).is_ok() { variable(devices) } else { low_memory() };
        found.as_deref().and_then(parse)
    })
}

fn table() -> Option<Vec<u8>> {
    Some(fs::read(TABLE).ok()?.get(TABLE_HEADER..)?.to_vec())
}

fn variable(devices: &mut Devices) -> Option<Vec<u8>> {
    devices.need(&["fs-efivarfs"]);
    let dir = format!("{EFI}/efivars");
    make_dir(&dir);
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    // Undone when this returns: the system mounts it as it likes.
    let _mounted = Mounted::new("efivarfs", &dir, "efivarfs", flags, "").inspect_err(|why| debug!("{why}")).ok()?;
    Some(fs::read(format!("{dir}/{VARIABLE}")).ok()?.get(ATTRIBUTES..)?.to_vec())
}

/// A kernel that keeps its memory to itself shows zeros, or has no such file.
fn low_memory() -> Option<Vec<u8>> {
    let mut memory = vec![0; (LOW_MEMORY.end - LOW_MEMORY.start) as usize];
    File::open("/dev/mem").ok()?.read_exact_at(&mut memory, LOW_MEMORY.start).ok()?;
    let at = memory.chunks_exact(16).position(|line| line == SIGNATURE)? * 16;
    Some(memory.split_off(at))
}

fn parse(bytes: &[u8]) -> Option<IsoFile> {
    let bytes = bytes.get(..LEN)?;
    let sum = bytes.iter().fold(0_u8, |sum, &byte| sum.wrapping_add(byte));
    if !bytes.starts_with(SIGNATURE) || sum != 0 {
        return None;
    }
    let partition = u16::from_le_bytes([bytes[41], bytes[42]]);
    let path = bytes[45..429].split(|&byte| byte == 0).next()?;
    let path = inside(std::str::from_utf8(path).ok()?).filter(|path| !path.is_empty())?;
    // Of the disk's first sector, whichever its table is.
    let signature = u32::from_le_bytes([bytes[481], bytes[482], bytes[483], bytes[484]]);
    let mut holders = vec![Spec::File(path.clone())];
    if signature != 0 {
        holders.insert(0, Spec::PartUuid(format!("{signature:08x}-{partition:02x}")));
    }
    Some(IsoFile { path, holders })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn param(path: &[u8], signature: u32) -> Vec<u8> {
        let mut bytes = vec![0; LEN];
        bytes[..16].copy_from_slice(SIGNATURE);
        bytes[41] = 1;
        bytes[45..45 + path.len()].copy_from_slice(path);
        bytes[481..485].copy_from_slice(&signature.to_le_bytes());
        bytes[16] = bytes.iter().fold(0_u8, |sum, &byte| sum.wrapping_sub(byte));
        bytes
    }

    #[test]
    fn the_file_and_its_disk_are_read() {
        let iso = parse(&param(b"/isos/aurora.iso", 0x1234_abcd)).unwrap();
        assert_eq!(iso.path, "isos/aurora.iso");
        assert_eq!(iso.holders, [Spec::PartUuid("1234abcd-01".into()), Spec::File("isos/aurora.iso".into())]);
        assert_eq!(parse(&param(b"/a.iso", 0)).unwrap().holders, [Spec::File("a.iso".into())]);
    }

    #[test]
    fn what_is_not_whole_is_nothing() {
        let good = param(b"/a.iso", 1);
        for at in 0..LEN {
            let mut bad = good.clone();
            bad[at] ^= 0x40;
            assert_eq!(parse(&bad), None, "byte {at}");
        }
        for bytes in [&good[..LEN - 1], b""] {
            assert_eq!(parse(bytes), None);
        }
        for path in [&b""[..], b"/", b"/../a.iso", b"\xff"] {
            assert_eq!(parse(&param(path, 1)), None, "{path:?}");
        }
    }
}
