//! KVM or TCG.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::{Arch, BootError, Firmware, Kernel, Machine, Running};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accel {
    Kvm,
    Tcg,
}

/// What the kernel says last when it has booted and there is no root: by then
/// timers, interrupts and devices have worked.
const BOOTED: &str = "Unable to mount root fs";
const DEADLINE: Duration = Duration::from_secs(10);

impl Accel {
    /// KVM where it boots this kernel in ten seconds; with the reason, where
    /// there is one to tell. On some hosts /dev/kvm opens and makes machines,
    /// and no kernel ever gets to print in them.
    pub fn choose(arch: Arch, vmlinuz: Option<&Path>) -> Result<(Self, Option<&'static str>), BootError> {
        let same_machine = arch.name() == std::env::consts::ARCH;
        if !same_machine || OpenOptions::new().read(true).write(true).open("/dev/kvm").is_err() {
            return Ok((Self::Tcg, None));
        }
        let Some(vmlinuz) = vmlinuz else {
            return Ok((Self::Tcg, Some("/dev/kvm is there, and no kernel in the image to try it with")));
        };
        let cmdline = "console=ttyS0 console=ttyAMA0 panic=-1".to_owned();
        let kernel = Some(Kernel { vmlinuz: vmlinuz.to_owned(), initramfs: None, cmdline });
        let firmware = if arch == Arch::X86_64 { Firmware::Bios } else { Firmware::Uefi };
        let machine = Machine { kernel, memory_mib: 512, ..Machine::new(arch, firmware) };
        let running = Running::start(machine.command(Self::Kvm)?, io::sink())?;
        Ok(match running.console.expect(BOOTED, DEADLINE) {
            Ok(_) => (Self::Kvm, None),
            Err(_) => (Self::Tcg, Some("/dev/kvm is there, and no kernel boots with it")),
        })
    }

    pub(super) fn arguments(self, arch: Arch) -> &'static [&'static str] {
        match (self, arch) {
            (Self::Kvm, _) => &["-accel", "kvm", "-cpu", "host"],
            (Self::Tcg, Arch::X86_64) => &["-accel", "tcg"],
            // The machine's default is a 32-bit processor.
            (Self::Tcg, Arch::Aarch64) => &["-accel", "tcg", "-cpu", "cortex-a72"],
        }
    }
}
