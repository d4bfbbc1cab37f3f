//! What depmod reads of a kmod: its modinfo, the symbols it has for others
//! and those it leaves to others.

use std::collections::HashSet;

use tree::Content;

use crate::elf::{Malformed, Sections};
use crate::kernel::decompress;

#[derive(Debug, Default)]
pub(super) struct Object {
    /// `key=value` strings, each ended by NUL.
    modinfo: Vec<u8>,
    /// Names, each ended by NUL.
    exported: Vec<u8>,
    needed: Vec<u8>,
}

impl Object {
    pub(super) fn load(kmod: &Content) -> Result<Self, Malformed> {
        let sections = Sections::load(&decompress::plain(kmod)?)?;
        if !sections.relocatable {
            return Err(Malformed::NotKmod);
        }
        let mut exported = Vec::new();
        let mut needed = Vec::new();
        sections.for_each_symbol(|symbol| {
            if let Some(name) = symbol.name.strip_prefix(b"__crc_") {
                push(&mut exported, name);
            }
            if symbol.undefined && !symbol.name.is_empty() {
                push(&mut needed, symbol.name);
            }
        })?;
        if exported.is_empty() {
            // A kernel without CONFIG_MODVERSIONS has no checksums to name them by.
            exported = sections.get("__ksymtab_strings")?.unwrap_or_default();
        }
        if let Some(versions) = sections.get("__versions")? {
            add_versions(&versions, sections.is_64_bit(), &mut needed);
        }
        let modinfo = sections.get(".modinfo")?.unwrap_or_default();
        Ok(Self { modinfo, exported, needed })
    }

    pub(super) fn exported(&self) -> impl Iterator<Item = &[u8]> {
        strings(&self.exported)
    }

    /// In the order of the symbol table.
    pub(super) fn needed(&self) -> impl Iterator<Item = &[u8]> {
        // PPC64 has `.name` for the code of `name`.
        strings(&self.needed).map(|name| name.strip_prefix(b".").unwrap_or(name))
    }

    /// The values of a key of the modinfo.
    pub(super) fn values<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a [u8]> {
        strings(&self.modinfo).filter_map(move |entry| entry.strip_prefix(key.as_bytes())?.strip_prefix(b"="))
    }
}

/// Symbols that only have a version, as module_layout, are needed too
/// (kernel: struct modversion_info in include/linux/module.h).
fn add_versions(versions: &[u8], is_64_bit: bool, needed: &mut Vec<u8>) {
    const ENTRY: usize = 64;
    let checksum = if is_64_bit { 8 } else { 4 };
    let known: HashSet<Vec<u8>> = strings(needed).map(<[u8]>::to_vec).collect();
    for entry in versions.chunks_exact(ENTRY) {
        let name = entry[checksum..].split(|&b| b == 0).next().unwrap_or_default();
        if !known.contains(name) {
            push(needed, name);
        }
    }
}

fn push(names: &mut Vec<u8>, name: &[u8]) {
    names.extend_from_slice(name);
    names.push(0);
}

fn strings(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|&b| b == 0).filter(|string| !string.is_empty())
}
