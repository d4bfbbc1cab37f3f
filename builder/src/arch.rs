//! The machines that images are made for and tried on.

use std::fmt;
use std::io;

use tree::Content;

use crate::profile::named;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Arch {
    X86_64,
    Aarch64,
}

impl Arch {
    /// As profiles and the kernel have them.
    pub const WORDS: &[(&str, Self)] = &[("x86_64", Self::X86_64), ("aarch64", Self::Aarch64)];

    pub fn name(self) -> &'static str {
        named(Self::WORDS, self)
    }

    pub fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    /// By the machine in the COFF header that kernels with an EFI stub begin
    /// with (Microsoft's PE format, 3.3), or the x86 boot protocol's magic.
    pub fn of_kernel(kernel: &Content) -> io::Result<Option<Self>> {
        let begin = kernel.open_at()?.read(0, kernel.len().min(0x1000))?;
        let at = |offset: usize, len: usize| begin.get(offset..offset.checked_add(len)?);
        if at(0x202, 4) == Some(b"HdrS") {
            return Ok(Some(Self::X86_64));
        }
        let pe = at(0x3C, 4).map_or(0, |offset| u32::from_le_bytes([offset[0], offset[1], offset[2], offset[3]]));
        Ok(match at(pe as usize, 6) {
            Some([b'P', b'E', 0, 0, 0x64, 0x86]) => Some(Self::X86_64),
            Some([b'P', b'E', 0, 0, 0x64, 0xAA]) => Some(Self::Aarch64),
            _ => None,
        })
    }

    /// What firmware starts from a medium of its own accord (UEFI
    /// specification 3.5.1.1), in the ESP.
    pub fn removable_loader(self) -> &'static str {
        match self {
            Self::X86_64 => "EFI/BOOT/BOOTX64.EFI",
            Self::Aarch64 => "EFI/BOOT/BOOTAA64.EFI",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
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
            Arch::of_kernel(&kernel.into()).unwrap()
        };
        assert_eq!(with(&[(0x202, b"HdrS")]), Some(Arch::X86_64));
        assert_eq!(with(&[(0x3C, &[0x40]), (0x40, b"PE\0\0\x64\xaa")]), Some(Arch::Aarch64));
        assert_eq!(with(&[(0x3C, &[0x40]), (0x40, b"PE\0\0\x64\x86")]), Some(Arch::X86_64));
        assert_eq!(with(&[(0x3C, &[0xFF; 4])]), None, "a header past the end");
        assert_eq!(Arch::of_kernel(&b"MZ".to_vec().into()).unwrap(), None);
    }
}
