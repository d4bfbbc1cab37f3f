//! isolinux: BIOS boot from CD by El Torito, and from disks and sticks by the
//! isohybrid master boot record.

use std::fmt::Write;

use init::contract::medium;
use tree::{Conflict, Content, Provenance, Tree, TreePath};

use crate::plan::{BootEntry, BootPlan};
use crate::source::LoaderFiles;

const DIR: &str = "isolinux";

/// `isohdpfx.bin` refuses an isolinux.bin without this at byte 64
/// (syslinux's HYBRID_MAGIC), and says so only when somebody boots the stick.
const HYBRID_MAGIC: [u8; 4] = [0xfb, 0xc0, 0x78, 0x70];

#[derive(Debug, thiserror::Error)]
pub enum IsolinuxError {
    #[error("boot loader file {0}")]
    Read(&'static str, #[source] std::io::Error),
    #[error("isolinux.bin is not made for isohybrid images: take one of syslinux 4.04 or later")]
    NotHybrid,
    #[error(transparent)]
    Conflict(#[from] Conflict),
}

/// What the ISO needs to know of it.
#[derive(Debug)]
pub struct Isolinux {
    /// The files for the medium.
    pub tree: Tree,
    pub boot_image: TreePath,
    pub mbr_code: Vec<u8>,
}

pub fn stage(boot: &BootPlan, files: &LoaderFiles) -> Result<Isolinux, IsolinuxError> {
    let file = |name| files.get(name).expect("the sources were loaded for isolinux");
    let read = |name| {
        // The largest of them, vesamenu.c32's relatives included, is below 1 MiB.
        file(name).0.read_all(1 << 20).map_err(|e| IsolinuxError::Read(name, e))
    };
    if read("isolinux.bin")?.get(64..68) != Some(&HYBRID_MAGIC) {
        return Err(IsolinuxError::NotHybrid);
    }
    let mut tree = Tree::new();
    let path = |name: &str| TreePath::new(format!("{DIR}/{name}")).expect("a plain path");
    for name in ["isolinux.bin", "ldlinux.c32", "libcom32.c32", "libutil.c32", "menu.c32"] {
        let (content, from) = file(name);
        tree.insert_file(path(name), 0o644, content.clone(), from.clone())?;
    }
    let from = Provenance::new("isolinux's menu").because("boot.entry");
    tree.insert_file(path("isolinux.cfg"), 0o644, Content::from(config(boot)), from)?;
    Ok(Isolinux { tree, boot_image: path("isolinux.bin"), mbr_code: read("isohdpfx.bin")? })
}

/// One menu for screen and serial line. Timeouts are in tenths of a second,
/// and 0 would wait for ever (syslinux's doc/syslinux.txt).
fn config(boot: &BootPlan) -> String {
    let mut text = String::from("SERIAL 0 115200\nPROMPT 0\n");
    if boot.timeout > 0 {
        let _ = writeln!(text, "UI menu.c32\nMENU TITLE Boot\nTIMEOUT {}", boot.timeout * 10);
    } else {
        text.push_str("TIMEOUT 1\n");
    }
    text.push_str("DEFAULT entry1\n");
    let (kernel, initramfs) = (medium::KERNEL, medium::INITRAMFS);
    for (n, BootEntry { title, cmdline }) in boot.entries.iter().enumerate() {
        let n = n + 1;
        let _ = writeln!(text, "LABEL entry{n}\n  MENU LABEL {title}\n  KERNEL /{kernel}\n  INITRD /{initramfs}");
        if !cmdline.is_empty() {
            let _ = writeln!(text, "  APPEND {cmdline}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::BiosLoader;

    fn plan(timeout: u32) -> BootPlan {
        let entry = |title: &str, cmdline: &str| BootEntry { title: title.into(), cmdline: cmdline.into() };
        BootPlan {
            bios: BiosLoader::Isolinux,
            timeout,
            entries: vec![entry("Start", ""), entry("Serial", "console=ttyS0")],
        }
    }

    #[test]
    fn the_menu_has_every_entry_and_the_first_is_the_default() {
        let text = config(&plan(5));
        assert!(text.contains("TIMEOUT 50\nDEFAULT entry1\n"), "{text}");
        let last = "LABEL entry2\n  MENU LABEL Serial\n  KERNEL /boot/vmlinuz\n  INITRD /boot/initramfs.img\n  APPEND console=ttyS0\n";
        assert!(text.ends_with(last), "{text}");
    }

    #[test]
    fn without_a_timeout_the_first_entry_starts_at_once() {
        let text = config(&plan(0));
        assert!(!text.contains("menu.c32") && text.contains("TIMEOUT 1\n"), "{text}");
    }
}
