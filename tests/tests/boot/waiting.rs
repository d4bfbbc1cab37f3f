//! Waiting for the medium: it comes late, or it never comes. Times are the
//! guest's own, from its kernel's log, so that a busy host does not count.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use harness::builder::Image;
use harness::vm::Attach;

use crate::{BOOT, SOON, start_with};

#[test]
fn a_medium_that_comes_late_is_taken_at_once() -> Result<()> {
    let Some(image) = Image::of("ram")? else { return Ok(()) };
    let mut guest = start_with(&image, Attach::UsbLater, "console=ttyS0 panic=-1")?;
    guest.console.expect("Run /init", BOOT)?;
    // Not a wait for something: the five seconds are what is tested.
    thread::sleep(Duration::from_secs(5));
    guest.plug()?;
    guest.console.expect("liveroot: medium: ", BOOT)?;
    let log = guest.console.text();
    let node = stamp(&log, "[sda] Attached SCSI")?;
    let taken = stamp(&log, "liveroot: medium: /dev/sda")?;
    assert!(node > stamp(&log, "Run /init")? + 5.0, "the stick was there too early");
    assert!(taken - node <= 0.5, "the node was there at {node}, and the medium was mounted at {taken}");
    guest.report("root", BOOT)?;
    guest.passed(SOON)
}

#[test]
fn waiting_for_a_wrong_label_ends_at_the_deadline() -> Result<()> {
    let Some(image) = Image::of("ram")? else { return Ok(()) };
    let mut guest = start_with(&image, Attach::Cdrom, "console=ttyS0 live.medium=LABEL=NOPE live.timeout=5")?;
    let ms = guest.console.expect("liveroot: medium: failed ", BOOT)?;
    let ms: u32 = ms.strip_suffix(" ms").with_context(|| format!("no milliseconds: {ms}"))?.parse()?;
    assert!((4000..=6000).contains(&ms), "the deadline was 5 s, and it ended after {ms} ms");
    // The prompt answers, and nothing happened that was not asked for.
    guest.console.wait("the rescue prompt", SOON, |text| text.contains("liveroot> ").then_some(()))?;
    guest.type_line("devices")?;
    guest.console.wait("the devices", SOON, |text| text.rsplit_once("liveroot> devices")?.1.find("sr0"))?;
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
