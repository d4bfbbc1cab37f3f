//! `liveroot boot`

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use builder::boot::{Accel, Arch, Attach, Firmware, Pair, Running, Told, Trial, pairs, table};
use builder::progress::Progress;
use clap::{Args, ValueEnum};

/// Lines of the console that a failure is told with.
const LAST_LINES: usize = 25;

#[derive(Debug, Args)]
pub(super) struct Boot {
    #[arg(value_name = "IMAGE")]
    image: PathBuf,
    #[command(flatten)]
    by: By,
    #[command(flatten)]
    attached: Attached,
    /// Try every firmware that the image has a loader for with every attachment, or those named
    #[arg(long, requires = "expect")]
    matrix: bool,
    /// Succeed as soon as this shows on the serial line, fail when it does not in time
    #[arg(long, value_name = "TEXT")]
    expect: Option<String>,
    /// How long to wait for it, for each machine
    #[arg(long, value_name = "SECONDS", default_value_t = 300, requires = "expect")]
    timeout: u64,
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    memory: u32,
    /// How many processors it has
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    cpus: u32,
    /// The machine's processor [default: that of the image's kernel]
    #[arg(long, value_name = "ARCH")]
    arch: Option<ArchArg>,
    /// How the processor is emulated [default: kvm where it boots the image's kernel]
    #[arg(long, value_name = "ACCEL")]
    accel: Option<AccelArg>,
}

#[derive(Debug, Args)]
struct By {
    /// Start it by a BIOS (the default where the image has a loader for it)
    #[arg(long)]
    bios: bool,
    /// Start it by UEFI
    #[arg(long)]
    uefi: bool,
    /// Start it by UEFI that has Microsoft's keys and starts nothing else
    #[arg(long)]
    secure_boot: bool,
}

#[derive(Debug, Args)]
struct Attached {
    /// Attach it as a CD (the default)
    #[arg(long)]
    cdrom: bool,
    /// Attach it as a USB stick
    #[arg(long)]
    usb: bool,
    /// Attach it as a virtio disk
    #[arg(long)]
    virtio: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ArchArg {
    #[value(name = "x86_64")]
    X86_64,
    Aarch64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum AccelArg {
    Kvm,
    Tcg,
}

impl Boot {
    pub(super) fn run(self, progress: &Progress) -> Result<()> {
        ensure!(self.image.exists(), "{}: there is no such image", self.image.display());
        let told = Told::read(&self.image).unwrap_or_else(|error| {
            // It may boot for all that: firmware reads other parts of it.
            progress.note(&format!("note: {}: {error}", self.image.display()));
            Told::default()
        });
        let arch = match self.arch {
            Some(ArchArg::X86_64) => Arch::X86_64,
            Some(ArchArg::Aarch64) => Arch::Aarch64,
            None => told.arch.unwrap_or(Arch::X86_64),
        };
        let pairs = self.pairs(arch, &told);
        let trial = Trial {
            image: self.image.clone(),
            arch,
            memory_mib: self.memory,
            cpus: self.cpus,
            accel: Accel::Tcg,
            expect: self.expect.clone().unwrap_or_default(),
            deadline: Duration::from_secs(self.timeout),
        };
        // What is missing on this host is said before the first machine runs.
        for &pair in &pairs {
            trial.machine(pair).command(Accel::Tcg)?;
        }
        let trial = Trial { accel: self.accel(arch, &told, progress)?, ..trial };
        match (&self.expect, &pairs[..]) {
            (None, [pair]) => interact(&trial, *pair, progress),
            (None, _) => bail!("several machines, and one terminal: name one, or say what to expect with --expect"),
            (Some(_), [pair]) => expect(&trial, *pair, progress),
            (Some(_), pairs) => try_all(&trial, pairs, progress),
        }
    }

    /// The machines asked for: one, if nothing says otherwise.
    fn pairs(&self, arch: Arch, told: &Told) -> Vec<Pair> {
        let mut firmware = self.by.named();
        if firmware.is_empty() {
            firmware.clone_from(&told.firmware);
            if firmware.is_empty() {
                firmware.push(if arch == Arch::X86_64 { Firmware::Bios } else { Firmware::Uefi });
            }
            firmware.truncate(if self.matrix { usize::MAX } else { 1 });
        }
        let mut attach = self.attached.named();
        if attach.is_empty() {
            attach = if self.matrix { Attach::ALL.to_vec() } else { vec![Attach::Cdrom] };
        }
        pairs(&firmware, &attach)
    }

    fn accel(&self, arch: Arch, told: &Told, progress: &Progress) -> Result<Accel> {
        if let Some(accel) = self.accel {
            return Ok(match accel {
                AccelArg::Kvm => Accel::Kvm,
                AccelArg::Tcg => Accel::Tcg,
            });
        }
        let mut vmlinuz = None;
        if let Some(kernel) = &told.kernel {
            let mut file = tempfile::NamedTempFile::new()?;
            io::copy(&mut kernel.open()?, &mut file).context("the image's kernel")?;
            vmlinuz = Some(file);
        }
        let (accel, why) = Accel::choose(arch, vmlinuz.as_ref().map(tempfile::NamedTempFile::path))?;
        if let Some(why) = why {
            progress.note(&format!("note: {why}: the processor is emulated, which is slow"));
        }
        Ok(accel)
    }
}

impl By {
    fn named(&self) -> Vec<Firmware> {
        let Self { bios, uefi, secure_boot } = *self;
        let all = [(bios, Firmware::Bios), (uefi, Firmware::Uefi), (secure_boot, Firmware::SecureBoot)];
        all.into_iter().filter(|(named, _)| *named).map(|(_, firmware)| firmware).collect()
    }
}

impl Attached {
    fn named(&self) -> Vec<Attach> {
        let named = [self.cdrom, self.usb, self.virtio];
        named.into_iter().zip(Attach::ALL).filter(|(named, _)| *named).map(|(_, attach)| attach).collect()
    }
}

/// The serial line is this terminal until the machine ends.
fn interact(trial: &Trial, pair: Pair, progress: &Progress) -> Result<()> {
    progress.note(&format!("{}, {}; leave with Ctrl-A X", pair.firmware, pair.attach));
    let status = Running::on_this_terminal(trial.machine(pair).command(trial.accel)?)?;
    ensure!(status.success(), "QEMU ended with {status}");
    Ok(())
}

fn expect(trial: &Trial, pair: Pair, progress: &Progress) -> Result<()> {
    match trial.run(pair, io::stdout())? {
        Ok(after) => progress.note(&format!("\nshown after {:.0} s", after.as_secs_f64())),
        // The console has been shown already.
        Err(missed) => bail!("{}", missed.summary()),
    }
    Ok(())
}

fn try_all(trial: &Trial, pairs: &[Pair], progress: &Progress) -> Result<()> {
    let mut results = Vec::new();
    for &pair in pairs {
        let step = progress.step(format!("{}, {}", pair.firmware, pair.attach), None);
        let result = trial.run(pair, io::sink())?;
        step.done(if result.is_ok() { "ok" } else { "FAILED" });
        results.push((pair, result));
    }
    for (pair, result) in &results {
        if let Err(missed) = result {
            let lines: Vec<&str> = missed.text.trim_end().lines().collect();
            let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
            progress.note(&format!("{}, {}: its last lines\n{}\n", pair.firmware, pair.attach, last.join("\n")));
        }
    }
    super::show(&table(&results))?;
    let failed = results.iter().filter(|(_, result)| result.is_err()).count();
    ensure!(failed == 0, "{failed} of {} machines did not show {}", results.len(), trial.expect);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        boot: Boot,
    }

    fn machines(flags: &str, firmware: &[Firmware]) -> String {
        let words = ["boot", "x.iso"].into_iter().chain(flags.split_whitespace());
        let told = Told { firmware: firmware.to_vec(), ..Told::default() };
        let pairs = Cli::parse_from(words).boot.pairs(Arch::X86_64, &told);
        pairs.iter().map(|pair| format!("{} {}", pair.firmware, pair.attach)).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn one_machine_is_tried_where_nothing_else_is_asked_for() {
        use Firmware::{Bios, Uefi};
        for (flags, told, wanted) in [
            ("", &[][..], "BIOS CD-ROM"),
            ("", &[Uefi], "UEFI CD-ROM"),
            ("", &[Bios, Uefi], "BIOS CD-ROM"),
            ("--usb --uefi", &[Bios], "UEFI USB stick"),
            ("--secure-boot", &[Bios], "Secure Boot CD-ROM"),
            ("--matrix --expect x --cdrom", &[Bios, Uefi], "BIOS CD-ROM, UEFI CD-ROM"),
            ("--matrix --expect x --uefi", &[Bios, Uefi], "UEFI CD-ROM, UEFI USB stick, UEFI virtio disk"),
            ("--bios --uefi --usb", &[Bios], "BIOS USB stick, UEFI USB stick"),
        ] {
            assert_eq!(machines(flags, told), wanted, "{flags}");
        }
    }

    #[test]
    fn a_matrix_wants_to_know_what_success_is() {
        assert!(Cli::try_parse_from(["boot", "x.iso", "--matrix"]).is_err());
    }
}
