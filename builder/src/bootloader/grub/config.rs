//! GRUB's texts: what finds the medium, the menu, and the menu for an ISO file
//! that another GRUB starts.

use std::fmt::Write;

use init::contract::{BootId, medium, params};

use crate::bootloader::{Booted, extra};
use crate::plan::BootPlan;

/// Whole words that GRUB takes as they are, quoted or not.
const PLAIN: &str = "._,:/=+@%-";

/// For the core image: plain commands. A label would find another build's
/// medium, or an installed system's copy of this one.
pub(super) fn find_medium(boot_id: BootId) -> String {
    format!("search --no-floppy --set=root --file /{}/{boot_id}\nset prefix=($root)/{}\n", medium::DIR, super::DIR)
}

/// For the ESP, whose own `grub.cfg` this is.
pub(super) fn stub(boot_id: BootId) -> String {
    let marker = format!("/{}/{boot_id}", medium::DIR);
    let dir = super::DIR;
    format!(
        "if search --no-floppy --set=root --file {marker}; then
  set prefix=($root)/{dir}
  configfile $prefix/grub.cfg
else
  echo 'The medium is not there: no disk has the file {marker}.'
  sleep 60
fi
"
    )
}

pub(super) fn menu(booted: &Booted<'_>) -> String {
    let plan = booted.plan;
    let mut text = format!("set default=0\nset timeout={}\n", plan.timeout);
    if let Some(speed) = plan.serial {
        // UEFI has serial consoles of its own, and would print everything twice.
        let _ = write!(
            text,
            "if [ \"$grub_platform\" = pc ]; then
  if serial --unit=0 --speed={speed}; then
    terminal_input console serial
    terminal_output console serial
  fi
fi
"
        );
    }
    entries(&mut text, plan, "");
    for (title, platform, command, path) in [
        (extra::MEMTEST_TITLE, "pc", "linux", extra::MEMTEST_BIOS),
        (extra::MEMTEST_TITLE, "efi", "chainloader", extra::MEMTEST_UEFI),
        (extra::SHELL_TITLE, "efi", "chainloader", extra::SHELL),
    ] {
        if booted.files.get(path.need).is_some() {
            let _ = write!(
                text,
                "if [ \"$grub_platform\" = {platform} ]; then
  menuentry {} {{
    {command} /{}
  }}
fi
",
                quoted(title),
                path.on_medium
            );
        }
    }
    text
}

/// The convention: whoever starts this has made the ISO file the root, and
/// has put its path into `iso_path`.
pub(super) fn loopback(plan: &BootPlan) -> String {
    let mut text = String::new();
    entries(&mut text, plan, &format!(" {}=\"$iso_path\"", params::ISO));
    text
}

/// GRUB starts a kernel whose initramfs it could not load, and that panics
/// without a word about memory.
fn entries(text: &mut String, plan: &BootPlan, more: &str) {
    for entry in &plan.entries {
        let words: Vec<String> = words(&entry.cmdline).map(|word| quoted(&word)).collect();
        let _ = write!(
            text,
            "menuentry {title} {{
  if linux {words}{more}; then
    if initrd /{initramfs}; then
      boot
    fi
  fi
  echo 'This machine could not load the system; it may have too little memory.'
  sleep 60
  halt
}}
",
            title = quoted(&entry.title),
            words = [&[format!("/{}", medium::KERNEL)], words.as_slice()].concat().join(" "),
            initramfs = medium::INITRAMFS,
        );
    }
}

/// The words of a kernel command line without their double quotes: GRUB puts
/// them back around what has a space in it.
fn words(cmdline: &str) -> impl Iterator<Item = String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut in_quotes = false;
    for c in cmdline.chars() {
        match c {
            '"' => in_quotes = !in_quotes,
            ' ' if !in_quotes => words.push(std::mem::take(&mut word)),
            _ => word.push(c),
        }
    }
    words.push(word);
    words.into_iter().filter(|word| !word.is_empty())
}

fn quoted(text: &str) -> String {
    if !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || PLAIN.contains(c)) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::Arch;
    use crate::plan::BootEntry;
    use crate::source::LoaderFiles;
    use tree::{Content, Provenance};

    fn plan(entries: &[(&str, &str)]) -> BootPlan {
        let entry = |(title, cmdline): &(&str, &str)| BootEntry { title: (*title).into(), cmdline: (*cmdline).into() };
        BootPlan { timeout: 7, entries: entries.iter().map(entry).collect(), ..BootPlan::for_test() }
    }

    fn menu_with(plan: &BootPlan, extras: &[&str]) -> String {
        let mut files = LoaderFiles::default();
        for extra in extras {
            files.insert(extra, Content::from(Vec::new()), Provenance::default());
        }
        let content = Content::from(Vec::new());
        let boot_id = BootId::new([7; 16]);
        let arch = Arch::X86_64;
        menu(&Booted {
            name: "x",
            arch,
            release: "1",
            plan,
            boot_id,
            kernel: &content,
            initramfs: &content,
            files: &files,
        })
    }

    const ID: &str = "07070707070707070707070707070707";

    #[test]
    fn the_medium_is_found_by_its_marker() {
        let id = BootId::new([7; 16]);
        assert_eq!(
            find_medium(id),
            format!("search --no-floppy --set=root --file /live/{ID}\nset prefix=($root)/boot/grub\n")
        );
        let stub = stub(id);
        assert!(stub.starts_with(&format!("if search --no-floppy --set=root --file /live/{ID}; then\n")), "{stub}");
        assert!(stub.contains("configfile $prefix/grub.cfg"), "{stub}");
    }

    #[test]
    fn an_entry_boots_only_with_its_initramfs() {
        let text = menu_with(&plan(&[("Start", "quiet")]), &[]);
        assert!(text.starts_with("set default=0\nset timeout=7\n"), "{text}");
        let entry = "menuentry Start {
  if linux /boot/vmlinuz quiet; then
    if initrd /boot/initramfs.img; then
      boot
    fi
  fi
  echo ";
        assert!(text.contains(entry), "{text}");
        assert!(text.ends_with("  sleep 60\n  halt\n}\n"), "{text}");
    }

    #[test]
    fn the_serial_line_is_for_bios_and_as_fast_as_asked() {
        let text = menu_with(&plan(&[("x", "")]), &[]);
        assert!(text.contains("= pc ]; then\n  if serial --unit=0 --speed=9600; then\n"), "{text}");
        let silent = BootPlan { serial: None, ..plan(&[("x", "")]) };
        assert!(!menu_with(&silent, &[]).contains("serial"));
    }

    #[test]
    fn what_the_shell_of_grub_would_change_is_quoted() {
        let text = menu_with(&plan(&[("It's $HOME", "a=1,b:c x=${y} dyndbg=\"file x.c +p\" z")]), &[]);
        assert!(text.contains(r"menuentry 'It'\''s $HOME' {"), "{text}");
        assert!(text.contains("linux /boot/vmlinuz a=1,b:c 'x=${y}' 'dyndbg=file x.c +p' z;"), "{text}");
    }

    #[test]
    fn an_iso_file_is_told_where_it_is() {
        let text = loopback(&plan(&[("Start", "quiet")]));
        assert!(text.contains("linux /boot/vmlinuz quiet live.iso=\"$iso_path\"; then"), "{text}");
    }

    #[test]
    fn programs_that_are_there_have_entries() {
        let text = menu_with(&plan(&[("x", "")]), &["memtest", "shell.efi"]);
        assert!(text.contains("linux /boot/memtest\n") && text.contains("chainloader /boot/shell.efi\n"), "{text}");
        assert!(!text.contains("memtest.efi"), "{text}");
    }
}
