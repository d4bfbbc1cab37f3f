//! ELF files without what only debuggers and linkers read. Nothing that is
//! loaded moves, no index changes: a section that goes leaves its header behind,
//! emptied, since symbols, relocations and other headers name sections by number.
//! (The `object` crate's rewriter makes symbol and hash tables anew, also of
//! files that have nothing to lose.)

use goblin::elf::header::{ET_DYN, ET_EXEC, ET_REL, Header};
use goblin::elf::program_header::ProgramHeader;
use goblin::elf::section_header::{
    SHF_ALLOC, SHT_GROUP, SHT_NOBITS, SHT_NULL, SHT_REL, SHT_RELA, SHT_SYMTAB, SHT_SYMTAB_SHNDX, SectionHeader,
};
use tree::{Content, Tree, TreePath};

use super::sections::{Sections, read_header};
use super::{Malformed, c_string};

/// Larger ones than any program of an early boot.
const MAX_FILE: u64 = 1 << 30;

/// Strips every ELF file of a tree. Says of which ones it could not be told
/// what they need: those stay as they are.
pub fn strip_all(tree: &mut Tree) -> Vec<String> {
    let files = tree.walk().filter_map(|item| Some((item.path.clone(), item.content()?.clone())));
    let files: Vec<(TreePath, Content)> = files.collect();
    let mut notes = Vec::new();
    for (path, content) in files {
        match stripped(&content) {
            Ok(Some(less)) => *tree.content_mut(&path).expect("it was just listed") = less.into(),
            Ok(None) | Err(Malformed::NotElf) => {}
            Err(error) => notes.push(format!("{path} is not stripped: {error}")),
        }
    }
    notes
}

/// The file with less in it; `None` where there is nothing to gain, and where
/// something stands behind what the headers know of: a kmod's signature, which
/// would not hold for other bytes, or what a program carries at its end.
pub fn stripped(content: &Content) -> Result<Option<Vec<u8>>, Malformed> {
    let (header, ctx) = read_header(&content.open_at()?, content.len())?;
    if !matches!(header.e_type, ET_REL | ET_EXEC | ET_DYN) {
        return Ok(None);
    }
    let sections = Sections::load(content)?;
    let mut drops: Vec<bool> = sections.headers.iter().map(|section| is_dropped(section, &sections)).collect();
    // Some linkers put the names of symbols and of sections into one table.
    if let Some(names) = drops.get_mut(sections.names_at) {
        *names = false;
    }
    if !drops.contains(&true) {
        return Ok(None);
    }
    if content.len() > MAX_FILE {
        return Err(Malformed::TooLarge { what: "the file", len: content.len(), max: MAX_FILE });
    }
    let file = content.read_all(MAX_FILE)?;
    for (at, section) in sections.headers.iter().enumerate().filter(|(_, section)| section.sh_type == SHT_GROUP) {
        drops[at] = is_hollow(&file, section, &drops, ctx.is_little_endian());
    }
    let segments = ProgramHeader::parse(&file, header.e_phoff as usize, header.e_phnum.into(), ctx)?;
    Ok(Layout { file: &file, header: &header, sections: &sections, segments: &segments }.without(&drops))
}

fn is_dropped(section: &SectionHeader, sections: &Sections) -> bool {
    if section.sh_type == SHT_NULL || section.sh_flags & u64::from(SHF_ALLOC) != 0 {
        return false;
    }
    let name = c_string(&sections.names, section.sh_name).unwrap_or_default();
    let name = name.strip_prefix(b".rela").or(name.strip_prefix(b".rel")).unwrap_or(name);
    let debugs = [&b".debug"[..], b".zdebug", b".stab", b".gdb_index", b".gnu.debuglto_"];
    if debugs.iter().any(|of| name.starts_with(of)) {
        return true;
    }
    // The kernel links kmods by their symbols, the dynamic loader has tables of its own.
    let links = matches!(section.sh_type, SHT_SYMTAB | SHT_SYMTAB_SHNDX | SHT_REL | SHT_RELA);
    !sections.relocatable && (links || name == b".strtab" || name == b".comment")
}

/// A group (of one header's macros) none of whose sections stays: binutils takes no
/// such file. ELF gABI, "Section Groups": a word of flags, then one for each member.
fn is_hollow(file: &[u8], group: &SectionHeader, drops: &[bool], is_little_endian: bool) -> bool {
    let words = file.get(group.sh_offset as usize..).and_then(|rest| rest.get(..group.sh_size as usize));
    words.unwrap_or_default().chunks_exact(4).skip(1).all(|word| {
        let word = word.try_into().expect("four of them");
        let member = if is_little_endian { u32::from_le_bytes(word) } else { u32::from_be_bytes(word) };
        drops.get(member as usize) == Some(&true)
    })
}

struct Layout<'a> {
    file: &'a [u8],
    header: &'a Header,
    sections: &'a Sections,
    segments: &'a [ProgramHeader],
}

impl Layout<'_> {
    fn without(&self, drops: &[bool]) -> Option<Vec<u8>> {
        let ctx = self.sections.ctx;
        let headers = &self.sections.headers;
        let table_len = SectionHeader::size(ctx) * headers.len();
        let known = headers.iter().filter_map(end).fold(self.loaded(), u64::max);
        if (self.file.len() as u64) > known.max(self.header.e_shoff + table_len as u64) {
            return None;
        }
        let loaded = self.loaded();
        let mut out = self.file.get(..usize::try_from(loaded).ok()?)?.to_vec();
        let mut table = self.file.get(self.header.e_shoff as usize..)?.get(..table_len)?.to_vec();
        let mut by_offset: Vec<usize> = (0..headers.len()).collect();
        by_offset.sort_by_key(|&at| headers[at].sh_offset);
        for at in by_offset {
            let section = &headers[at];
            let entry = &mut table[at * SectionHeader::size(ctx)..][..SectionHeader::size(ctx)];
            if drops[at] {
                entry.fill(0);
            } else if end(section).is_some_and(|end| end > loaded) {
                let bytes = self.file.get(section.sh_offset as usize..)?.get(..section.sh_size as usize)?;
                let start = out.len().checked_next_multiple_of(section.sh_addralign.max(1) as usize)?;
                // Sections that overlap could make more of a file, not less.
                if start.checked_add(bytes.len())? >= self.file.len() {
                    return None;
                }
                out.resize(start, 0);
                self.put(&mut entry[if ctx.is_big() { 24 } else { 16 }..], out.len());
                out.extend_from_slice(bytes);
            }
        }
        out.resize(out.len().next_multiple_of(8), 0);
        let table_at = out.len();
        out.extend_from_slice(&table);
        self.put(&mut out[if ctx.is_big() { 0x28 } else { 0x20 }..], table_at);
        (out.len() < self.file.len()).then_some(out)
    }

    /// Up to where the file stays as it is: its head and what is mapped.
    fn loaded(&self) -> u64 {
        let ctx = self.sections.ctx;
        let head = u64::from(self.header.e_ehsize).max(Header::size(ctx) as u64);
        let table = self.header.e_phoff + (self.segments.len() * ProgramHeader::size(ctx)) as u64;
        let mapped = self.segments.iter().map(|segment| segment.p_offset.saturating_add(segment.p_filesz));
        mapped.fold(head.max(table), u64::max)
    }

    /// An offset as wide, and in the order of bytes, as this file has them.
    fn put(&self, to: &mut [u8], offset: usize) {
        let (wide, narrow) = (offset as u64, offset as u32);
        match (self.sections.ctx.is_big(), self.sections.ctx.is_little_endian()) {
            (true, true) => to[..8].copy_from_slice(&wide.to_le_bytes()),
            (true, false) => to[..8].copy_from_slice(&wide.to_be_bytes()),
            (false, true) => to[..4].copy_from_slice(&narrow.to_le_bytes()),
            (false, false) => to[..4].copy_from_slice(&narrow.to_be_bytes()),
        }
    }
}

/// Where its bytes end, if it has any in the file.
fn end(section: &SectionHeader) -> Option<u64> {
    let is_there = !matches!(section.sh_type, SHT_NULL | SHT_NOBITS) && section.sh_size > 0;
    is_there.then(|| section.sh_offset.saturating_add(section.sh_size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::fake;
    use tree::Provenance;

    const DEBUG: [(&str, &[u8]); 4] = [
        (".modinfo", b"license=GPL\0"),
        (".debug_info", &[7; 4096]),
        (".rela.debug_info", &[8; 96]),
        (".text", b"code"),
    ];

    #[test]
    fn what_debuggers_read_goes_and_the_rest_keeps_its_number() {
        let whole = fake::object(&DEBUG);
        let less = stripped(&whole.clone().into()).unwrap().unwrap();
        assert!(less.len() < whole.len() - 4096, "{} of {}", less.len(), whole.len());
        let [before, after] = [&whole, &less].map(|bytes| Sections::load(&bytes.clone().into()).unwrap());
        assert_eq!(after.headers.len(), before.headers.len());
        for name in [".modinfo", ".text", ".shstrtab"] {
            assert_eq!(after.get(name).unwrap(), before.get(name).unwrap(), "{name}");
        }
        assert_eq!(after.get(".debug_info").unwrap(), None);
        assert_eq!(stripped(&less.into()).unwrap(), None, "nothing is left to drop");
    }

    #[test]
    fn a_signed_kmod_and_what_has_nothing_to_lose_stay() {
        let signed = [fake::object(&DEBUG), b"~Module signature appended~\n".to_vec()].concat();
        assert_eq!(stripped(&signed.into()).unwrap(), None);
        assert_eq!(stripped(&fake::kmod(&["license=GPL"]).into()).unwrap(), None);
        assert_eq!(stripped(&fake::dynamic(&fake::Dynamic::default()).into()).unwrap(), None);
    }

    #[test]
    fn the_table_of_section_names_stays_whatever_it_is_called() {
        let mut whole = fake::object(&DEBUG);
        whole[16] = 2; // ET_EXEC
        let at = whole.windows(10).position(|bytes| bytes == b".shstrtab\0").unwrap();
        whole[at..at + 8].copy_from_slice(b".strtab\0");
        let less = stripped(&whole.into()).unwrap().unwrap();
        assert!(Sections::load(&less.into()).unwrap().get(".text").unwrap().is_some());
    }

    #[test]
    fn a_tree_s_scripts_stay_and_its_broken_programs_are_told_of() {
        let mut tree = Tree::new();
        let mut broken = fake::object(&DEBUG);
        broken.truncate(80);
        for (name, bytes) in [("a.ko", fake::object(&DEBUG)), ("b.sh", b"#!/bin/sh\n".to_vec()), ("c.ko", broken)] {
            tree.insert_file(TreePath::new(name).unwrap(), 0o755, bytes.into(), Provenance::new("test")).unwrap();
        }
        let lens = |tree: &Tree| -> Vec<u64> { tree.walk().filter_map(|item| Some(item.content()?.len())).collect() };
        let before = lens(&tree);
        let notes = strip_all(&mut tree);
        let after = lens(&tree);
        assert!(after[0] < before[0] - 4096 && after[1..] == before[1..], "{before:?} {after:?}");
        assert!(matches!(&notes[..], [note] if note.starts_with("/c.ko is not stripped: ")), "{notes:?}");
    }

    #[test]
    fn no_truncation_and_no_flipped_byte_panics_or_makes_more() {
        let whole = fake::object(&[(".debug_info", &[7; 64]), (".text", b"code"), (".modinfo", b"a=b\0")]);
        let try_it = |bytes: Vec<u8>| {
            let len = bytes.len();
            if let Ok(Some(less)) = stripped(&bytes.into()) {
                assert!(less.len() < len);
            }
        };
        for len in 0..whole.len() {
            try_it(whole[..len].to_vec());
        }
        for at in 0..whole.len() {
            for bits in [0xff, 0x80, 0x01] {
                let mut flipped = whole.clone();
                flipped[at] ^= bits;
                try_it(flipped);
            }
        }
    }
}
