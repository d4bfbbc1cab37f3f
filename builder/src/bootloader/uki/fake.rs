//! PE images made up for tests.

pub(super) const SIGNATURE_AT: usize = 0x40;
pub(super) const OPTIONAL_AT: usize = SIGNATURE_AT + 24;
/// PE32+ with all sixteen directories.
const OPTIONAL_LEN: usize = 240;
pub(super) const TABLE_AT: usize = OPTIONAL_AT + OPTIONAL_LEN;
pub(super) const HEADERS: usize = 1024;
/// Section headers that fit.
pub(super) const ROOM: usize = (HEADERS - TABLE_AT) / 40;

pub(super) struct Fake {
    pub(super) machine: u16,
    pub(super) sections: usize,
    pub(super) section_alignment: u32,
    pub(super) file_alignment: u32,
    pub(super) size_of_image: u32,
}

impl Default for Fake {
    fn default() -> Self {
        Self { machine: 0x8664, sections: 2, section_alignment: 4096, file_alignment: 512, size_of_image: 0x3000 }
    }
}

impl Fake {
    pub(super) fn bytes(&self) -> Vec<u8> {
        let raw = self.file_alignment.max(512);
        let headers = (HEADERS as u32).next_multiple_of(raw);
        let mut bytes = vec![0; headers as usize];
        let mut set = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        set(0, b"MZ");
        set(0x3c, &(SIGNATURE_AT as u32).to_le_bytes());
        set(SIGNATURE_AT, b"PE\0\0");
        set(SIGNATURE_AT + 4, &self.machine.to_le_bytes());
        set(SIGNATURE_AT + 6, &(self.sections as u16).to_le_bytes());
        set(SIGNATURE_AT + 20, &(OPTIONAL_LEN as u16).to_le_bytes());
        set(OPTIONAL_AT, &0x20b_u16.to_le_bytes());
        set(OPTIONAL_AT + 32, &self.section_alignment.to_le_bytes());
        set(OPTIONAL_AT + 36, &self.file_alignment.to_le_bytes());
        set(OPTIONAL_AT + 56, &self.size_of_image.to_le_bytes());
        set(OPTIONAL_AT + 60, &headers.to_le_bytes());
        set(OPTIONAL_AT + 68, &10_u16.to_le_bytes());
        set(OPTIONAL_AT + 108, &16_u32.to_le_bytes());
        for n in 0..self.sections {
            let at = TABLE_AT + n * 40;
            set(at, format!(".s{n}").as_bytes());
            set(at + 8, &16_u32.to_le_bytes());
            set(at + 12, &(4096 + n as u32 * 512).next_multiple_of(self.section_alignment).to_le_bytes());
            set(at + 16, &raw.to_le_bytes());
            set(at + 20, &(headers + n as u32 * raw).to_le_bytes());
        }
        bytes.resize(bytes.len() + self.sections * raw as usize, 0xaa);
        bytes
    }
}

/// With another word at `at`.
pub(super) fn put(bytes: &[u8], at: usize, word: u32) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
    bytes
}
