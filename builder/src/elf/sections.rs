//! Sections by name, read where they stand: a kmod's `.modinfo` is a kilobyte
//! of a file that may have megabytes.

use goblin::container::Ctx;
use goblin::elf::Elf;
use goblin::elf::header::{EM_SPARC, EM_SPARCV9, ET_REL, Header};
use goblin::elf::section_header::{SHN_UNDEF, SHN_XINDEX, SHT_NOBITS, SectionHeader};
use goblin::elf::sym::{Sym, Symtab, st_type};
use tree::{Content, ContentAt};

use super::Malformed;

/// More section headers than any real object has; together they are 4 MiB.
const MAX_SECTIONS: u64 = 1 << 16;
/// No section that is read here (names, notes, modinfo) comes near it.
const MAX_SECTION: u64 = 16 << 20;

/// A use of a global register, which assemblers for SPARC write as an
/// undefined symbol (SPARC psABI).
const STT_SPARC_REGISTER: u8 = 13;

/// A name of the symbol table.
#[derive(Debug, Clone, Copy)]
pub struct Symbol<'a> {
    pub name: &'a [u8],
    /// Left to others to define.
    pub undefined: bool,
}

/// An ELF file's section table.
#[derive(Debug)]
pub struct Sections {
    at: ContentAt,
    pub(super) ctx: Ctx,
    pub(super) headers: Vec<SectionHeader>,
    pub(super) names: Vec<u8>,
    /// The section that these are from.
    pub(super) names_at: usize,
    /// Not yet linked: an object file, as kmods are.
    pub relocatable: bool,
    pub machine: u16,
}

impl Sections {
    pub fn load(content: &Content) -> Result<Self, Malformed> {
        let at = content.open_at()?;
        let (header, ctx) = read_header(&at, content.len())?;
        let headers = read_table(&at, &header, ctx)?;
        let mut sections = Self {
            at,
            ctx,
            headers,
            names: Vec::new(),
            names_at: 0,
            relocatable: header.e_type == ET_REL,
            machine: header.e_machine,
        };
        // The escape values of more than 65,279 sections: ELF gABI, "Section Header Table".
        sections.names_at = match (u32::from(header.e_shstrndx), sections.headers.first()) {
            (SHN_XINDEX, Some(first)) => first.sh_link as usize,
            (index, _) => index as usize,
        };
        if let Some(strings) = sections.headers.get(sections.names_at) {
            sections.names = sections.read(strings)?;
        }
        Ok(sections)
    }

    /// The bytes of the first section called `name`.
    pub fn get(&self, name: &str) -> Result<Option<Vec<u8>>, Malformed> {
        let named = |header: &&SectionHeader| super::c_string(&self.names, header.sh_name) == Some(name.as_bytes());
        self.headers.iter().find(named).map(|header| self.read(header)).transpose()
    }

    /// Names of what the symbol table leaves to others, in its order, each
    /// ended by NUL.
    pub fn undefined_symbols(&self) -> Result<Vec<u8>, Malformed> {
        let mut undefined = Vec::new();
        self.for_each_symbol(|symbol| {
            if symbol.undefined {
                undefined.extend_from_slice(symbol.name);
                undefined.push(0);
            }
        })?;
        Ok(undefined)
    }

    /// The symbol table in its order; of an object without one, nothing.
    pub fn for_each_symbol(&self, mut visit: impl FnMut(Symbol<'_>)) -> Result<(), Malformed> {
        let (Some(table), Some(names)) = (self.get(".symtab")?, self.get(".strtab")?) else { return Ok(()) };
        let count = table.len() / Sym::size(self.ctx.container);
        if count == 0 {
            return Ok(());
        }
        // The first entry is undefined by law (ELF gABI, "Symbol Table").
        for symbol in Symtab::parse(&table, 0, count, self.ctx)?.iter().skip(1) {
            if let Some(name) = super::c_string(&names, symbol.st_name) {
                let register =
                    st_type(symbol.st_info) == STT_SPARC_REGISTER && matches!(self.machine, EM_SPARC | EM_SPARCV9);
                visit(Symbol { name, undefined: symbol.st_shndx == SHN_UNDEF as usize && !register });
            }
        }
        Ok(())
    }

    pub fn is_64_bit(&self) -> bool {
        self.ctx.container.is_big()
    }

    fn read(&self, header: &SectionHeader) -> Result<Vec<u8>, Malformed> {
        if header.sh_type == SHT_NOBITS {
            return Ok(Vec::new());
        }
        if header.sh_size > MAX_SECTION {
            return Err(Malformed::TooLarge { what: "a section", len: header.sh_size, max: MAX_SECTION });
        }
        Ok(self.at.read(header.sh_offset, header.sh_size)?)
    }
}

/// The ELF header, and how the numbers of the rest are to be read.
pub(super) fn read_header(at: &ContentAt, len: u64) -> Result<(Header, Ctx), Malformed> {
    let bytes = at.read(0, len.min(64))?;
    if !bytes.starts_with(b"\x7fELF") {
        return Err(Malformed::NotElf);
    }
    let header = Elf::parse_header(&bytes)?;
    let ctx = Ctx::new(header.container()?, header.endianness()?);
    Ok((header, ctx))
}

fn read_table(at: &ContentAt, header: &Header, ctx: Ctx) -> Result<Vec<SectionHeader>, Malformed> {
    if header.e_shoff == 0 {
        return Ok(Vec::new());
    }
    let size = SectionHeader::size(ctx) as u64;
    let mut count = u64::from(header.e_shnum);
    if count == 0 {
        count = SectionHeader::parse_from(&at.read(header.e_shoff, size)?, 0, 1, ctx)?[0].sh_size;
    }
    if count > MAX_SECTIONS {
        return Err(Malformed::TooLarge { what: "the section table", len: count, max: MAX_SECTIONS });
    }
    if count == 0 {
        return Ok(Vec::new());
    }
    Ok(SectionHeader::parse_from(&at.read(header.e_shoff, count * size)?, 0, count as usize, ctx)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::fake;

    #[test]
    fn a_section_is_found_by_its_name() {
        let sections = Sections::load(&fake::kmod(&["license=GPL", "depends="]).into()).unwrap();
        assert_eq!(sections.get(".modinfo").unwrap().unwrap(), b"license=GPL\0depends=\0");
        assert_eq!(sections.get(".text").unwrap(), None);
        assert!(sections.relocatable);
    }

    #[test]
    fn no_truncation_and_no_flipped_byte_panics() {
        let whole = fake::kmod(&["alias=pci:v*", "depends=a,b"]);
        for len in 0..whole.len() {
            let cut = Sections::load(&whole[..len].to_vec().into());
            assert!(cut.is_err(), "{len} of {} bytes", whole.len());
        }
        for at in 0..whole.len() {
            for bits in [0xff, 0x80, 0x01] {
                let mut flipped = whole.clone();
                flipped[at] ^= bits;
                if let Ok(sections) = Sections::load(&flipped.into()) {
                    let _ = sections.get(".modinfo");
                }
            }
        }
    }
}
