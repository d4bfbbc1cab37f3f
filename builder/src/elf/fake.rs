//! Hand-made ELF files for tests.

/// A kmod with nothing but a `.modinfo`, made of `key=value` strings.
pub(crate) fn kmod(modinfo: &[&str]) -> Vec<u8> {
    let text: Vec<u8> = modinfo.iter().flat_map(|entry| entry.bytes().chain([0])).collect();
    object(&[(".modinfo", &text)])
}

/// A little-endian 64-bit object file with these sections.
pub(crate) fn object(sections: &[(&str, &[u8])]) -> Vec<u8> {
    let mut names = vec![0];
    let mut body = Vec::new();
    let mut table = vec![0; 64];
    for (name, bytes) in sections {
        table.extend(section(names.len() as u32, 1, 64 + body.len() as u64, bytes.len() as u64));
        names.extend(name.bytes().chain([0]));
        body.extend_from_slice(bytes);
    }
    let own_name = names.len() as u32;
    names.extend(b".shstrtab\0");
    table.extend(section(own_name, 3, 64 + body.len() as u64, names.len() as u64));
    body.extend(names);
    let table_at = 64 + body.len() as u64;
    [header(1, 62, [0, table_at], [0, sections.len() as u16 + 2]), body, table].concat()
}

/// A program or a library. Empty strings leave their entries out.
pub(crate) struct Dynamic<'a> {
    pub machine: u16,
    pub interpreter: &'a str,
    pub needed: &'a [&'a str],
    pub soname: &'a str,
    pub rpath: &'a str,
    pub runpath: &'a str,
    /// The text of a [`dlopen_note`].
    pub dlopen: &'a str,
}

impl Default for Dynamic<'_> {
    fn default() -> Self {
        Self { machine: 62, interpreter: "", needed: &[], soname: "", rpath: "", runpath: "", dlopen: "" }
    }
}

/// A note of what is opened while running, with its JSON.
pub(crate) fn dlopen_note(json: &str) -> Vec<u8> {
    let head = [4, json.len() as u32 + 1, 0x407c_0c0a];
    let mut note: Vec<u8> = head.iter().flat_map(|n| n.to_le_bytes()).collect();
    note.extend(b"FDO\0");
    note.extend(json.bytes().chain([0]));
    note.resize(note.len().next_multiple_of(4), 0);
    note
}

/// One PT_LOAD over the whole file, PT_INTERP, PT_DYNAMIC and PT_NOTE in it.
pub(crate) fn dynamic(of: &Dynamic<'_>) -> Vec<u8> {
    const SEGMENTS: u64 = 4;
    let body_at = 64 + SEGMENTS * 56;
    let mut strings = vec![0];
    let mut entries: Vec<u64> = Vec::new();
    let named = of.needed.iter().map(|name| (1, *name));
    for (tag, text) in named.chain([(14, of.soname), (15, of.rpath), (29, of.runpath)]) {
        if !text.is_empty() {
            entries.extend([tag, strings.len() as u64]);
            strings.extend(text.bytes().chain([0]));
        }
    }
    let strings_at = body_at + of.interpreter.len() as u64 + 1;
    entries.extend([5, strings_at, 10, strings.len() as u64, 0, 0]);
    let dynamic_at = strings_at + strings.len() as u64;
    let notes_at = dynamic_at + entries.len() as u64 * 8;
    let notes = if of.dlopen.is_empty() { Vec::new() } else { dlopen_note(of.dlopen) };
    let end = notes_at + notes.len() as u64;

    let mut elf = header(3, of.machine, [64, 0], [SEGMENTS as u16, 0]);
    elf.extend(segment(1, 0, end));
    let interpreter = if of.interpreter.is_empty() { 0 } else { 3 };
    elf.extend(segment(interpreter, body_at, of.interpreter.len() as u64 + 1));
    elf.extend(segment(2, dynamic_at, notes_at - dynamic_at));
    elf.extend(segment(4, notes_at, end - notes_at));
    elf.extend(of.interpreter.bytes().chain([0]));
    elf.extend(&strings);
    elf.extend(entries.iter().flat_map(|n| n.to_le_bytes()));
    elf.extend(notes);
    elf
}

/// The ELF header. `at` and `counts` are of segments and sections; the names
/// are in the last section.
fn header(kind: u16, machine: u16, at: [u64; 2], counts: [u16; 2]) -> Vec<u8> {
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    elf.extend([kind, machine].iter().flat_map(|n| n.to_le_bytes()));
    elf.extend(1_u32.to_le_bytes());
    elf.extend([0, at[0], at[1]].iter().flat_map(|n: &u64| n.to_le_bytes()));
    elf.extend(0_u32.to_le_bytes());
    let last = counts[1].saturating_sub(1);
    elf.extend([64, 56, counts[0], 64, counts[1], last].iter().flat_map(|n: &u16| n.to_le_bytes()));
    elf
}

fn segment(kind: u32, offset: u64, len: u64) -> Vec<u8> {
    let mut segment: Vec<u8> = [kind, 4].iter().flat_map(|n| n.to_le_bytes()).collect();
    segment.extend([offset, offset, offset, len, len, 1].iter().flat_map(|n| n.to_le_bytes()));
    segment
}

fn section(name: u32, kind: u32, offset: u64, len: u64) -> Vec<u8> {
    let mut section: Vec<u8> = [name, kind].iter().flat_map(|n| n.to_le_bytes()).collect();
    section.extend([0, 0, offset, len, 0, 1, 0].iter().flat_map(|n: &u64| n.to_le_bytes()));
    section
}
