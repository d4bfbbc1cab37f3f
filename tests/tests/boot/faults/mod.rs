//! Everything that can be wrong with a boot, each a row: what is done to the
//! machine, and the one line that must come of it, or the boot in spite of it.

mod aliases;
mod cmdlines;
mod devices;
mod images;
mod media;
mod memory;
mod password;
mod reads;
mod sets;

pub(crate) use images::other_root;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::builder::Image;
use harness::medium::Edit;
use harness::tiny;
use harness::vm::{self, Attach, Bus, Content, Disk, Guest, Machine};
use tempfile::TempDir;

use crate::waiting::stamp;
use crate::{BOOT, SOON};

/// When a row runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Run {
    Always,
    /// Not by `cargo xtask test --quick`.
    Whole,
}

#[derive(Debug, Clone, Copy)]
enum Ends {
    /// In this fault, with these words in its line, and then in the policy.
    In(&'static str, &'static [&'static str]),
    /// In the image's own init, after these words.
    Booting(&'static [&'static str]),
}

macro_rules! rows {
    ($($name:ident: $run:ident, $image:literal, $disks:expr, $cmdline:literal => $ends:expr;)*) => {$(
        #[test]
        fn $name() -> anyhow::Result<()> {
            use $crate::faults::Ends::*;
            let disks: fn(&$crate::faults::Scene) -> anyhow::Result<Vec<harness::vm::Disk>> = $disks;
            $crate::faults::row(stringify!($name), $crate::faults::Run::$run, $image, disks, $cmdline, $ends)
        }
    )*};
}
use rows;

/// For the fault to come after its deadline.
const GRACE: f64 = 5.0;
/// What rows that end in a fault wait for a medium, where it is not theirs to say.
const TIMEOUT: u32 = 5;

/// An image, and room for what is made of it.
pub(crate) struct Scene {
    pub image: Arc<Image>,
    dir: TempDir,
}

fn row(
    name: &str,
    run: Run,
    image: &'static str,
    disks: fn(&Scene) -> Result<Vec<Disk>>,
    cmdline: &str,
    ends: Ends,
) -> Result<()> {
    let Some(scene) = Scene::of(image, run)? else { return Ok(()) };
    let disks = disks(&scene)?;
    let begun = Instant::now();
    let timeout = if matches!(ends, Ends::In(..)) { format!("live.timeout={TIMEOUT} ") } else { String::new() };
    let mut guest = scene.start(disks, &(timeout + cmdline), 512)?;
    let outcome = ended(&mut guest, ends, cmdline)?;
    tell(name, &outcome, begun)
}

/// Past libtest's capture: the table belongs in every test run.
fn tell(name: &str, outcome: &str, begun: Instant) -> Result<()> {
    let seconds = begun.elapsed().as_secs();
    Ok(writeln!(std::io::stderr(), "\nFAULT {name}: {outcome} ({seconds} s)")?)
}

impl Scene {
    /// Without a value where the row is not to be run, or cannot.
    pub(crate) fn of(image: &'static str, run: Run) -> Result<Option<Self>> {
        if run == Run::Whole && std::env::var_os("LIVEROOT_QUICK").is_some() {
            harness::oracle::skip("it is no part of --quick")?;
            return Ok(None);
        }
        let made = ["tiny", "verity", "layers", "modules", "fsck", "password"];
        let image = if made.contains(&image) { tiny::image(image)? } else { Image::of(image)? };
        let dir = tempfile::tempdir()?;
        Ok(image.map(|image| Self { image, dir }))
    }

    /// The image's kernel, with nothing but these disks.
    pub(crate) fn start(&self, disks: Vec<Disk>, cmdline: &str, memory_mib: u32) -> Result<Guest> {
        self.start_with(disks, cmdline, memory_mib, "report")
    }

    /// The same with another word for what the guest's report is about.
    pub(crate) fn start_with(
        &self,
        disks: Vec<Disk>,
        cmdline: &str,
        memory_mib: u32,
        order: &'static str,
    ) -> Result<Guest> {
        let cmdline = format!("console=ttyS0 panic=-1 {cmdline}");
        let kernel = self.image.vmlinux(&cmdline)?;
        let accel = vm::accel(&self.image.file("boot/vmlinuz")?);
        let machine = Machine::new(&self.image.iso, Attach::Absent).with_kernel(kernel).with_disks(disks);
        Machine { memory_mib, order, ..machine }.start(accel)
    }

    /// The same with a stick that is not there yet.
    fn start_late(&self, cmdline: &str) -> Result<Guest> {
        self.start_late_beside(vec![], cmdline)
    }

    fn start_late_beside(&self, disks: Vec<Disk>, cmdline: &str) -> Result<Guest> {
        let cmdline = format!("console=ttyS0 panic=-1 {cmdline}");
        let kernel = self.image.vmlinux(&cmdline)?;
        let accel = vm::accel(&self.image.file("boot/vmlinuz")?);
        Machine::new(&self.image.iso, Attach::UsbLater).with_kernel(kernel).with_disks(disks).start(accel)
    }

    /// The image as it is.
    pub(crate) fn whole(&self, bus: Bus) -> Disk {
        Disk::new(bus, &self.image.iso)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A copy of the image, changed byte by byte.
    fn changed(&self, bus: Bus, change: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<Disk> {
        let mut bytes = std::fs::read(&self.image.iso)?;
        change(&mut bytes)?;
        std::fs::write(self.path("changed.iso"), bytes)?;
        Ok(Disk::new(bus, &self.path("changed.iso")))
    }

    /// Where a file of the medium begins on it.
    fn offset(&self, file: &str) -> Result<usize> {
        let (iso, file) = (std::fs::read(&self.image.iso)?, std::fs::read(self.image.file(file)?)?);
        let start = iso.chunks(2048).position(|sector| file.starts_with(&sector[..sector.len().min(file.len())]));
        Ok(start.context("the file is not in the image")? * 2048)
    }

    /// A medium on which reads of the file's block, counted from its beginning, fail.
    fn unreadable(&self, bus: Bus, file: &str, block: usize, times: Option<u32>) -> Result<Vec<Disk>> {
        let sector = (self.offset(file)? / 512 + block * 4) as u64;
        let content = Content::Unreadable { file: self.image.iso.clone(), sector, times };
        Ok(vec![Disk { bus, content }])
    }

    /// A medium with the same files but for what `change` does to them.
    pub(crate) fn edited(
        &self,
        label: &[u8],
        is_ours: bool,
        change: impl FnOnce(&Edit) -> Result<()>,
    ) -> Result<Vec<Disk>> {
        let edit = Edit::of(&self.image)?.context("xorriso makes these media")?;
        change(&edit)?;
        edit.iso(label, is_ours, &self.path("edited.iso"))?;
        Ok(vec![Disk::new(Bus::Virtio, &self.path("edited.iso"))])
    }
}

/// What came of it, as the report says it.
fn ended(guest: &mut Guest, ends: Ends, cmdline: &str) -> Result<String> {
    match ends {
        Ends::Booting(words) => {
            guest.report("root", BOOT)?;
            guest.passed(BOOT)?;
            check_words(&guest.console.text(), words)?;
            Ok("boots".into())
        }
        Ends::In(code, words) => {
            let (after, policy) = stopped(guest, code, words)?;
            // The other states have no deadline of their own: what they take is the host's affair.
            let waited = guest.console.text().contains("liveroot: medium: failed");
            ensure!(
                !waited || after <= deadline(cmdline) + GRACE,
                "{code} came {after:.1} s after the devices were asked"
            );
            Ok(format!("{code} after {after:.1} s, then {policy}"))
        }
    }
}

/// The fault came, and then the policy that the command line named. Gives the
/// seconds since /init began to look for its medium, and what the policy was.
fn stopped(guest: &Guest, code: &str, words: &[&str]) -> Result<(f64, &'static str)> {
    let line = guest.wait(&format!("`liveroot: {code} `"), BOOT, |text| {
        // A candidate may be refused with it first: what counts is the last before the prompt.
        let (before, _) = text.split_once("The boot stopped in")?;
        let fault = before.rsplit_once(&format!("liveroot: {code} "))?.1;
        fault.lines().next().map(str::to_owned)
    })?;
    check_words(&line, words)?;
    let policies = [
        ("reboot: Restarting system", "reboot"),
        ("reboot: Power down", "poweroff"),
        ("reboot: System halted", "halt"),
        ("sysrq: Resetting", "reboot by force"),
    ];
    let policy = guest.wait("the policy", SOON, |text| {
        policies.iter().find(|(kernel, _)| text.contains(kernel)).map(|&(_, policy)| policy)
    })?;
    let text = guest.console.text();
    ensure!(!text.contains("Kernel panic"), "the kernel panicked:\n{text}");
    let text = guest.said();
    let (screen, _) = text.split_once("The boot stopped in").context("no rescue screen")?;
    let fault = screen.lines().rfind(|line| line.contains(&format!("liveroot: {code} "))).unwrap_or_default();
    Ok((stamp(fault, "liveroot: ")? - stamp(&text, "liveroot: devices: ")?, policy))
}

fn deadline(cmdline: &str) -> f64 {
    let asked = cmdline.split(' ').filter_map(|word| word.strip_prefix("live.timeout=")).next_back();
    asked.and_then(|seconds| seconds.parse().ok()).unwrap_or(f64::from(TIMEOUT))
}

fn check_words(text: &str, words: &[&str]) -> Result<()> {
    for word in words {
        ensure!(text.contains(word), "`{word}` is not in {text}");
    }
    Ok(())
}

/// For what a row waits for in a machine that does something else meanwhile.
const WAITED: Duration = BOOT;
