//! Each index as depmod writes it.

use std::collections::BTreeMap;

use super::table;
use super::trie::{Trie, TrieError};
use super::{Entry, Names};
use crate::kernel::modinfo::kmod_name;

/// modules.dep and modules.dep.bin.
pub(super) fn deps(kmods: &[Entry]) -> Result<(Vec<u8>, Vec<u8>), TrieError> {
    let mut text = Vec::new();
    let mut trie = Trie::new();
    for (kmod, n) in kmods.iter().zip(0..) {
        let needed = kmod.deps.iter().rev().flat_map(|&dep| [b" ", kmods[dep].path.as_slice()]);
        let line = [kmod.path.as_slice(), b":"].into_iter().chain(needed).collect::<Vec<_>>().concat();
        trie.insert(kmod.name.as_bytes(), &line, n)?;
        text.extend(line);
        text.push(b'\n');
    }
    Ok((text, trie.write()?))
}

/// modules.alias and modules.alias.bin.
pub(super) fn aliases(kmods: &[Entry], warnings: &mut Vec<String>) -> Result<(Vec<u8>, Vec<u8>), TrieError> {
    let mut text = b"# Aliases extracted from modules themselves.\n".to_vec();
    let mut trie = Trie::new();
    for (kmod, n) in kmods.iter().zip(0..) {
        for alias in kmod.object.values("alias") {
            text.extend([b"alias ", alias, b" ", kmod.name.as_bytes(), b"\n"].concat());
            add_alias(&mut trie, alias, &kmod.name, n, warnings);
        }
    }
    Ok((text, trie.write()?))
}

/// modules.symbols and modules.symbols.bin.
pub(super) fn symbols(kmods: &[Entry], owners: &Names<'_>) -> Result<(Vec<u8>, Vec<u8>), TrieError> {
    let mut text = b"# Aliases for symbols, used by symbol_request().\n".to_vec();
    let mut trie = Trie::new();
    let mut names: Vec<(&[u8], usize)> = owners.iter().map(|(name, owner)| (*name, *owner)).collect();
    names.sort_by(|(a, _), (b, _)| table::compare(a, b, table::SYMBOLS));
    for (name, owner) in names {
        let alias = [b"symbol:", name].concat();
        let owner_name = kmods[owner].name.as_bytes();
        text.extend([b"alias ", alias.as_slice(), b" ", owner_name, b"\n"].concat());
        trie.insert(&alias, owner_name, owner as u32)?;
    }
    Ok((text, trie.write()?))
}

/// modules.softdep, or with another key and comment modules.weakdep.
pub(super) fn softdeps(kmods: &[Entry], comment: &str, key: &str) -> Vec<u8> {
    let mut text = comment.as_bytes().to_vec();
    for kmod in kmods {
        for value in kmod.object.values(key) {
            text.extend([key.as_bytes(), b" ", kmod.name.as_bytes(), b" ", value, b"\n"].concat());
        }
    }
    text
}

/// modules.devname: device nodes that udev makes before any driver is there.
pub(super) fn devnames(kmods: &[Entry], warnings: &mut Vec<String>) -> Vec<u8> {
    let mut text = Vec::new();
    for kmod in kmods {
        let (mut name, mut number) = (None, None);
        for alias in kmod.object.values("alias") {
            let alias = String::from_utf8_lossy(alias);
            if let Some(devname) = alias.strip_prefix("devname:") {
                name = Some(devname.to_string());
            } else if let Some(found) = device_number(&alias) {
                number = Some(found);
            }
            if name.is_some() && number.is_some() {
                break;
            }
        }
        match (name, number) {
            (Some(name), Some((kind, major, minor))) => {
                if text.is_empty() {
                    text.extend(b"# Device nodes to trigger on-demand module loading.\n");
                }
                text.extend(format!("{} {name} {kind}{major}:{minor}\n", kmod.name).into_bytes());
            }
            (Some(name), None) => {
                warnings.push(format!("kmod {} has a devname ({name}), and no device number", kmod.name));
            }
            _ => {}
        }
    }
    text
}

/// `char-major-10-229` and `block-major-7-0`.
fn device_number(alias: &str) -> Option<(char, u32, u32)> {
    let char_device = alias.strip_prefix("char-major-").map(|rest| ('c', rest));
    let (kind, rest) = char_device.or_else(|| alias.strip_prefix("block-major-").map(|rest| ('b', rest)))?;
    let (major, minor) = rest.split_once('-')?;
    // `char-major-10-1*` has a number too, for sscanf(3).
    let digits = minor.find(|c: char| !c.is_ascii_digit()).unwrap_or(minor.len());
    Some((kind, major.parse().ok()?, minor[..digits].parse().ok()?))
}

/// modules.builtin.bin, from modules.builtin: a path a line.
pub(super) fn builtin(list: &[u8], warnings: &mut Vec<String>) -> Result<Vec<u8>, TrieError> {
    let mut trie = Trie::new();
    for line in list.split(|&b| b == b'\n').filter(|line| !line.is_empty()) {
        match line.rsplit(|&b| b == b'/').next().and_then(kmod_name) {
            Some(name) => trie.insert(name.as_bytes(), b"", 0)?,
            None => warnings.push(format!("modules.builtin: `{}` is no kmod", tree::Escaped(line))),
        }
    }
    trie.write()
}

/// modules.builtin.alias.bin, from modules.builtin.modinfo: `name.key=value`
/// strings, each ended by NUL.
pub(super) fn builtin_aliases(modinfo: &[u8], warnings: &mut Vec<String>) -> Result<Vec<u8>, TrieError> {
    const KEY: &[u8] = b".alias=";
    let mut trie = Trie::new();
    for entry in modinfo.split(|&b| b == 0) {
        let Some(dot) = entry.iter().position(|&b| b == b'.') else { continue };
        let (name, rest) = entry.split_at(dot);
        let Some(alias) = rest.strip_prefix(KEY).filter(|alias| !alias.is_empty()) else { continue };
        add_alias(&mut trie, alias, &String::from_utf8_lossy(name), 0, warnings);
    }
    trie.write()
}

/// With `_` for `-` except in sets; `None` if a set has one bracket only.
fn normalized(alias: &[u8]) -> Option<Vec<u8>> {
    let mut in_set = false;
    let mut out = Vec::with_capacity(alias.len());
    for &byte in alias {
        match byte {
            b'-' if !in_set => out.push(b'_'),
            b']' if !in_set => return None,
            _ => {
                in_set = if in_set { byte != b']' } else { byte == b'[' };
                out.push(byte);
            }
        }
    }
    (!in_set).then_some(out)
}

/// An alias that no index can hold is one that nothing will ask for.
fn add_alias(trie: &mut Trie, alias: &[u8], kmod: &str, priority: u32, warnings: &mut Vec<String>) {
    let problem = match normalized(alias) {
        Some(key) => trie.insert(&key, kmod.as_bytes(), priority).err().map(|error| error.to_string()),
        None => Some(format!("`{}` has a bracket without its other", tree::Escaped(alias))),
    };
    warnings.extend(problem.map(|problem| format!("an alias of kmod {kmod} is passed over: {problem}")));
}

/// Who has a symbol; of several kmods the last one in the indexes' order.
pub(super) fn owners(kmods: &[Entry]) -> Names<'_> {
    let mut owners = BTreeMap::new();
    for (n, kmod) in kmods.iter().enumerate() {
        owners.extend(kmod.object.exported().map(|name| (name, n)));
    }
    owners
}
