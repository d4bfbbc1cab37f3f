//! A virtual machine under QEMU, as a value first and a running guest then.

mod accel;
mod guest;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

pub use accel::Accel;
pub use guest::{Ended, Guest};

/// How the image is attached, which decides what the firmware boots it as and
/// which drivers /init needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attach {
    Cdrom,
    Virtio,
    Usb,
    /// A USB stick that is not there yet: [`Guest::plug`].
    UsbLater,
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
    pub medium: Option<(PathBuf, Attach)>,
    pub kernel: Option<Kernel>,
    pub memory_mib: u32,
    /// A word for the guest's test report, found in its SMBIOS: an image that
    /// is built once can be asked different things.
    pub order: &'static str,
}

impl Machine {
    pub fn new(medium: &Path, attach: Attach) -> Self {
        Self { medium: Some((medium.to_owned(), attach)), kernel: None, memory_mib: 1024, order: "report" }
    }

    #[must_use]
    pub fn with_kernel(self, kernel: Kernel) -> Self {
        Self { kernel: Some(kernel), ..self }
    }

    #[must_use]
    pub fn with_order(self, order: &'static str) -> Self {
        Self { order, ..self }
    }

    /// Starts it, when fewer than two others run in this process.
    pub fn start(&self, accel: Accel) -> Result<Guest> {
        Guest::start(self, accel)
    }

    /// Everything but where the console and the QMP socket go.
    fn command(&self, accel: Accel, token: &str) -> Result<Command> {
        let mut qemu = Command::new("qemu-system-x86_64");
        qemu.args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-vga", "std"]);
        qemu.args(["-machine", "q35", "-smp", "1", "-m", &self.memory_mib.to_string()]).args(accel.arguments());
        qemu.args(["-device", &format!("isa-debug-exit,iobase={:#x},iosize=4", guest::EXIT_PORT)]);
        qemu.args(["-smbios", &format!("type=1,serial={token},sku={}", self.order)]);
        if let Some((image, attach)) = &self.medium {
            qemu.args(attach.arguments(image).with_context(|| format!("{} cannot be attached", image.display()))?);
        }
        if let Some(Kernel { vmlinuz, initramfs, cmdline }) = &self.kernel {
            qemu.arg("-kernel").arg(vmlinuz).args(["-append", cmdline]);
            if let Some(initramfs) = initramfs {
                qemu.arg("-initrd").arg(initramfs);
            }
        }
        Ok(qemu)
    }

    /// Runs it on this terminal until it ends.
    pub fn on_this_terminal(&self, accel: Accel) -> Result<bool> {
        let mut qemu = self.command(accel, "0")?;
        // mux: Ctrl-A X leaves, and Ctrl-C goes to the guest.
        qemu.args(["-chardev", "stdio,id=tty,mux=on,signal=off", "-serial", "chardev:tty", "-mon", "chardev=tty"]);
        let status = qemu.stdin(Stdio::inherit()).status().context("cannot start qemu-system-x86_64")?;
        Ok(status.success())
    }
}

impl Attach {
    fn arguments(self, image: &Path) -> Result<Vec<String>> {
        // A comma in a file name ends QEMU's option, doubled it does not.
        let file = image.to_str().context("its name is not UTF-8")?.replace(',', ",,");
        let media = if self == Self::Cdrom { "cdrom" } else { "disk" };
        let drive = format!("if=none,id=medium,media={media},readonly=on,format=raw,file={file}");
        let words: &[&str] = match self {
            Self::Cdrom => &["-device", "ide-cd,bus=ide.2,drive=medium,bootindex=1"],
            Self::Virtio => &["-device", "virtio-blk-pci,drive=medium,bootindex=1"],
            Self::Usb => &[
                "-device",
                "qemu-xhci,id=usb",
                "-device",
                "usb-storage,id=stick,bus=usb.0,drive=medium,removable=on,bootindex=1",
            ],
            Self::UsbLater => &["-device", "qemu-xhci,id=usb"],
        };
        let mut arguments = vec!["-drive".to_owned(), drive];
        arguments.extend(words.iter().map(|&word| word.to_owned()));
        Ok(arguments)
    }
}
