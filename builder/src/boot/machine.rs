//! A virtual machine as a value, and QEMU's command line for it.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::firmware::{Chip, Flash};
use super::{Accel, Arch, BootError, Firmware};

/// How the image is attached, which decides what firmware boots it as and
/// which drivers the system in it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attach {
    Cdrom,
    Usb,
    Virtio,
}

/// A kernel for QEMU to load itself, past firmware and boot loader.
#[derive(Debug, Clone)]
pub struct Kernel {
    pub vmlinuz: PathBuf,
    pub initramfs: Option<PathBuf>,
    pub cmdline: String,
}

#[derive(Debug, Clone)]
pub struct Machine {
    pub arch: Arch,
    pub firmware: Firmware,
    pub medium: Option<(PathBuf, Attach)>,
    pub kernel: Option<Kernel>,
    pub memory_mib: u32,
    pub cpus: u32,
}

impl Arch {
    pub fn program(self) -> &'static str {
        match self {
            Self::X86_64 => "qemu-system-x86_64",
            Self::Aarch64 => "qemu-system-aarch64",
        }
    }

    fn package(self) -> &'static str {
        match self {
            Self::X86_64 => "qemu-system-x86",
            Self::Aarch64 => "qemu-system-arm",
        }
    }

    pub(super) fn firmware_package(self) -> &'static str {
        match self {
            Self::X86_64 => "ovmf",
            Self::Aarch64 => "qemu-efi-aarch64",
        }
    }

    fn machine(self) -> &'static str {
        match self {
            Self::X86_64 => "q35",
            Self::Aarch64 => "virt",
        }
    }

    /// As descriptions of firmware name it.
    pub(super) fn versioned_machine(self) -> &'static str {
        match self {
            Self::X86_64 => "pc-q35-",
            Self::Aarch64 => "virt-",
        }
    }
}

impl fmt::Display for Attach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Cdrom => "CD-ROM",
            Self::Usb => "USB stick",
            Self::Virtio => "virtio disk",
        })
    }
}

impl Machine {
    /// A PC with a BIOS and nothing in it.
    pub fn new(arch: Arch, firmware: Firmware) -> Self {
        Self { arch, firmware, medium: None, kernel: None, memory_mib: 1024, cpus: 1 }
    }

    #[must_use]
    pub fn with_medium(self, image: &Path, attach: Attach) -> Self {
        Self { medium: Some((image.into(), attach)), ..self }
    }

    /// Everything but where the serial line goes. What the machine needs of
    /// this host is looked for first.
    pub fn command(&self, accel: Accel) -> Result<Command, BootError> {
        let flash = self.firmware.find(self.arch)?;
        let program = find_program(self.arch)?;
        let mut qemu = Command::new(program);
        qemu.args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"]);
        if self.arch == Arch::X86_64 {
            qemu.args(["-vga", "std"]);
        }
        let smm = if flash.as_ref().is_some_and(|flash| flash.smm) { ",smm=on" } else { "" };
        qemu.arg("-machine").arg(format!("{}{smm}", self.arch.machine()));
        qemu.args(["-smp", &self.cpus.to_string(), "-m", &self.memory_mib.to_string()]);
        qemu.args(accel.arguments(self.arch));
        if let Some(flash) = &flash {
            qemu.args(flash_arguments(flash)?);
        }
        if let Some((image, attach)) = &self.medium {
            qemu.args(attach.arguments(self.arch, image)?);
        }
        if let Some(Kernel { vmlinuz, initramfs, cmdline }) = &self.kernel {
            qemu.arg("-kernel").arg(vmlinuz).args(["-append", cmdline]);
            if let Some(initramfs) = initramfs {
                qemu.arg("-initrd").arg(initramfs);
            }
        }
        Ok(qemu)
    }
}

fn find_program(arch: Arch) -> Result<PathBuf, BootError> {
    let (program, package) = (arch.program(), arch.package());
    let path = std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/bin"));
    let found = std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file());
    found.ok_or(BootError::NoQemu { program, package })
}

/// As QEMU's option takes it: a comma in a name ends the option, doubled it
/// does not.
fn file_option(file: &Path) -> Result<String, BootError> {
    let name = file.to_str().ok_or_else(|| BootError::Name(file.into()))?;
    Ok(name.replace(',', ",,"))
}

/// The variables are each run's own: QEMU writes to a file without a name that
/// lies over the template (`snapshot`), so that nothing is left behind however
/// the run ends.
fn flash_arguments(flash: &Flash) -> Result<Vec<String>, BootError> {
    let mut arguments = Vec::new();
    if flash.smm {
        arguments.extend(["-global".into(), "driver=cfi.pflash01,property=secure,value=on".into()]);
    }
    for (unit, Chip { filename, format }, access) in
        [(0, &flash.code, "readonly=on"), (1, &flash.variables, "snapshot=on")]
    {
        let file = file_option(filename)?;
        arguments.push("-drive".into());
        arguments.push(format!("if=pflash,unit={unit},format={format},{access},file={file}"));
    }
    Ok(arguments)
}

impl Attach {
    pub const ALL: [Self; 3] = [Self::Cdrom, Self::Usb, Self::Virtio];

    /// The drive `medium`, for a device to be attached to.
    pub fn drive(self, image: &Path) -> Result<[String; 2], BootError> {
        let media = if self == Self::Cdrom { "cdrom" } else { "disk" };
        let file = file_option(image)?;
        Ok(["-drive".into(), format!("if=none,id=medium,media={media},readonly=on,format=raw,file={file}")])
    }

    fn arguments(self, arch: Arch, image: &Path) -> Result<Vec<String>, BootError> {
        let words: &[&str] = match (self, arch) {
            (Self::Cdrom, Arch::X86_64) => &["-device", "ide-cd,bus=ide.2,drive=medium,bootindex=1"],
            // There is no IDE on this machine.
            (Self::Cdrom, Arch::Aarch64) => {
                &["-device", "virtio-scsi-pci", "-device", "scsi-cd,drive=medium,bootindex=1"]
            }
            (Self::Virtio, _) => &["-device", "virtio-blk-pci,drive=medium,bootindex=1"],
            (Self::Usb, _) => &[
                "-device",
                "qemu-xhci,id=usb",
                "-device",
                "usb-storage,id=stick,bus=usb.0,drive=medium,removable=on,bootindex=1",
            ],
        };
        let mut arguments = self.drive(image)?.to_vec();
        arguments.extend(words.iter().map(|&word| word.to_owned()));
        Ok(arguments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_in_a_name_does_not_end_the_option() {
        let drive = Attach::Usb.drive(Path::new("/a,b.iso")).unwrap();
        assert!(drive[1].ends_with("media=disk,readonly=on,format=raw,file=/a,,b.iso"), "{drive:?}");
    }

    #[test]
    fn firmware_that_guards_its_variables_gets_them_as_a_copy_of_its_own() {
        let chip = |name: &str| Chip { filename: name.into(), format: "raw".into() };
        let flash = Flash { code: chip("/code"), variables: chip("/vars"), smm: true };
        let arguments = flash_arguments(&flash).unwrap();
        assert_eq!(
            arguments,
            [
                "-global",
                "driver=cfi.pflash01,property=secure,value=on",
                "-drive",
                "if=pflash,unit=0,format=raw,readonly=on,file=/code",
                "-drive",
                "if=pflash,unit=1,format=raw,snapshot=on,file=/vars",
            ]
        );
    }
}
