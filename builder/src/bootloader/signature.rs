//! Whether an EFI application carries a signature. Whose it is, the firmware
//! decides.

use std::io;

use goblin::pe::header::Header;
use tree::Content;

use super::{Booted, extra};

/// The headers of any EFI application end before.
const HEADERS: u64 = 4096;

/// A certificate table stands in it (PE/COFF specification, 4.7).
fn is_signed(content: &Content) -> io::Result<bool> {
    let head = content.open_at()?.read(0, content.len().min(HEADERS))?;
    let optional = Header::parse(&head).ok().and_then(|header| header.optional_header);
    let table = optional.and_then(|optional| optional.data_directories.get_certificate_table().copied());
    Ok(table.is_some_and(|table| table.size > 0))
}

/// Shim and GRUB start nothing unsigned where Secure Boot is on.
pub(super) fn notes(booted: &Booted<'_>) -> io::Result<Vec<String>> {
    let mut notes = Vec::new();
    if !booted.plan.signed {
        return Ok(notes);
    }
    if !is_signed(booted.kernel)? {
        notes.push(
            "the kernel is not signed: this medium will not start where Secure Boot is on; take the kernel from a \
             distribution that signs it"
                .into(),
        );
    }
    for program in [extra::MEMTEST_UEFI, extra::SHELL] {
        if let Some((content, _)) = booted.files.get(program.need)
            && !is_signed(content)?
        {
            let path = program.on_medium;
            notes.push(format!("/{path} is not signed: its menu entry does nothing where Secure Boot is on"));
        }
    }
    Ok(notes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The least that is a PE32+ header, with 16 data directories.
    fn program(certificate_len: u32) -> Content {
        const PE: usize = 0x40;
        const OPTIONAL: usize = PE + 24;
        const DIRECTORIES: usize = OPTIONAL + 112;
        let mut bytes = vec![0; 1024];
        let mut put = |at: usize, data: &[u8]| bytes[at..at + data.len()].copy_from_slice(data);
        put(0, b"MZ");
        put(0x3c, &(PE as u32).to_le_bytes());
        put(PE, b"PE\0\0\x64\x86");
        put(PE + 20, &240_u16.to_le_bytes());
        put(OPTIONAL, &0x20b_u16.to_le_bytes());
        put(OPTIONAL + 108, &16_u32.to_le_bytes());
        put(DIRECTORIES + 4 * 8, &0x800_u32.to_le_bytes());
        put(DIRECTORIES + 4 * 8 + 4, &certificate_len.to_le_bytes());
        bytes.into()
    }

    #[test]
    fn a_signature_is_a_certificate_table() {
        assert!(is_signed(&program(1480)).unwrap());
        assert!(!is_signed(&program(0)).unwrap());
        assert!(!is_signed(&Content::from(b"MZ".to_vec())).unwrap());
        assert!(!is_signed(&Content::from(vec![0; 8192])).unwrap());
    }
}
