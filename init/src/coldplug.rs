//! What is in /sys already when the event socket opens.

use std::fs;
use std::path::Path;

/// Buses whose devices no medium hangs on, and of which large machines have
/// thousands.
const SKIPPED: &[&str] = &["cpu", "memory", "node", "clocksource", "clockevents", "event_source", "workqueue", "edac"];

/// What every device that is on a bus asks for.
pub(crate) fn modaliases() -> Vec<String> {
    let mut found = Vec::new();
    for bus in names("/sys/bus") {
        if SKIPPED.contains(&bus.as_str()) {
            continue;
        }
        let devices = format!("/sys/bus/{bus}/devices");
        for device in names(&devices) {
            // Most devices of some buses have none; one that goes away while
            // we look has none either.
            if let Ok(modalias) = fs::read_to_string(format!("{devices}/{device}/modalias")) {
                found.push(modalias.trim_end().to_owned());
            }
        }
    }
    found
}

/// The paths below /sys of the block devices.
pub(crate) fn block_devices() -> Vec<String> {
    let links = names("/sys/class/block").into_iter();
    let targets = links.filter_map(|name| fs::read_link(Path::new("/sys/class/block").join(name)).ok());
    targets.filter_map(|target| Some(format!("/{}", target.to_str()?.trim_start_matches("../")))).collect()
}

/// The partitions of a disk, by its path below /sys: they are there before
/// the kernel tells of the disk.
pub(crate) fn partitions(devpath: &str) -> Vec<String> {
    let mut found = names(&format!("/sys{devpath}"));
    found.retain(|name| Path::new("/sys").join(&devpath[1..]).join(name).join("partition").exists());
    found.into_iter().map(|name| format!("{devpath}/{name}")).collect()
}

fn names(dir: &str) -> Vec<String> {
    // A directory that is missing has nothing in it.
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    names
}
