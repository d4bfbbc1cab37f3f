//! What one ELF file asks of the dynamic loader.

use goblin::container::Ctx;
use goblin::elf::dynamic::{DT_NEEDED, DT_RPATH, DT_RUNPATH, DT_SONAME, DT_STRSZ, DT_STRTAB, Dyn, Dynamic};
use goblin::elf::program_header::{PT_DYNAMIC, PT_INTERP, PT_LOAD, PT_NOTE, ProgramHeader};
use tree::{Content, ContentAt};

use super::dlopen::{self, Feature};
use super::sections::read_header;
use super::{Malformed, c_string};

/// The kernel takes at most 64 KiB of program headers (fs/binfmt_elf.c).
const MAX_SEGMENT_TABLE: u64 = 64 << 10;
const MAX_INTERPRETER: u64 = 4096;
/// Chromium's dynamic string table has 100 KiB; C++ libraries reach 10 MiB.
const MAX_STRINGS: u64 = 256 << 20;
const MAX_DYNAMIC: u64 = 1 << 20;
const MAX_NOTES: u64 = 1 << 20;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Object {
    pub abi: Abi,
    /// PT_INTERP: none for static programs and for most libraries.
    pub interpreter: Option<String>,
    pub soname: Option<String>,
    pub needed: Vec<String>,
    /// Split at `:`, `$ORIGIN` not yet replaced.
    pub rpath: Vec<String>,
    /// Has a DT_RUNPATH, which switches DT_RPATH off.
    pub runpath: Option<Vec<String>>,
    /// What it opens while it runs, as far as it tells.
    pub dlopen: Vec<Feature>,
}

/// What two objects of one process must have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Abi {
    pub machine: u16,
    pub is_64: bool,
    pub little_endian: bool,
}

impl Object {
    pub fn load(content: &Content) -> Result<Self, Malformed> {
        let at = content.open_at()?;
        let (header, ctx) = read_header(&at, content.len())?;
        let abi = Abi { machine: header.e_machine, is_64: ctx.is_big(), little_endian: ctx.is_little_endian() };
        let size = ProgramHeader::size(ctx) as u64;
        let count = u64::from(header.e_phnum);
        if count * size > MAX_SEGMENT_TABLE {
            return Err(Malformed::TooLarge { what: "the segment table", len: count * size, max: MAX_SEGMENT_TABLE });
        }
        let segments = ProgramHeader::parse(&at.read(header.e_phoff, count * size)?, 0, count as usize, ctx)?;
        let mut object = Self { abi, ..Self::default() };
        for segment in &segments {
            match segment.p_type {
                PT_INTERP => {
                    let path = read_capped(&at, segment, "the interpreter's path", MAX_INTERPRETER)?;
                    object.interpreter = c_string(&path, 0).map(text);
                }
                PT_NOTE => {
                    let notes = read_capped(&at, segment, "the notes", MAX_NOTES)?;
                    object.dlopen.extend(dlopen::features(&notes, segment.p_align, ctx));
                }
                PT_DYNAMIC => object.read_dynamic(&at, segment, &segments, ctx)?,
                _ => {}
            }
        }
        Ok(object)
    }

    fn read_dynamic(
        &mut self,
        at: &ContentAt,
        segment: &ProgramHeader,
        segments: &[ProgramHeader],
        ctx: Ctx,
    ) -> Result<(), Malformed> {
        let bytes = read_capped(at, segment, "the dynamic section", MAX_DYNAMIC)?;
        let alone = ProgramHeader { p_offset: 0, ..segment.clone() };
        let Some(dynamic) = Dynamic::parse(&bytes, &[alone], ctx)? else { return Ok(()) };
        let value = |tag| dynamic.dyns.iter().find(|entry| entry.d_tag == tag).map(|entry| entry.d_val);
        let (Some(address), Some(len)) = (value(DT_STRTAB), value(DT_STRSZ)) else { return Ok(()) };
        if len > MAX_STRINGS {
            return Err(Malformed::TooLarge { what: "the string table", len, max: MAX_STRINGS });
        }
        let offset = segments.iter().find_map(|segment| file_offset(segment, address)).ok_or_else(|| {
            goblin::error::Error::Malformed(format!(
                "its string table is at address {address:#x}, which no segment has"
            ))
        })?;
        let strings = at.read(offset, len)?;
        let string = |entry: &Dyn| {
            c_string(&strings, entry.d_val as usize).map(text).ok_or_else(|| {
                let (at, len) = (entry.d_val, strings.len());
                goblin::error::Error::Malformed(format!("a name at {at} of a string table of {len} bytes"))
            })
        };
        for entry in &dynamic.dyns {
            match entry.d_tag {
                DT_NEEDED => self.needed.push(string(entry)?),
                DT_SONAME => self.soname = Some(string(entry)?),
                DT_RPATH => self.rpath = split_path(&string(entry)?),
                DT_RUNPATH => self.runpath = Some(split_path(&string(entry)?)),
                _ => {}
            }
        }
        Ok(())
    }
}

fn read_capped(at: &ContentAt, segment: &ProgramHeader, what: &'static str, max: u64) -> Result<Vec<u8>, Malformed> {
    if segment.p_filesz > max {
        return Err(Malformed::TooLarge { what, len: segment.p_filesz, max });
    }
    Ok(at.read(segment.p_offset, segment.p_filesz)?)
}

fn file_offset(segment: &ProgramHeader, address: u64) -> Option<u64> {
    let within = address.checked_sub(segment.p_vaddr)?;
    if segment.p_type != PT_LOAD || within >= segment.p_filesz {
        return None;
    }
    segment.p_offset.checked_add(within)
}

fn split_path(list: &str) -> Vec<String> {
    list.split(':').filter(|dir| !dir.is_empty()).map(String::from).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
