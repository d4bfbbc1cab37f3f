//! Boot loaders: each turns the plan's boot entries into its own files and
//! says what the firmware shall start. One module, one loader; its row is in
//! [`needs`] and in [`stage`], and nowhere else.

pub mod extra;
pub mod grub;
pub mod isolinux;
mod signature;
mod systemd_boot;
pub mod uki;

use init::contract::BootId;
use tree::{Conflict, Content, OverlayError, Tree, TreePath};

use crate::arch::Arch;
use crate::plan::{BootPlan, Plan};
use crate::profile::{BiosLoader, UefiLoader};
use crate::source::{LoaderFiles, Need};

/// What a loader may look at.
#[derive(Debug)]
pub struct Booted<'a> {
    /// The image's.
    pub name: &'a str,
    pub arch: Arch,
    pub plan: &'a BootPlan,
    pub boot_id: BootId,
    pub kernel: &'a Content,
    /// The kernel's.
    pub release: &'a str,
    pub initramfs: &'a Content,
    /// What [`needs`] asked for, all of it.
    pub files: &'a LoaderFiles,
}

/// What a loader for BIOS returns.
#[derive(Debug)]
pub struct BiosBoot {
    /// For the ISO.
    pub files: Tree,
    /// One of `files`: what El Torito names.
    pub image: iso::BiosImage,
    /// Starts that image from a disk.
    pub start: iso::StartCode,
}

/// What a loader for UEFI returns.
#[derive(Debug)]
pub struct UefiBoot {
    /// For the ISO.
    pub files: Tree,
    /// For the ESP.
    pub esp: Tree,
    /// Files of the ISO that stand in the ESP already. They are stored there
    /// alone, and the ISO's records point into it.
    pub shared: Vec<Shared>,
}

/// A path of the ISO whose bytes stand in the ESP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    pub iso: TreePath,
    pub esp: iso::InEsp,
}

/// What all loaders of a medium return together.
#[derive(Debug, Default)]
pub struct Loaders {
    /// What they have in common, for the ISO.
    pub files: Tree,
    pub bios: Option<BiosBoot>,
    pub uefi: Option<UefiBoot>,
    /// What is allowed and yet worth saying.
    pub notes: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum LoaderError {
    #[error("boot loader file {0}")]
    Read(&'static str, #[source] std::io::Error),
    #[error("isolinux.bin is not made for isohybrid images: take one of syslinux 4.04 or later")]
    NotHybrid,
    #[error(transparent)]
    Uki(#[from] uki::UkiError),
    #[error(transparent)]
    CoreImage(#[from] grub::CoreImageError),
    #[error(transparent)]
    Overlay(#[from] OverlayError),
    #[error(transparent)]
    Conflict(#[from] Conflict),
}

/// The files that the plan's loaders are made of, for [`crate::source`] to find.
pub fn needs(plan: &Plan) -> Vec<&'static Need> {
    let bios: &[Need] = match plan.boot.bios {
        BiosLoader::Isolinux => isolinux::NEEDS,
        BiosLoader::Grub => grub::BIOS_NEEDS,
        BiosLoader::None => &[],
    };
    let uefi: &[Need] = match plan.boot.uefi {
        UefiLoader::Grub if plan.boot.signed => grub::SIGNED_NEEDS,
        UefiLoader::Grub => grub::uefi_needs(plan.arch),
        UefiLoader::SystemdBoot => systemd_boot::needs(plan.arch),
        UefiLoader::Uki => uki::needs(plan.arch),
        UefiLoader::None => &[],
    };
    bios.iter().chain(uefi).collect()
}

pub fn stage(booted: &Booted<'_>) -> Result<Loaders, LoaderError> {
    let bios = match booted.plan.bios {
        BiosLoader::Isolinux => Some(isolinux::stage(booted)?),
        BiosLoader::Grub => Some(grub::bios(booted)?),
        BiosLoader::None => None,
    };
    let uefi = match booted.plan.uefi {
        UefiLoader::Grub => Some(grub::uefi(booted)?),
        UefiLoader::SystemdBoot => Some(systemd_boot::stage(booted)?),
        UefiLoader::Uki => Some(uki::stage(booted)?),
        UefiLoader::None => None,
    };
    let mut files = extra::stage(booted)?;
    if booted.plan.bios == BiosLoader::Grub || booted.plan.uefi == UefiLoader::Grub {
        files.lay_over(grub::menu(booted)?)?;
    }
    let notes = signature::notes(booted).map_err(|e| LoaderError::Read("of the menu", e))?;
    Ok(Loaders { files, bios, uefi, notes })
}
