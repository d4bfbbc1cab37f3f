//! Trying an image in a virtual machine. QEMU is the machine, and this the one
//! place that knows its command line: the tests' harness starts from here too.

mod accel;
pub mod ansi;
pub mod console;
mod firmware;
mod image;
mod machine;
mod running;
mod trial;

use std::io;
use std::path::PathBuf;

pub use crate::arch::Arch;
pub use accel::Accel;
pub use console::{Console, Missed};
pub use firmware::Firmware;
pub use image::Told;
pub use machine::{Attach, Kernel, Machine};
pub use running::Running;
pub use trial::{Pair, Trial, pairs, table};

#[derive(Debug, thiserror::Error)]
pub enum BootError {
    #[error("there is no {program} here, which the virtual machine needs: install QEMU (Debian: {package})")]
    NoQemu { program: &'static str, package: &'static str },
    #[error(
        "no {firmware} firmware for {arch} is described in {}: install it (Debian: {package})",
        firmware::DIRS.join(" or ")
    )]
    NoFirmware { firmware: Firmware, arch: Arch, package: &'static str },
    #[error("{}: a description of firmware that does not read as one", path.display())]
    Description { path: PathBuf, source: serde_json::Error },
    #[error("{}: cannot be read", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("an {arch} machine has no {firmware}: it starts by UEFI")]
    NoSuchMachine { firmware: Firmware, arch: Arch },
    #[error("{}: QEMU takes only names in UTF-8", .0.display())]
    Name(PathBuf),
    #[error("{program} cannot be started")]
    Start { program: String, source: io::Error },
}
