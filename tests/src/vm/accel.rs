//! KVM or TCG.

use std::fs::OpenOptions;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use super::{Kernel, Machine};

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
    /// KVM where it boots this kernel in ten seconds. On some hosts /dev/kvm
    /// opens and makes machines, and no kernel ever gets to print in them.
    pub fn choose(vmlinuz: &Path) -> Self {
        static CHOSEN: OnceLock<Accel> = OnceLock::new();
        *CHOSEN.get_or_init(|| {
            if OpenOptions::new().read(true).write(true).open("/dev/kvm").is_err() {
                return Self::Tcg;
            }
            let cmdline = "console=ttyS0 panic=-1".to_owned();
            let kernel = Kernel { vmlinuz: vmlinuz.to_owned(), initramfs: None, cmdline };
            let machine = Machine { medium: None, kernel: Some(kernel), memory_mib: 512, order: "probe" };
            let booted = machine.start(Self::Kvm).and_then(|guest| guest.console.expect(BOOTED, DEADLINE));
            let (accel, why) = match booted {
                Ok(_) => (Self::Kvm, "it booted a kernel"),
                Err(_) => (Self::Tcg, "/dev/kvm is there, and no kernel boots with it"),
            };
            eprintln!("virtual machines run with {accel:?}: {why}");
            accel
        })
    }

    pub(super) fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Kvm => &["-accel", "kvm", "-cpu", "host"],
            Self::Tcg => &["-accel", "tcg"],
        }
    }
}
