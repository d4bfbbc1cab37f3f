//! The image that a BIOS loads, as grub-mkimage makes it for
//! `i386-pc-eltorito`: start code for discs, start code for disks, a
//! decompressor, and GRUB's kernel with modules, compressed.

use std::io::{self, Write};

use goblin::elf::Elf;
use goblin::elf::program_header::PT_LOAD;
use xz2::stream::{Filters, LzmaOptions, Stream};

use super::modules::closure;

/// For menus on screen and serial line, on an ISO, that start Linux. They are
/// all in the core image, so that no module stands on the medium.
pub const MODULES: &[&str] = &[
    "normal",
    "linux",
    "iso9660",
    "biosdisk",
    "part_gpt",
    "part_msdos",
    "search",
    "configfile",
    "test",
    "serial",
    "echo",
    "sleep",
    "halt",
    "reboot",
];

const SECTOR: usize = 512;

/// GRUB 2's include/grub/offsets.h: where the kernel runs, and up to where
/// grub-mkimage lets a core image reach that is loaded there.
const LINK_ADDRESS: usize = 0x9000;
const LOW_MEMORY_END: usize = 0x78000;

/// include/grub/offsets.h: fields of lzma_decompress.img.
const COMPRESSED_SIZE: usize = 0x08;
const UNCOMPRESSED_SIZE: usize = 0x0c;

/// include/grub/i386/pc/boot.h: the length of the one block list of
/// diskboot.img, whose start El Torito's patch fills in.
const BLOCK_LIST_LEN: usize = SECTOR - 4;

/// include/grub/kernel.h: what stands before the objects, and their types.
const MODULE_MAGIC: u32 = 0x676d_696d;
/// Magic, offset of the first object, length of all.
const MODULE_INFO: u32 = 12;
const TYPE_ELF: u32 = 0;
const TYPE_CONFIG: u32 = 2;
const TYPE_PREFIX: u32 = 3;

#[derive(Debug, thiserror::Error)]
pub enum CoreImageError {
    #[error("GRUB's file {0} is not there: are all files of grub-pc-bin?")]
    Missing(String),
    #[error("GRUB's file {file} cannot be read")]
    Read { file: String, source: io::Error },
    #[error("GRUB's file {file} is not what it should be: {problem}")]
    Strange { file: &'static str, problem: String },
    #[error("GRUB's core image cannot be compressed")]
    Compress(#[source] io::Error),
    #[error("GRUB's core image would have {len} bytes, and {room} fit into low memory")]
    TooLarge { len: usize, room: usize },
}

impl CoreImageError {
    pub(super) fn no(file: &str) -> Self {
        Self::Missing(file.into())
    }

    pub(super) fn read(file: &str, source: io::Error) -> Self {
        Self::Read { file: file.into(), source }
    }
}

/// The whole image; `file` reads one of GRUB's i386-pc files. `config` runs
/// before anything else, in GRUB's rescue language: plain commands, no `if`.
pub fn eltorito(
    file: &dyn Fn(&str) -> Result<Vec<u8>, CoreImageError>,
    config: &str,
) -> Result<Vec<u8>, CoreImageError> {
    let payload = payload(file, config)?;
    let compressed = compress(&payload).map_err(CoreImageError::Compress)?;
    let mut decompressor = sized(file, "lzma_decompress.img", UNCOMPRESSED_SIZE + 4..=LINK_ADDRESS - 0x8200)?;
    put(&mut decompressor, COMPRESSED_SIZE, compressed.len() as u32);
    put(&mut decompressor, UNCOMPRESSED_SIZE, payload.len() as u32);

    let core_len = decompressor.len() + compressed.len();
    let room = LOW_MEMORY_END - LINK_ADDRESS;
    if core_len > room {
        return Err(CoreImageError::TooLarge { len: core_len, room });
    }
    let mut image = sized(file, "cdboot.img", 2048..=2048)?;
    let mut disk_start = sized(file, "diskboot.img", SECTOR..=SECTOR)?;
    let sectors = core_len.div_ceil(SECTOR) as u16; // room is for far fewer
    disk_start[BLOCK_LIST_LEN..BLOCK_LIST_LEN + 2].copy_from_slice(&sectors.to_le_bytes());
    for part in [disk_start, decompressor, compressed] {
        image.extend(part);
    }
    Ok(image)
}

/// What the decompressor leaves at [`LINK_ADDRESS`]: the kernel, then objects.
fn payload(file: &dyn Fn(&str) -> Result<Vec<u8>, CoreImageError>, config: &str) -> Result<Vec<u8>, CoreImageError> {
    let moddep = file("moddep.lst")?;
    let moddep = String::from_utf8_lossy(&moddep);
    let mut objects = Vec::new();
    for module in closure(&moddep, MODULES) {
        object(&mut objects, TYPE_ELF, file(&format!("{module}.mod"))?);
    }
    object(&mut objects, TYPE_CONFIG, terminated(config));
    object(&mut objects, TYPE_PREFIX, terminated(&format!("/{}", super::DIR)));

    let mut payload = kernel(&file("kernel.img")?)?;
    for word in [MODULE_MAGIC, MODULE_INFO, MODULE_INFO + objects.len() as u32] {
        payload.extend(word.to_le_bytes());
    }
    payload.extend(objects);
    Ok(payload)
}

/// The bytes of the kernel's ELF file that belong into memory.
fn kernel(elf: &[u8]) -> Result<Vec<u8>, CoreImageError> {
    let strange = |problem: &str| CoreImageError::Strange { file: "kernel.img", problem: problem.into() };
    let parsed = Elf::parse(elf).map_err(|e| strange(&e.to_string()))?;
    let load = parsed.program_headers.iter().find(|header| header.p_type == PT_LOAD);
    let load = load.ok_or_else(|| strange("nothing in it is to be loaded"))?;
    if load.p_vaddr != LINK_ADDRESS as u64 {
        return Err(strange(&format!("it belongs at {:#x} and not at {LINK_ADDRESS:#x}", load.p_vaddr)));
    }
    elf.get(load.file_range()).map(<[u8]>::to_vec).ok_or_else(|| strange("it is cut"))
}

fn object(out: &mut Vec<u8>, kind: u32, mut data: Vec<u8>) {
    data.resize(data.len().next_multiple_of(4), 0);
    out.extend(kind.to_le_bytes());
    out.extend((data.len() as u32 + 8).to_le_bytes());
    out.extend(data);
}

fn terminated(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[0]].concat()
}

/// As lzma_decompress.S decodes it: LZMA1 with these properties, no header.
fn compress(payload: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = xz2::write::XzEncoder::new_stream(Vec::new(), Stream::new_raw_encoder(&filters()?)?);
    stream.write_all(payload)?;
    stream.finish()
}

fn filters() -> io::Result<Filters> {
    let mut options = LzmaOptions::new_preset(9)?;
    options.dict_size(1 << 16).literal_context_bits(3).literal_position_bits(0).position_bits(2);
    let mut filters = Filters::new();
    filters.lzma1(&options);
    Ok(filters)
}

fn sized(
    file: &dyn Fn(&str) -> Result<Vec<u8>, CoreImageError>,
    name: &'static str,
    lens: std::ops::RangeInclusive<usize>,
) -> Result<Vec<u8>, CoreImageError> {
    let bytes = file(name)?;
    if lens.contains(&bytes.len()) {
        return Ok(bytes);
    }
    let problem = format!("it has {} bytes, and {} to {} are expected", bytes.len(), lens.start(), lens.end());
    Err(CoreImageError::Strange { file: name, problem })
}

fn put(bytes: &mut [u8], at: usize, word: u32) {
    bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
}
