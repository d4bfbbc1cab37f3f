//! What an image tells about the machine it wants.

use std::path::Path;

use init::contract::medium;
use iso::read::{Iso, ReadError};
use tree::{Content, Tree, TreePath};

use super::{Arch, Firmware};

/// Everything is empty for what is no ISO: a disk's image may well boot.
#[derive(Debug, Default)]
pub struct Told {
    pub arch: Option<Arch>,
    /// That the boot catalog has an image for.
    pub firmware: Vec<Firmware>,
    pub kernel: Option<Content>,
}

impl Told {
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        let len = path.metadata()?.len();
        let image = match Iso::open(Content::host(path, len)) {
            Err(ReadError::NotAnImage(_)) => return Ok(Self::default()),
            image => image?,
        };
        let tree = image.tree()?;
        let platforms: Vec<u8> =
            image.boot_entries()?.iter().filter(|entry| entry.bootable).map(|entry| entry.platform).collect();
        let firmware =
            [(0, Firmware::Bios), (0xEF, Firmware::Uefi)].into_iter().filter(|(id, _)| platforms.contains(id));
        let kernel = kernel(&tree);
        let arch = kernel.as_ref().map(Arch::of_kernel).transpose()?.flatten();
        Ok(Self { arch, firmware: firmware.map(|(_, firmware)| firmware).collect(), kernel })
    }
}

/// Ours, or where others keep theirs: a file by one of its usual names.
fn kernel(tree: &Tree) -> Option<Content> {
    let ours = TreePath::new(medium::KERNEL).ok().and_then(|path| tree.get(&path)?.content().cloned());
    ours.or_else(|| {
        let named = |name: &[u8]| [&b"vmlinuz"[..], b"linux", b"bzImage", b"Image"].iter().any(|n| name.starts_with(n));
        tree.walk().find(|item| named(item.path.name()) && item.content().is_some())?.content().cloned()
    })
}
