//! GRUB: for BIOS a core image that holds every module it needs, for UEFI the
//! distribution's own program with all modules in it. Both read one menu, on
//! the ISO; what is started first does nothing but find it.

mod config;
mod core_image;
mod modules;

use iso::InEsp;
use tree::{Content, Provenance, Tree, TreePath};

use super::{BiosBoot, Booted, LoaderError, Shared, UefiBoot};
use crate::arch::Arch;
use crate::source::Need;

pub use core_image::{CoreImageError, MODULES as CORE_MODULES, eltorito};

const DIR: &str = "boot/grub";

const SIGNED_GRUB: &str = "EFI/BOOT/grubx64.efi";
const KEY_MANAGER: &str = "EFI/BOOT/mmx64.efi";

/// Debian's signed GRUB looks for its configuration here too.
const SIGNED_DIR: &str = "EFI/debian";

const MODULES: &str = "i386-pc";

/// The largest, Debian's gcdx64.efi, has 4 MB.
const FILE_MAX: u64 = 16 << 20;

pub(super) const BIOS_NEEDS: &[Need] = &[Need { name: MODULES, packages: &["grub-pc-bin"], paths: &["grub/i386-pc"] }];

const GRUB: &str = "gcd.efi";

const X86_64_NEEDS: &[Need] = &[Need {
    name: GRUB,
    packages: &["grub-efi-amd64-unsigned", "grub-efi-amd64-bin"],
    paths: &["grub/x86_64-efi/monolithic/gcdx64.efi"],
}];

const AARCH64_NEEDS: &[Need] = &[Need {
    name: GRUB,
    packages: &["grub-efi-arm64-unsigned", "grub-efi-arm64-bin"],
    paths: &["grub/arm64-efi/monolithic/gcdaa64.efi"],
}];

pub(super) fn uefi_needs(arch: Arch) -> &'static [Need] {
    match arch {
        Arch::X86_64 => X86_64_NEEDS,
        Arch::Aarch64 => AARCH64_NEEDS,
    }
}

pub(super) const SIGNED_NEEDS: &[Need] = &[
    Need { name: "shimx64.efi", packages: &["shim-signed"], paths: &["shim/shimx64.efi.signed"] },
    Need {
        name: "grubx64.efi",
        packages: &["grub-efi-amd64-signed"],
        paths: &["grub/x86_64-efi-signed/gcdx64.efi.signed"],
    },
    Need { name: "mmx64.efi", packages: &["shim-helpers-amd64-signed"], paths: &["shim/mmx64.efi.signed"] },
];

/// The menu, which both find on the ISO.
pub(super) fn menu(booted: &Booted<'_>) -> Result<Tree, LoaderError> {
    let mut files = Tree::new();
    let from = Provenance::new("GRUB's menu").because("boot.entry");
    for (name, text) in [("grub.cfg", config::menu(booted)), ("loopback.cfg", config::loopback(booted.plan))] {
        files.insert_file(path(&format!("{DIR}/{name}")), 0o644, Content::from(text), from.clone())?;
    }
    Ok(files)
}

pub(super) fn bios(booted: &Booted<'_>) -> Result<BiosBoot, LoaderError> {
    let file = |name: &str| {
        let (content, _) = booted.files.get(&format!("{MODULES}/{name}")).ok_or_else(|| CoreImageError::no(name))?;
        content.read_all(FILE_MAX).map_err(|e| CoreImageError::read(name, e))
    };
    let core = eltorito(&file, &config::find_medium(booted.boot_id))?;
    let mut files = Tree::new();
    let at = path(&format!("{DIR}/i386-pc/eltorito.img"));
    let from = Provenance::new("GRUB's core image, from grub-pc-bin").because("boot.bios = \"grub\"");
    files.insert_file(at.clone(), 0o644, Content::from(core), from)?;
    let image = iso::BiosImage { path: at, boot_info_table: true, grub2_boot_info: true, load_sectors: 4 };
    Ok(BiosBoot { files, image, start: iso::StartCode::BootHybrid(file("boot_hybrid.img")?) })
}

pub(super) fn uefi(booted: &Booted<'_>) -> Result<UefiBoot, LoaderError> {
    // Shim starts grubx64.efi beside itself, and mmx64.efi where a key is to be enrolled.
    let fallback = booted.arch.removable_loader();
    let (programs, configs) = if booted.plan.signed {
        let programs = vec![("shimx64.efi", fallback), ("grubx64.efi", SIGNED_GRUB), ("mmx64.efi", KEY_MANAGER)];
        (programs, vec![DIR, SIGNED_DIR])
    } else {
        (vec![(GRUB, fallback)], vec![DIR])
    };
    let (mut esp, mut files, mut shared) = (Tree::new(), Tree::new(), Vec::new());
    for (name, at) in programs {
        let (content, from) = booted.files.get(name).expect("the sources were loaded for GRUB");
        // On the ISO too, for sticks that are made by copying its files.
        for tree in [&mut esp, &mut files] {
            tree.insert_file(path(at), 0o644, content.clone(), from.clone())?;
        }
        shared.push(Shared { iso: path(at), esp: InEsp::File(path(at)) });
    }
    let from = Provenance::new("what leads GRUB to its menu").because("boot.uefi = \"grub\"");
    for dir in configs {
        let stub = Content::from(config::stub(booted.boot_id));
        esp.insert_file(path(&format!("{dir}/grub.cfg")), 0o644, stub, from.clone())?;
    }
    Ok(UefiBoot { files, esp, shared })
}

fn path(written: &str) -> TreePath {
    TreePath::new(written).expect("a plain path")
}
