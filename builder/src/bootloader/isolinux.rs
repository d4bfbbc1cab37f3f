//! isolinux: BIOS boot from CD by El Torito, and from disks and sticks by the
//! isohybrid master boot record.

use std::fmt::Write;

use init::contract::medium;
use tree::{Content, Provenance, Tree, TreePath};

use super::{BiosBoot, Booted, LoaderError, extra};
use crate::plan::{BootEntry, BootPlan};
use crate::source::Need;

const DIR: &str = "isolinux";

/// `isohdpfx.bin` refuses an isolinux.bin without this at byte 64
/// (syslinux's HYBRID_MAGIC), and says so only when somebody boots the stick.
const HYBRID_MAGIC: [u8; 4] = [0xfb, 0xc0, 0x78, 0x70];

/// isolinux and what its menu needs, as Debian packs them.
pub(super) const NEEDS: &[Need] = &[
    Need { name: "isolinux.bin", packages: &["isolinux"], paths: &["ISOLINUX/isolinux.bin", "syslinux/isolinux.bin"] },
    Need { name: "isohdpfx.bin", packages: &["isolinux"], paths: &["ISOLINUX/isohdpfx.bin", "syslinux/isohdpfx.bin"] },
    module("ldlinux.c32", &["modules/bios/ldlinux.c32", "bios/ldlinux.c32", "syslinux/ldlinux.c32"]),
    module("libcom32.c32", &["modules/bios/libcom32.c32", "bios/libcom32.c32", "syslinux/libcom32.c32"]),
    module("libutil.c32", &["modules/bios/libutil.c32", "bios/libutil.c32", "syslinux/libutil.c32"]),
    module("menu.c32", &["modules/bios/menu.c32", "bios/menu.c32", "syslinux/menu.c32"]),
];

const fn module(name: &'static str, paths: &'static [&'static str]) -> Need {
    Need { name, packages: &["syslinux-common"], paths }
}

pub(super) fn stage(booted: &Booted<'_>) -> Result<BiosBoot, LoaderError> {
    let file = |name| booted.files.get(name).expect("the sources were loaded for isolinux");
    let read = |name| {
        // The largest of them, vesamenu.c32's relatives included, is below 1 MiB.
        file(name).0.read_all(1 << 20).map_err(|e| LoaderError::Read(name, e))
    };
    if read("isolinux.bin")?.get(64..68) != Some(&HYBRID_MAGIC) {
        return Err(LoaderError::NotHybrid);
    }
    let mut files = Tree::new();
    let path = |name: &str| TreePath::new(format!("{DIR}/{name}")).expect("a plain path");
    for name in ["isolinux.bin", "ldlinux.c32", "libcom32.c32", "libutil.c32", "menu.c32"] {
        let (content, from) = file(name);
        files.insert_file(path(name), 0o644, content.clone(), from.clone())?;
    }
    let has_memtest = booted.files.get(extra::MEMTEST_BIOS.need).is_some();
    let from = Provenance::new("isolinux's menu").because("boot.entry");
    files.insert_file(path("isolinux.cfg"), 0o644, Content::from(config(booted.plan, has_memtest)), from)?;
    let image = iso::BiosImage::isolinux(path("isolinux.bin"));
    Ok(BiosBoot { files, image, start: iso::StartCode::Isohdpfx(read("isohdpfx.bin")?) })
}

/// One menu for screen and serial line. Timeouts are in tenths of a second,
/// and 0 would wait for ever (syslinux's doc/syslinux.txt).
fn config(boot: &BootPlan, has_memtest: bool) -> String {
    let mut text = String::new();
    if let Some(speed) = boot.serial {
        let _ = writeln!(text, "SERIAL 0 {speed}");
    }
    text.push_str("PROMPT 0\n");
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
    if has_memtest {
        let (title, path) = (extra::MEMTEST_TITLE, extra::MEMTEST_BIOS.on_medium);
        let _ = writeln!(text, "LABEL memtest\n  MENU LABEL {title}\n  LINUX /{path}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(timeout: u32) -> BootPlan {
        let entry = |title: &str, cmdline: &str| BootEntry { title: title.into(), cmdline: cmdline.into() };
        let entries = vec![entry("Start", ""), entry("Serial", "console=ttyS0")];
        BootPlan { timeout, entries, ..BootPlan::for_test() }
    }

    #[test]
    fn the_menu_has_every_entry_and_the_first_is_the_default() {
        let text = config(&plan(5), false);
        assert!(text.starts_with("SERIAL 0 9600\nPROMPT 0\n"), "{text}");
        assert!(text.contains("TIMEOUT 50\nDEFAULT entry1\n"), "{text}");
        let last = "LABEL entry2\n  MENU LABEL Serial\n  KERNEL /boot/vmlinuz\n  INITRD /boot/initramfs.img\n  APPEND console=ttyS0\n";
        assert!(text.ends_with(last), "{text}");
    }

    #[test]
    fn a_memory_test_is_started_as_linux_is() {
        let text = config(&plan(5), true);
        assert!(text.ends_with("LABEL memtest\n  MENU LABEL Memory test\n  LINUX /boot/memtest\n"), "{text}");
    }

    #[test]
    fn without_a_timeout_the_first_entry_starts_at_once() {
        let text = config(&plan(0), false);
        assert!(!text.contains("menu.c32") && text.contains("TIMEOUT 1\n"), "{text}");
    }
}
