//! Waiting for the medium: it comes late, or it never comes.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use harness::builder::Image;
use harness::vm::{Attach, Guest};

use crate::{BOOT, SOON, start_with};

#[test]
fn a_medium_that_comes_late_is_taken_at_once() -> Result<()> {
    let Some(image) = Image::of("ram")? else { return Ok(()) };
    let mut guest = start_with(&image, Attach::UsbLater, "console=ttyS0 panic=-1")?;
    let seconds = taken_after_its_node(&mut guest, Duration::from_secs(5))?;
    assert!(seconds <= 0.5, "the medium was mounted {seconds:.2} s after its node was there");
    let log = guest.console.text();
    let plugged = stamp(&log, "[sda] Attached SCSI")? - stamp(&log, "Run /init")?;
    assert!(plugged > 5.0, "the stick was there too early");
    guest.report("root", BOOT)?;
    guest.passed(SOON)
}

/// Seconds between the stick's node and the medium's mount, with the stick plugged in
/// that long after /init began.
pub(crate) fn taken_after_its_node(guest: &mut Guest, after: Duration) -> Result<f64> {
    guest.expect("Run /init", BOOT)?;
    // Not a wait for something: the time is what is tested.
    thread::sleep(after);
    guest.plug()?;
    guest.expect("liveroot: medium: /dev/sda", BOOT)?;
    // The kernel has told /init of it before it says so.
    guest.expect("[sda] Attached SCSI", SOON)?;
    let log = guest.console.text();
    Ok(stamp(&log, "liveroot: medium: /dev/sda")? - stamp(&log, "[sda] Attached SCSI")?)
}

#[test]
fn waiting_for_a_wrong_label_ends_at_the_deadline() -> Result<()> {
    let Some(image) = Image::of("ram")? else { return Ok(()) };
    let mut guest = start_with(&image, Attach::Cdrom, "console=ttyS0 live.medium=LABEL=NOPE live.timeout=5")?;
    let ms = guest.expect("liveroot: medium: failed ", BOOT)?;
    let ms: u32 = ms.strip_suffix(" ms").with_context(|| format!("no milliseconds: {ms}"))?.parse()?;
    assert!((4000..=6000).contains(&ms), "the deadline was 5 s, and it ended after {ms} ms");
    // The prompt answers, and nothing happened that was not asked for.
    guest.wait("the rescue prompt", SOON, |text| text.contains("liveroot> ").then_some(()))?;
    guest.type_line("devices")?;
    guest.wait("the devices", SOON, |text| text.rsplit_once("liveroot> devices")?.1.find("sr0"))?;
    Ok(())
}

/// The kernel's time in front of the line, in seconds since it started.
pub(crate) fn stamp(log: &str, what: &str) -> Result<f64> {
    let line = log.lines().find(|line| line.contains(what)).with_context(|| format!("no line `{what}`"))?;
    let stamp = line
        .split_once('[')
        .and_then(|(_, rest)| rest.split_once(']'))
        .with_context(|| format!("no time in {line}"))?;
    Ok(stamp.0.trim().parse()?)
}
