//! Hand-made ELF files for tests.

/// A little-endian 64-bit object file with one `.modinfo`, made of
/// `key=value` strings.
pub(crate) fn kmod(modinfo: &[&str]) -> Vec<u8> {
    let names = b"\0.modinfo\0.shstrtab\0";
    let text: Vec<u8> = modinfo.iter().flat_map(|entry| entry.bytes().chain([0])).collect();
    let (text_at, names_at) = (64, 64 + text.len() as u64);
    let table_at = names_at + names.len() as u64;
    let mut elf = header(1, 0, 0, table_at, 3);
    elf.extend(&text);
    elf.extend(names);
    elf.extend([0; 64]);
    elf.extend(section(1, 1, text_at, text.len() as u64));
    elf.extend(section(10, 3, names_at, names.len() as u64));
    elf
}

/// The ELF header; the names are in the last section.
fn header(kind: u16, segments_at: u64, segments: u16, sections_at: u64, sections: u16) -> Vec<u8> {
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    elf.extend(kind.to_le_bytes());
    elf.extend(62_u16.to_le_bytes());
    elf.extend(1_u32.to_le_bytes());
    elf.extend([0_u64, segments_at, sections_at].iter().flat_map(|n| n.to_le_bytes()));
    elf.extend(0_u32.to_le_bytes());
    let last = sections.saturating_sub(1);
    elf.extend([64, 56, segments, 64, sections, last].iter().flat_map(|n: &u16| n.to_le_bytes()));
    elf
}

fn section(name: u32, kind: u32, offset: u64, len: u64) -> Vec<u8> {
    let mut section: Vec<u8> = [name, kind].iter().flat_map(|n| n.to_le_bytes()).collect();
    section.extend([0, 0, offset, len, 0, 1, 0].iter().flat_map(|n: &u64| n.to_le_bytes()));
    section
}
