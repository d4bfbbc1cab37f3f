//! systemd-boot: a menu that reads FAT alone, so kernel and initramfs stand in
//! the ESP, and the ISO's records point at them there.

use std::fmt::Write;

use init::contract::medium;
use iso::InEsp;
use tree::{Content, Provenance, Tree, TreePath};

use super::{Booted, LoaderError, Shared, UefiBoot};
use crate::arch::Arch;
use crate::plan::{BootEntry, BootPlan};
use crate::source::Need;

const PROGRAM: &str = "systemd-boot.efi";

pub(super) fn needs(arch: Arch) -> &'static [Need] {
    const fn program(paths: &'static [&'static str]) -> Need {
        Need { name: PROGRAM, packages: &["systemd-boot-efi"], paths }
    }
    match arch {
        Arch::X86_64 => const { &[program(&["systemd/boot/efi/systemd-bootx64.efi"])] },
        Arch::Aarch64 => const { &[program(&["systemd/boot/efi/systemd-bootaa64.efi"])] },
    }
}

pub(super) fn stage(booted: &Booted<'_>) -> Result<UefiBoot, LoaderError> {
    let mut esp = Tree::new();
    let mut insert = |path: &str, content: Content, from: Provenance| -> Result<TreePath, LoaderError> {
        let path = TreePath::new(path).expect("a plain path");
        esp.insert_file(path.clone(), 0o644, content, from)?;
        Ok(path)
    };
    let (program, from) = booted.files.get(PROGRAM).expect("the sources were loaded for systemd-boot");
    insert(booted.arch.removable_loader(), program.clone(), from.clone())?;
    let menu = || Provenance::new("systemd-boot's menu").because("boot.entry");
    insert("loader/loader.conf", config(booted.plan).into(), menu())?;
    for (n, entry) in booted.plan.entries.iter().enumerate() {
        insert(&format!("loader/entries/{}", entry_name(n)), entry_config(n, entry).into(), menu())?;
    }
    let shared = |path: TreePath| Shared { iso: path.clone(), esp: InEsp::File(path) };
    let from = Provenance::new("what systemd-boot starts").because("boot.uefi");
    let kernel = shared(insert(medium::KERNEL, booted.kernel.clone(), from.clone())?);
    let initramfs = shared(insert(medium::INITRAMFS, booted.initramfs.clone(), from)?);
    Ok(UefiBoot { files: Tree::new(), esp, shared: vec![kernel, initramfs] })
}

/// loader.conf(5). The default is a pattern, and a dot in it stands for itself.
fn config(boot: &BootPlan) -> String {
    format!("timeout {}\ndefault {}\nconsole-mode keep\n", boot.timeout, entry_name(0))
}

fn entry_name(n: usize) -> String {
    format!("entry{}.conf", n + 1)
}

/// An entry of the Boot Loader Specification; the menu sorts by its key.
fn entry_config(n: usize, BootEntry { title, cmdline }: &BootEntry) -> String {
    let (kernel, initramfs) = (medium::KERNEL, medium::INITRAMFS);
    let mut text = format!("title {title}\nsort-key {n:04}\nlinux /{kernel}\ninitrd /{initramfs}\n");
    if !cmdline.is_empty() {
        let _ = writeln!(text, "options {cmdline}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_starts_the_kernel_with_its_command_line() {
        let entry = |cmdline: &str| BootEntry { title: "Start it".into(), cmdline: cmdline.into() };
        assert_eq!(
            entry_config(1, &entry("quiet live.toram")),
            "title Start it\nsort-key 0001\nlinux /boot/vmlinuz\ninitrd /boot/initramfs.img\noptions quiet live.toram\n"
        );
        assert!(!entry_config(0, &entry("")).contains("options"));
    }
}
