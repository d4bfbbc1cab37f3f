//! What a menu offers besides the system: a memory test and a UEFI shell.

use tree::{Tree, TreePath};

use super::{Booted, LoaderError};

pub(super) const MEMTEST_TITLE: &str = "Memory test";
pub(super) const SHELL_TITLE: &str = "UEFI shell";

/// One program of somebody else's.
#[derive(Debug, Clone, Copy)]
pub struct Extra {
    /// What [`crate::source::LoaderFiles`] has it by.
    pub need: &'static str,
    pub on_medium: &'static str,
}

/// Without an ending: isolinux goes by them, and takes `.bin` for a boot sector.
pub const MEMTEST_BIOS: Extra = Extra { need: "memtest", on_medium: "boot/memtest" };
pub const MEMTEST_UEFI: Extra = Extra { need: "memtest.efi", on_medium: "boot/memtest.efi" };
pub const SHELL: Extra = Extra { need: "shell.efi", on_medium: "boot/shell.efi" };

/// Those that were given, for the ISO.
pub(super) fn stage(booted: &Booted<'_>) -> Result<Tree, LoaderError> {
    let mut files = Tree::new();
    for extra in [MEMTEST_BIOS, MEMTEST_UEFI, SHELL] {
        if let Some((content, from)) = booted.files.get(extra.need) {
            let path = TreePath::new(extra.on_medium).expect("a plain path");
            files.insert_file(path, 0o644, content.clone(), from.clone())?;
        }
    }
    Ok(files)
}
