//! What an image tells about the machine it wants.

use std::path::Path;

use init::contract::medium;
use iso::read::{Iso, ReadError};
use tree::{Content, Tree, TreePath};

use super::{Arch, Firmware};

/// Everything is empty for what is no ISO: a disk's image may well boot.
#[derive(Debug, Default)]
pub struct Told {
    pub arch: Option<Arch>,
    /// That the boot catalog has an image for.
    pub firmware: Vec<Firmware>,
    pub kernel: Option<Content>,
}

impl Told {
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        let len = path.metadata()?.len();
        let image = match Iso::open(Content::host(path, len)) {
            Err(ReadError::NotAnImage(_)) => return Ok(Self::default()),
            image => image?,
        };
        let tree = image.tree()?;
        let platforms: Vec<u8> =
            image.boot_entries()?.iter().filter(|entry| entry.bootable).map(|entry| entry.platform).collect();
        let firmware =
            [(0, Firmware::Bios), (0xEF, Firmware::Uefi)].into_iter().filter(|(id, _)| platforms.contains(id));
        let kernel = kernel(&tree);
        let arch = kernel.as_ref().map(arch).transpose()?.flatten();
        Ok(Self { arch, firmware: firmware.map(|(_, firmware)| firmware).collect(), kernel })
    }
}

/// Ours, or where others keep theirs: a file by one of its usual names.
fn kernel(tree: &Tree) -> Option<Content> {
    let ours = TreePath::new(medium::KERNEL).ok().and_then(|path| tree.get(&path)?.content().cloned());
    ours.or_else(|| {
        let named = |name: &[u8]| [&b"vmlinuz"[..], b"linux", b"bzImage", b"Image"].iter().any(|n| name.starts_with(n));
        tree.walk().find(|item| named(item.path.name()) && item.content().is_some())?.content().cloned()
    })
}

/// The machine in the COFF header that kernels with an EFI stub begin with
/// (Microsoft's PE format, 3.3), or the x86 boot protocol's magic.
fn arch(kernel: &Content) -> Result<Option<Arch>, ReadError> {
    let begin = kernel.open_at()?.read(0, kernel.len().min(0x1000))?;
    let at = |offset: usize, len: usize| begin.get(offset..offset.checked_add(len)?);
    if at(0x202, 4) == Some(b"HdrS") {
        return Ok(Some(Arch::X86_64));
    }
    let pe = at(0x3C, 4).map_or(0, |offset| u32::from_le_bytes([offset[0], offset[1], offset[2], offset[3]]));
    Ok(match at(pe as usize, 6) {
        Some([b'P', b'E', 0, 0, 0x64, 0x86]) => Some(Arch::X86_64),
        Some([b'P', b'E', 0, 0, 0x64, 0xAA]) => Some(Arch::Aarch64),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_tells_its_machine_and_a_short_or_lying_one_nothing() {
        let with = |parts: &[(usize, &[u8])]| {
            let mut kernel = vec![0; 0x300];
            for (at, bytes) in parts {
                kernel[*at..*at + bytes.len()].copy_from_slice(bytes);
            }
            arch(&kernel.into()).unwrap()
        };
        assert_eq!(with(&[(0x202, b"HdrS")]), Some(Arch::X86_64));
        assert_eq!(with(&[(0x3C, &[0x40]), (0x40, b"PE\0\0\x64\xaa")]), Some(Arch::Aarch64));
        assert_eq!(with(&[(0x3C, &[0x40]), (0x40, b"PE\0\0\x64\x86")]), Some(Arch::X86_64));
        assert_eq!(with(&[(0x3C, &[0xFF; 4])]), None, "a header past the end");
        assert_eq!(arch(&b"MZ".to_vec().into()).unwrap(), None);
    }
}
