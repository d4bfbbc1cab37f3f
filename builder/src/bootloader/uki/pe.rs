//! Portable Executable images, as far as one takes new sections. Offsets and
//! rules are from Microsoft's "PE Format": COFF File Header, Optional Header,
//! Section Table.

use std::io;

use goblin::pe::header::{COFF_MACHINE_ARM64, COFF_MACHINE_X86_64, Header, PE_MAGIC, SIZEOF_COFF_HEADER};
use goblin::pe::optional_header::MAGIC_64;
use goblin::pe::section_table::{SIZEOF_SECTION_TABLE, SectionTable};
use goblin::pe::subsystem::IMAGE_SUBSYSTEM_EFI_APPLICATION;
use tree::Content;

/// Where the DOS header says at which offset the PE signature stands.
const SIGNATURE_OFFSET_AT: usize = 0x3c;
/// From the signature.
const NUMBER_OF_SECTIONS: usize = 6;
const SYMBOL_TABLE: usize = 12;
const OPTIONAL_HEADER: usize = 4 + SIZEOF_COFF_HEADER;
/// From the optional header, of PE32+.
const SIZE_OF_INITIALIZED_DATA: usize = 8;
const SIZE_OF_IMAGE: usize = 56;
const CHECK_SUM: usize = 64;
const CERTIFICATE_TABLE: usize = 144;

/// `IMAGE_SCN_CNT_INITIALIZED_DATA | IMAGE_SCN_MEM_READ`
const DATA: u32 = 0x4000_0040;

/// More than any linker's alignment; the format allows 64 KiB in the file.
const ALIGNMENT_MAX: u32 = 1 << 16;

/// Headers are looked for in so much of a kernel.
const KERNEL_HEAD: u64 = 64 << 10;

#[derive(Debug, thiserror::Error)]
pub enum PeError {
    #[error("no PE image: {0}")]
    Malformed(String),
    #[error("no EFI application of 64 bits")]
    NotEfi,
    #[error("the section {name} lies outside of the file or over its headers")]
    Section { name: String },
    #[error("alignments of {section} bytes in memory and {file} in the file, which no image has")]
    Alignment { section: u32, file: u32 },
    #[error("its headers have room for {room} more sections, and {needed} are needed")]
    NoRoom { room: usize, needed: usize },
    #[error("it has a section {0} already: take the bare stub")]
    Taken(&'static str),
    #[error("with its parts it would have more than 4 GiB")]
    TooLarge,
    #[error(transparent)]
    Read(#[from] io::Error),
}

/// An EFI application that is there to be added to.
#[derive(Debug)]
pub(super) struct Stub {
    /// The file up to the end of its last section: what follows are symbols
    /// for debuggers, or a signature that does not survive.
    head: Vec<u8>,
    header: Offsets,
    pub(super) machine: Machine,
    pub(super) section_alignment: u64,
    pub(super) file_alignment: u64,
    /// Behind its last section in memory.
    pub(super) image_end: u64,
    initialized_data: u64,
    sections: Vec<SectionTable>,
}

/// Where headers stand in the file.
#[derive(Debug, Clone, Copy)]
struct Offsets {
    signature: usize,
    /// Behind the last section header.
    table_end: usize,
    /// Up to where the section table may grow.
    table_max: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Machine(u16);

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            COFF_MACHINE_X86_64 => f.write_str("x86_64"),
            COFF_MACHINE_ARM64 => f.write_str("aarch64"),
            other => write!(f, "machine {other:#06x}"),
        }
    }
}

/// A section to be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NewSection {
    pub(super) name: &'static str,
    pub(super) virtual_size: u64,
    pub(super) virtual_address: u64,
    pub(super) raw_size: u64,
    pub(super) raw_offset: u64,
}

impl Stub {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, PeError> {
        let (signature, header) = headers(bytes)?;
        let optional = header.optional_header.ok_or(PeError::NotEfi)?;
        let fields = optional.windows_fields;
        if optional.standard_fields.magic != MAGIC_64 || fields.subsystem != IMAGE_SUBSYSTEM_EFI_APPLICATION {
            return Err(PeError::NotEfi);
        }
        let optional_len = usize::from(header.coff_header.size_of_optional_header);
        if optional_len < CERTIFICATE_TABLE + 8 {
            return Err(malformed(format!("an optional header of {optional_len} bytes")));
        }
        let (section, file) = (fields.section_alignment, fields.file_alignment);
        let good = |alignment: u32| alignment.is_power_of_two() && alignment <= ALIGNMENT_MAX;
        if !good(section) || !good(file) || section < file {
            return Err(PeError::Alignment { section, file });
        }
        let mut table_end = signature + OPTIONAL_HEADER + optional_len;
        let sections = header.coff_header.sections(bytes, &mut table_end).map_err(|e| malformed(e.to_string()))?;
        let mut table_max = bytes.len().min(fields.size_of_headers as usize);
        let mut raw_end = table_end.max(table_max);
        let mut image_end = u64::from(fields.size_of_image);
        for section in &sections {
            let virtual_size = section.virtual_size.max(section.size_of_raw_data);
            image_end = image_end.max(u64::from(section.virtual_address) + u64::from(virtual_size));
            let (start, len) = (section.pointer_to_raw_data as usize, section.size_of_raw_data as usize);
            if len == 0 {
                continue;
            }
            if start < table_end || start + len > bytes.len() {
                return Err(PeError::Section { name: name(section) });
            }
            table_max = table_max.min(start);
            raw_end = raw_end.max(start + len);
        }
        Ok(Self {
            head: bytes[..raw_end.min(bytes.len())].to_vec(),
            header: Offsets { signature, table_end, table_max },
            machine: Machine(header.coff_header.machine),
            section_alignment: section.into(),
            file_alignment: file.into(),
            image_end,
            initialized_data: optional.standard_fields.size_of_initialized_data,
            sections,
        })
    }

    pub(super) fn len(&self) -> u64 {
        self.head.len() as u64
    }

    /// The stub with headers that know of `added`, which follow each other in
    /// memory and in the file.
    pub(super) fn with_sections(mut self, added: &[NewSection]) -> Result<Vec<u8>, PeError> {
        let taken = |new: &&NewSection| self.sections.iter().any(|old| name(old) == new.name);
        if let Some(taken) = added.iter().find(taken) {
            return Err(PeError::Taken(taken.name));
        }
        let Offsets { signature, table_end, table_max } = self.header;
        let free = self.head.get(table_end..table_max).unwrap_or_default();
        // Some linkers keep data of their own behind the table.
        let room = free.iter().take_while(|&&byte| byte == 0).count() / SIZEOF_SECTION_TABLE;
        if room < added.len() {
            return Err(PeError::NoRoom { room, needed: added.len() });
        }
        let mut at = table_end;
        let mut image_end = self.image_end;
        let mut initialized_data = self.initialized_data;
        for section in added {
            let mut header = Vec::with_capacity(SIZEOF_SECTION_TABLE);
            header.extend_from_slice(section.name.as_bytes());
            header.resize(8, 0);
            for field in [section.virtual_size, section.virtual_address, section.raw_size, section.raw_offset] {
                header.extend(narrow(field)?.to_le_bytes());
            }
            header.resize(SIZEOF_SECTION_TABLE - 4, 0);
            header.extend(DATA.to_le_bytes());
            self.put(at, &header);
            at += SIZEOF_SECTION_TABLE;
            image_end = section.virtual_address + section.virtual_size.max(section.raw_size);
            initialized_data += section.raw_size;
        }
        let count = self.sections.len() + added.len();
        self.put(signature + NUMBER_OF_SECTIONS, &(count as u16).to_le_bytes());
        self.put(signature + SYMBOL_TABLE, &[0; 8]);
        let optional = signature + OPTIONAL_HEADER;
        self.put(optional + SIZE_OF_INITIALIZED_DATA, &narrow(initialized_data)?.to_le_bytes());
        let size_of_image = narrow(image_end.next_multiple_of(self.section_alignment))?;
        self.put(optional + SIZE_OF_IMAGE, &size_of_image.to_le_bytes());
        // Not summed, which is what 0 says: no firmware asks for it, and
        // whoever signs the image sums it anew.
        self.put(optional + CHECK_SUM, &[0; 4]);
        self.put(optional + CERTIFICATE_TABLE, &[0; 8]);
        Ok(self.head)
    }

    /// `at` lies in what was parsed as headers.
    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.head[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

/// What the stub must know of the kernel it starts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kernel {
    pub(super) machine: Machine,
    /// More than its file has: decompressing, it runs over its own end.
    pub(super) size_of_image: u64,
}

impl Kernel {
    pub(super) fn parse(image: &Content) -> Result<Self, PeError> {
        let head = image.open_at()?.read(0, image.len().min(KERNEL_HEAD))?;
        let (_, header) = headers(&head)?;
        let optional = header.optional_header.ok_or(PeError::NotEfi)?;
        if optional.windows_fields.subsystem != IMAGE_SUBSYSTEM_EFI_APPLICATION {
            return Err(PeError::NotEfi);
        }
        let size_of_image = optional.windows_fields.size_of_image.into();
        Ok(Self { machine: Machine(header.coff_header.machine), size_of_image })
    }
}

/// Where the signature stands, and what follows it.
fn headers(bytes: &[u8]) -> Result<(usize, Header<'_>), PeError> {
    if !bytes.starts_with(b"MZ") {
        return Err(malformed("it does not begin with MZ"));
    }
    let pointer = bytes.get(SIGNATURE_OFFSET_AT..SIGNATURE_OFFSET_AT + 4);
    let pointer = pointer.map_or(0, |p| u32::from_le_bytes(p.try_into().expect("4 bytes"))) as usize;
    let from_signature = bytes.get(pointer..).unwrap_or_default();
    let header = Header::parse_without_dos(from_signature).map_err(|e| malformed(e.to_string()))?;
    if header.signature != PE_MAGIC {
        return Err(malformed(format!("no PE signature at {pointer:#x}")));
    }
    Ok((pointer, header))
}

fn name(section: &SectionTable) -> String {
    String::from_utf8_lossy(&section.name).trim_end_matches('\0').to_owned()
}

fn malformed(what: impl Into<String>) -> PeError {
    PeError::Malformed(what.into())
}

fn narrow(value: u64) -> Result<u32, PeError> {
    u32::try_from(value).map_err(|_| PeError::TooLarge)
}
