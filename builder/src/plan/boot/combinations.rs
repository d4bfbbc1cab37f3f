//! What `[boot]` cannot say together.

use crate::arch::Arch;
use crate::profile::{BiosLoader, BootSection, DiskLayout, Problem, UefiLoader};

/// Each is impossible whatever else the profile says.
pub(super) fn problems(section: &BootSection) -> Vec<Problem> {
    let bios = section.bios.as_ref().map(|bios| bios.value);
    let uefi = section.uefi.as_ref().map(|uefi| uefi.value);
    let mut problems = Vec::new();
    if let Some(layout) = &section.layout {
        let mut refuse = |what, remedy| problems.push(Problem::new(&layout.place, what).remedy(remedy));
        match layout.value {
            DiskLayout::UefiOnly if bios.is_some_and(|bios| bios != BiosLoader::None) => {
                refuse("a layout for UEFI only, and a loader for BIOS", "`bios = \"none\"`, or `layout = \"gpt\"`");
            }
            DiskLayout::UefiOnly if uefi == Some(UefiLoader::None) => {
                refuse("a layout for UEFI only, and no loader for UEFI", "`uefi = \"grub\"`");
            }
            DiskLayout::Isohybrid if bios == Some(BiosLoader::None) => refuse(
                "an isohybrid layout, and no loader for BIOS",
                "isohybrid is a way for a BIOS to start the image: `layout = \"gpt\"` or `\"mbr\"` do without",
            ),
            _ => {}
        }
    }
    let other_than_grub = uefi.filter(|uefi| *uefi != UefiLoader::Grub);
    if let (Some(signed), Some(uefi)) = (section.signed.as_ref().filter(|signed| signed.value), other_than_grub) {
        let what = format!("signed loaders are shim and GRUB, and `boot.uefi` is \"{}\"", uefi.name());
        let remedy = "`uefi = \"grub\"`, or sign the image's loader yourself and leave `signed` out";
        problems.push(Problem::new(&signed.place, what).remedy(remedy));
    }
    if let (Some(shell), Some(uefi)) = (&section.shell, other_than_grub) {
        let what = format!("GRUB's menu offers a UEFI shell, and `boot.uefi` is \"{}\"", uefi.name());
        problems.push(Problem::new(&shell.place, what).remedy("`uefi = \"grub\"`, or leave `shell` out"));
    }
    if let (Some(memtest), Some(_), Some(BiosLoader::None)) = (&section.memtest, other_than_grub, bios) {
        let problem = Problem::new(&memtest.place, "a memory test, and no menu that could offer it");
        problems.push(problem.remedy("isolinux and GRUB have one; or leave `memtest` out"));
    }
    problems
}

/// What no other machine has, or is not fetched for it.
pub(super) fn for_x86_64_alone(section: &BootSection, arch: Arch) -> Vec<Problem> {
    let bios = section.bios.as_ref().filter(|bios| bios.value != BiosLoader::None);
    let signed = section.signed.as_ref().filter(|signed| signed.value);
    let given = [
        (bios.map(|bios| &bios.place), "a loader for BIOS"),
        (signed.map(|signed| &signed.place), "signed loaders"),
        (section.memtest.as_ref().map(|memtest| &memtest.place), "a memory test"),
        (section.shell.as_ref().map(|shell| &shell.place), "a UEFI shell"),
    ];
    let refuse = |(place, what): (Option<_>, &str)| {
        let problem = Problem::new(place?, format!("{what}, and `arch` is \"{arch}\""));
        Some(problem.remedy("that is there for x86_64 alone: leave it out"))
    };
    given.into_iter().filter_map(refuse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Located, Place};

    fn told(section: &BootSection) -> Vec<String> {
        problems(section).into_iter().map(|problem| format!("{} {}", problem.place, problem.what)).collect()
    }

    #[test]
    fn what_excludes_each_other_is_refused_where_it_is_written() {
        fn at<T>(line: usize, value: T) -> Located<T> {
            Located { value, place: Place { file: std::path::Path::new("p").into(), line, column: 1 } }
        }
        let section = BootSection::default;
        let uefi = |loader| Some(at(2, loader));
        for (section, wanted) in [
            (section(), None),
            (BootSection { layout: Some(at(3, DiskLayout::UefiOnly)), ..section() }, None),
            (
                BootSection {
                    layout: Some(at(3, DiskLayout::UefiOnly)),
                    bios: Some(at(1, BiosLoader::Grub)),
                    ..section()
                },
                Some("p:3:1 a layout for UEFI only, and a loader for BIOS"),
            ),
            (
                BootSection { layout: Some(at(3, DiskLayout::UefiOnly)), uefi: uefi(UefiLoader::None), ..section() },
                Some("p:3:1 a layout for UEFI only, and no loader for UEFI"),
            ),
            (
                BootSection {
                    layout: Some(at(3, DiskLayout::Isohybrid)),
                    bios: Some(at(1, BiosLoader::None)),
                    ..section()
                },
                Some("p:3:1 an isohybrid layout, and no loader for BIOS"),
            ),
            (BootSection { signed: Some(at(4, true)), uefi: uefi(UefiLoader::Grub), ..section() }, None),
            (
                BootSection { signed: Some(at(4, true)), uefi: uefi(UefiLoader::SystemdBoot), ..section() },
                Some("p:4:1 signed loaders are shim and GRUB, and `boot.uefi` is \"systemd-boot\""),
            ),
            (
                BootSection { shell: Some(at(5, "file:x".to_owned())), uefi: uefi(UefiLoader::Uki), ..section() },
                Some("p:5:1 GRUB's menu offers a UEFI shell, and `boot.uefi` is \"uki\""),
            ),
            (
                BootSection {
                    memtest: Some(at(6, "file:x".to_owned())),
                    uefi: uefi(UefiLoader::Uki),
                    bios: Some(at(1, BiosLoader::None)),
                    ..section()
                },
                Some("p:6:1 a memory test, and no menu that could offer it"),
            ),
        ] {
            assert_eq!(told(&section), wanted.into_iter().collect::<Vec<_>>(), "{section:?}");
        }
    }

    #[test]
    fn what_only_pcs_have_is_refused_on_other_machines() {
        let place = || Place { file: std::path::Path::new("p").into(), line: 1, column: 1 };
        let bios = |value| Some(Located { value, place: place() });
        let told = |bios| {
            let section = BootSection { bios, ..BootSection::default() };
            for_x86_64_alone(&section, Arch::Aarch64).into_iter().map(|problem| problem.what).collect::<Vec<_>>()
        };
        assert_eq!(told(bios(BiosLoader::Isolinux)), ["a loader for BIOS, and `arch` is \"aarch64\""]);
        assert!(told(bios(BiosLoader::None)).is_empty() && told(None).is_empty());
    }
}
