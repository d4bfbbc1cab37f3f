//! The unified kernel image: systemd's stub with kernel, initramfs and command
//! line as sections of one EFI application, which firmware starts by itself.
//! It has no menu.

mod assemble;
#[cfg(test)]
mod fake;
mod pe;

use init::contract::medium;
use iso::InEsp;
use tree::{Provenance, Tree, TreePath};

use super::{Booted, LoaderError, Shared, UefiBoot};
use crate::arch::Arch;
use crate::plan::BootEntry;
use crate::source::Need;
use assemble::{Parts, Uki};

pub use assemble::UkiError;
pub use pe::PeError;

const STUB: &str = "linux.efi.stub";

pub(super) fn needs(arch: Arch) -> &'static [Need] {
    const fn stub(paths: &'static [&'static str]) -> Need {
        Need { name: STUB, packages: &["systemd-boot-efi"], paths }
    }
    match arch {
        Arch::X86_64 => const { &[stub(&["systemd/boot/efi/linuxx64.efi.stub"])] },
        Arch::Aarch64 => const { &[stub(&["systemd/boot/efi/linuxaa64.efi.stub"])] },
    }
}

pub(super) fn stage(booted: &Booted<'_>) -> Result<UefiBoot, LoaderError> {
    let BootEntry { title, cmdline } = &booted.plan.entries[0];
    let (stub, stub_from) = booted.files.get(STUB).expect("the sources were loaded for the unified kernel image");
    let parts = Parts {
        os_release: os_release(booted.name, title),
        release: booted.release,
        cmdline,
        initramfs: booted.initramfs,
        kernel: booted.kernel,
    };
    let uki = Uki::lay_out(stub, &parts)?;
    let path = |path: &str| TreePath::new(path).expect("a plain path");
    let program = path(booted.arch.removable_loader());
    let mut esp = Tree::new();
    let from = Provenance::new("the unified kernel image").because(stub_from.to_string());
    esp.insert_file(program.clone(), 0o644, uki.content, from)?;
    let shared = [(medium::KERNEL, uki.kernel_at), (medium::INITRAMFS, uki.initramfs_at)];
    let shared =
        shared.map(|(iso, at)| Shared { iso: path(iso), esp: InEsp::Stretch { of: program.clone(), at } }).into();
    Ok(UefiBoot { files: Tree::new(), esp, shared })
}

/// os-release(5), quoted as it says.
fn os_release(name: &str, title: &str) -> String {
    let quoted = |text: &str| {
        let escaped = text.chars().map(|c| if "\"\\$`".contains(c) { format!("\\{c}") } else { c.to_string() });
        format!("\"{}\"", escaped.collect::<String>())
    };
    format!("ID={}\nNAME={}\nPRETTY_NAME={}\n", quoted(&name.to_ascii_lowercase()), quoted(name), quoted(title))
}

#[cfg(test)]
mod tests {
    #[test]
    fn os_release_is_quoted_for_the_shell() {
        let text = super::os_release("Aurora", "Start \"$HOME\"");
        assert_eq!(text, "ID=\"aurora\"\nNAME=\"Aurora\"\nPRETTY_NAME=\"Start \\\"\\$HOME\\\"\"\n");
    }
}
