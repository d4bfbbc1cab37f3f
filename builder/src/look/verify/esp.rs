//! The ESP of an ISO: readable, and with a program that UEFI starts.

use iso::read::Iso;
use tree::{Content, Tree};

use super::Report;
use super::report::chain;
use crate::opened::{Level, esp};

/// An ESP that could be read.
#[derive(Debug)]
pub(super) struct Esp {
    pub(super) content: Content,
    pub(super) tree: Tree,
    pub(super) loaders: Vec<Loader>,
}

/// `\EFI\BOOT\BOOT….EFI`: what UEFI starts from a medium it does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Loader {
    pub(super) path: String,
    pub(super) arch: &'static str,
    pub(super) is_signed: bool,
}

/// UEFI 2.10, 3.5.1.1.
const NAMES: [(&str, &str); 5] = [
    ("BOOTX64.EFI", "x86_64"),
    ("BOOTIA32.EFI", "i686"),
    ("BOOTAA64.EFI", "aarch64"),
    ("BOOTRISCV64.EFI", "riscv64"),
    ("BOOTARM.EFI", "arm"),
];

pub(super) fn find(image: &Level, volume: &Iso, report: &mut Report) -> Option<Esp> {
    let name = format!("{}:esp", image.name);
    let content = match esp(volume, &image.opened.content) {
        Ok(content) => content?,
        Err(error) => {
            report.fault(name, chain(&error));
            return None;
        }
    };
    match iso::fat::read(&content) {
        Ok(tree) => {
            let loaders = check_loaders(&tree, &name, report);
            Some(Esp { content, tree, loaders })
        }
        Err(error) => {
            report.fault(name, chain(&error));
            None
        }
    }
}

pub(super) fn check_loaders(tree: &Tree, name: &str, report: &mut Report) -> Vec<Loader> {
    let mut loaders = Vec::new();
    for item in tree.walk() {
        let path = item.path.to_string();
        // FAT knows no case.
        let upper = path.to_ascii_uppercase();
        let known = NAMES.iter().find(|(name, _)| upper.strip_prefix("/EFI/BOOT/") == Some(name));
        let (Some((_, arch)), Some(content)) = (known, item.content()) else { continue };
        match signed(content) {
            Some(is_signed) => loaders.push(Loader { path, arch, is_signed }),
            None => report.fault(format!("{name}:{path}"), "is no program for UEFI"),
        }
    }
    if loaders.is_empty() {
        report.fault(name, "has no EFI/BOOT/BOOT….EFI, so UEFI finds nothing to start in it");
    }
    loaders
}

/// Whether a PE image has a certificate; `None` if it is none (PE/COFF
/// specification, "Optional Header Data Directories").
fn signed(content: &Content) -> Option<bool> {
    let at = content.open_at().ok()?;
    let head = at.read(0, 64).ok()?;
    if !head.starts_with(b"MZ") {
        return None;
    }
    let start = u64::from(u32::from_le_bytes(head[60..64].try_into().ok()?));
    let header = at.read(start, 24 + 112 + 5 * 8).ok()?;
    // What stands behind `PE`, the file header and the standard fields depends on the width.
    let directories = match header.get(24..26)? {
        [0x0b, 0x02] => 24 + 112,
        [0x0b, 0x01] => 24 + 96,
        _ => return None,
    };
    let certificates = header.get(directories + 4 * 8 + 4..directories + 5 * 8)?;
    header.starts_with(b"PE\0\0").then(|| certificates != [0; 4])
}
