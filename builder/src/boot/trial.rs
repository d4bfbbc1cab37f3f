//! Trying an image on several machines: which, for how long, and what came of it.

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{Accel, Arch, Attach, BootError, Firmware, Machine, Missed, Running};

/// One machine of a matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    pub firmware: Firmware,
    pub attach: Attach,
}

/// Every firmware with every attachment, in that order.
pub fn pairs(firmware: &[Firmware], attach: &[Attach]) -> Vec<Pair> {
    firmware.iter().flat_map(|&firmware| attach.iter().map(move |&attach| Pair { firmware, attach })).collect()
}

/// An image that is to show a text on its serial line.
#[derive(Debug, Clone)]
pub struct Trial {
    pub image: PathBuf,
    pub arch: Arch,
    pub memory_mib: u32,
    pub cpus: u32,
    pub accel: Accel,
    pub expect: String,
    pub deadline: Duration,
}

impl Trial {
    pub fn machine(&self, pair: Pair) -> Machine {
        let machine =
            Machine { memory_mib: self.memory_mib, cpus: self.cpus, ..Machine::new(self.arch, pair.firmware) };
        machine.with_medium(&self.image, pair.attach)
    }

    /// How long it took to show, or what was shown in its place.
    pub fn run(
        &self,
        pair: Pair,
        echo: impl io::Write + Send + 'static,
    ) -> Result<Result<Duration, Missed>, BootError> {
        let start = Instant::now();
        let running = Running::start(self.machine(pair).command(self.accel)?, echo)?;
        let wanted = format!("`{}`", self.expect);
        let shown = running.console.wait(&wanted, self.deadline, |text| text.find(&self.expect));
        Ok(shown.map(|_| start.elapsed()))
    }
}

/// For people, and for `grep FAILED`.
pub fn table(results: &[(Pair, Result<Duration, Missed>)]) -> String {
    let mut text = format!("{:<12} {:<12} result\n", "firmware", "attached as");
    for (Pair { firmware, attach }, result) in results {
        let result = match result {
            Ok(after) => format!("ok after {:.0} s", after.as_secs_f64()),
            Err(missed) => format!("FAILED: {}", missed.summary()),
        };
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{firmware:<12} {attach:<12} {result}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::Console;

    #[test]
    fn a_matrix_is_every_firmware_with_every_attachment() {
        let all = pairs(&[Firmware::Bios, Firmware::Uefi], &[Attach::Cdrom, Attach::Usb]);
        let pair = |firmware, attach| Pair { firmware, attach };
        assert_eq!(
            all,
            [
                pair(Firmware::Bios, Attach::Cdrom),
                pair(Firmware::Bios, Attach::Usb),
                pair(Firmware::Uefi, Attach::Cdrom),
                pair(Firmware::Uefi, Attach::Usb),
            ]
        );
    }

    #[test]
    fn the_table_tells_what_failed_and_why_in_columns() {
        let missed = Console::listen(io::empty(), io::sink()).expect("x", Duration::ZERO).unwrap_err();
        let all = pairs(&[Firmware::SecureBoot], &[Attach::Cdrom, Attach::Virtio]);
        let text = table(&[(all[0], Ok(Duration::from_millis(12_300))), (all[1], Err(missed))]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "Secure Boot  CD-ROM       ok after 12 s");
        assert!(lines[2].starts_with("Secure Boot  virtio disk  FAILED: waited for `x`, and the "), "{text}");
    }
}
