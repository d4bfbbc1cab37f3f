//! A virtual machine under QEMU, as a value first and a running guest then.
//! The machine is `liveroot boot`'s; what only tests want of one is added here.

mod disk;
mod guest;
mod handed;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result};

use ::builder::boot;
pub use ::builder::boot::{Accel, Arch, Firmware, Kernel};
pub use disk::{Bus, Content, Disk};
pub use guest::{Ended, Guest};
pub use handed::Handed;

/// How the image is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attach {
    Cdrom,
    Virtio,
    Usb,
    /// A USB stick that is not there yet: [`Guest::plug`].
    UsbLater,
    /// It is not there, or among the machine's other disks.
    Absent,
}

#[derive(Debug, Clone)]
pub struct Machine {
    pub medium: (PathBuf, Attach),
    pub arch: Arch,
    pub firmware: Firmware,
    pub kernel: Option<Kernel>,
    pub memory_mib: u32,
    pub cpus: u32,
    /// A word for the guest's test report, found in its SMBIOS: an image that
    /// is built once can be asked different things.
    pub order: &'static str,
    /// Another disk: a virtio one, with the serial number "second".
    pub second: Option<PathBuf>,
    /// More of them, well or not.
    pub disks: Vec<Disk>,
    /// It has USB ports.
    pub usb: bool,
    /// What a boot loader before ours leaves for the system.
    pub handed: Option<Handed>,
}

impl Machine {
    /// A PC with a BIOS.
    pub fn new(medium: &Path, attach: Attach) -> Self {
        let medium = (medium.to_owned(), attach);
        Self {
            medium,
            arch: Arch::X86_64,
            firmware: Firmware::Bios,
            kernel: None,
            memory_mib: 1024,
            cpus: 1,
            order: "report",
            second: None,
            disks: Vec::new(),
            usb: false,
            handed: None,
        }
    }

    #[must_use]
    pub fn with_firmware(self, firmware: Firmware) -> Self {
        Self { firmware, ..self }
    }

    #[must_use]
    pub fn with_kernel(self, kernel: Kernel) -> Self {
        Self { kernel: Some(kernel), ..self }
    }

    #[must_use]
    pub fn with_order(self, order: &'static str) -> Self {
        Self { order, ..self }
    }

    #[must_use]
    pub fn with_second(self, disk: &Path) -> Self {
        Self { second: Some(disk.to_owned()), ..self }
    }

    #[must_use]
    pub fn with_disks(self, disks: Vec<Disk>) -> Self {
        Self { disks, usb: true, ..self }
    }

    /// Starts it, when fewer than two others run in this process.
    pub fn start(&self, accel: Accel) -> Result<Guest> {
        Guest::start(self, accel)
    }

    /// Everything but where the console and the QMP socket go. What the machine needs
    /// of files is put into `dir`.
    fn command(&self, accel: Accel, token: &str, dir: &Path) -> Result<Command> {
        let (image, attach) = &self.medium;
        let medium = attach.now().map(|attach| (image.clone(), attach));
        let machine =
            boot::Machine { medium, kernel: self.kernel.clone(), ..boot::Machine::new(self.arch, self.firmware) };
        let machine = boot::Machine { memory_mib: self.memory_mib, cpus: self.cpus, ..machine };
        let mut qemu = machine.command(accel)?;
        if let Some(handed) = &self.handed {
            qemu = handed.to(&qemu, dir)?;
        }
        if self.arch == Arch::X86_64 {
            qemu.args(["-device", &format!("isa-debug-exit,iobase={:#x},iosize=4", guest::EXIT_PORT)]);
        }
        qemu.args(["-smbios", &format!("type=1,serial={token},sku={}", self.order)]);
        if let Some(disk) = &self.second {
            let file = disk.to_str().context("QEMU takes names that are text")?.replace(',', ",,");
            qemu.args(["-drive", &format!("if=none,id=second,readonly=on,format=raw,file={file}")]);
            qemu.args(["-device", "virtio-blk-pci,drive=second,serial=second"]);
        }
        if *attach == Attach::UsbLater {
            qemu.args(boot::Attach::Usb.drive(image)?);
        }
        if self.usb || *attach == Attach::UsbLater {
            qemu.args(["-device", "qemu-xhci,id=usb"]);
        }
        for (number, disk) in self.disks.iter().enumerate() {
            qemu.args(disk.arguments(number)?);
        }
        Ok(qemu)
    }
}

impl Attach {
    fn now(self) -> Option<boot::Attach> {
        match self {
            Self::Cdrom => Some(boot::Attach::Cdrom),
            Self::Virtio => Some(boot::Attach::Virtio),
            Self::Usb => Some(boot::Attach::Usb),
            Self::UsbLater | Self::Absent => None,
        }
    }
}

/// What PCs run with here: found out once, with the first image's kernel.
pub fn accel(vmlinuz: &Path) -> Accel {
    static CHOSEN: OnceLock<Accel> = OnceLock::new();
    *CHOSEN.get_or_init(|| {
        // A probe that fails is no reason not to test: TCG is always there.
        let (accel, why) = Accel::choose(Arch::X86_64, Some(vmlinuz)).unwrap_or((Accel::Tcg, None));
        eprintln!("virtual machines run with {accel:?}: {}", why.unwrap_or("as `liveroot boot` chooses"));
        accel
    })
}
