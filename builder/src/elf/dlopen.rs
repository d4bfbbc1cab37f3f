//! Libraries that a program opens while it runs, and says so in an ELF note
//! (UAPI group: "ELF dlopen metadata").

use goblin::container::Ctx;
use goblin::elf::note::NoteDataIterator;

const OWNER: &str = "FDO";
const TYPE: u32 = 0x407c_0c0a;

/// One thing a program can do with a library's help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feature {
    /// The first of these that is there is taken.
    pub sonames: Vec<String>,
    /// The program does not work without it.
    pub required: bool,
}

/// The features of a note segment that a program should not be without:
/// `required` and `recommended` ones. A `suggested` one is for special cases,
/// and a profile that has such a case names the library itself.
pub(super) fn features(segment: &[u8], align: u64, ctx: Ctx) -> Vec<Feature> {
    // goblin divides by the alignment; ELF has these two.
    let align = if align == 8 { 8 } else { 4 };
    let notes = NoteDataIterator { data: segment, size: segment.len(), offset: 0, ctx: (align, ctx) };
    let ours = notes.flatten().filter(|note| note.n_type == TYPE && note.name.trim_end_matches('\0') == OWNER);
    ours.flat_map(|note| parse(note.desc)).collect()
}

/// A note that does not read as it should says nothing: it is a hint, which
/// no loader looks at.
fn parse(json: &[u8]) -> Vec<Feature> {
    let text = json.strip_suffix(b"\0").unwrap_or(json);
    let Ok(serde_json::Value::Array(features)) = serde_json::from_slice(text) else { return Vec::new() };
    let feature = |value: &serde_json::Value| {
        let required = match value["priority"].as_str().unwrap_or("recommended") {
            "required" => true,
            "recommended" => false,
            _ => return None,
        };
        let sonames = value["soname"].as_array()?.iter().filter_map(|name| name.as_str().map(String::from)).collect();
        Some(Feature { sonames, required })
    };
    features.iter().filter_map(feature).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::fake::dlopen_note as note;
    use goblin::container::{Container, Endian};

    fn read(segment: &[u8]) -> Vec<Feature> {
        features(segment, 4, Ctx::new(Container::Big, Endian::Little))
    }

    #[test]
    fn notes_tell_what_is_opened_and_whether_it_must_be_there() {
        let mut segment =
            note(r#"[{"soname":["liba.so.2","liba.so.1"],"priority":"required"},{"soname":["libb.so"]}]"#);
        segment.extend(note(r#"[{"soname":["libc.so"],"priority":"suggested"}]"#));
        let feature = |sonames: &[&str], required| Feature {
            sonames: sonames.iter().map(ToString::to_string).collect(),
            required,
        };
        assert_eq!(read(&segment), [feature(&["liba.so.2", "liba.so.1"], true), feature(&["libb.so"], false)]);
    }

    #[test]
    fn what_is_no_such_note_says_nothing() {
        let whole = note(r#"[{"soname":["liba.so"]}]"#);
        for len in 0..whole.len() {
            let _ = read(&whole[..len]);
        }
        for json in ["", "{}", "[1]", r#"[{"soname":"liba.so"}]"#, "[[["] {
            assert_eq!(read(&note(json)), [], "{json}");
        }
    }
}
