//! The medium: which device it is, mounted, with its manifest read.

mod iso_file;
mod rank;
mod spec;

use std::fmt::Write;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::mount::MsFlags;

use crate::cmdline::Cmdline;
use crate::contract::{self, run};
use crate::devices::Devices;
use crate::early::make_dir;
use crate::facts::ImageFacts;
use crate::fault::{Code, Fault};
use crate::log::{info, warn};
use crate::manifest::{MAX_LEN, Manifest};
use crate::mounts::Mounted;
use crate::superblock::Fs;
pub(crate) use iso_file::IsoFile;
pub(crate) use rank::Wanted;
use rank::rank;
pub(crate) use spec::{Spec, inside};

/// How often a long wait says what it waits for.
const PROGRESS: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Medium {
    mounted: Mounted,
    /// What it is an ISO file on; undone after it.
    holder: Option<Mounted>,
    /// Below /dev.
    pub device: String,
    /// Where its manifest stands; the parts' paths are relative to it.
    pub dir: PathBuf,
    pub manifest: Manifest,
}

/// Waits for it until the command line's deadline. A device that looks like
/// it and is not is marked, and the next one is tried.
pub(crate) fn find(devices: &mut Devices, cmdline: &Cmdline, facts: Option<&ImageFacts>) -> Result<Medium, Fault> {
    let iso = cmdline.iso.as_ref().filter(|iso| !iso.path.is_empty());
    let wanted = iso.map_or_else(|| Wanted::new(&cmdline.medium, facts), |iso| Wanted::holder(iso, facts));
    if wanted.specs.is_empty() {
        let what = format!("{} is missing or unreadable, and says where the medium is", contract::initramfs::FACTS);
        return Err(
            Fault::new(Code::Facts, what).advise(format!("name the medium with {}=LABEL=…", contract::params::MEDIUM))
        );
    }
    let begun = Instant::now();
    let deadline = cmdline.timeout.map(|timeout| begun + timeout);
    let mut progress = begun + PROGRESS;
    let mut refused = None;
    loop {
        if let Some(at) = rank(&wanted, &devices.disks) {
            let name = devices.disks[at].name.clone();
            devices.rest();
            match open(devices, at, cmdline, &wanted) {
                Ok(medium) => return Ok(medium),
                Err(fault) => {
                    warn!("{fault}");
                    devices.refuse(&name, &fault.to_string());
                    devices.search();
                    refused = Some(fault);
                }
            }
            continue;
        }
        let now = Instant::now();
        if deadline.is_some_and(|deadline| now >= deadline) {
            return Err(refused.unwrap_or_else(|| not_found(&wanted, devices, now - begun)));
        }
        if now >= progress {
            info!("waiting for {wanted}, {} s so far; {} devices seen", (now - begun).as_secs(), devices.disks.len());
            progress += PROGRESS;
        }
        devices.serve(&[], Some(deadline.map_or(progress, |deadline| deadline.min(progress))));
    }
}

fn open(devices: &mut Devices, at: usize, cmdline: &Cmdline, wanted: &Wanted) -> Result<Medium, Fault> {
    let disk = &devices.disks[at];
    let device = format!("/dev/{}", disk.name);
    if let Some(other) = rank::ambiguous(wanted, &devices.disks, at) {
        warn!("/dev/{other} looks like the medium too; taking {device}");
    }
    let Some(fs) = disk.found().map(|found| found.fs) else {
        return Err(Fault::new(Code::NoMedium, format!("{device} went away")));
    };
    let named_by = wanted.named_by(disk);
    devices.need(&[&[fs.kmod_alias()], fs.helpers()].concat());
    let (mounted, holder) = mount(devices, &device, fs, wanted, named_by.as_ref())
        .map_err(|why| Fault::new(Code::Mount, format!("{device}: {why}")))?;
    let dir = Path::new(run::MEDIUM).join(&cmdline.dir);
    let path = dir.join(contract::medium::MANIFEST);
    let manifest_fault = |why: String| {
        Fault::new(Code::Manifest, format!("{} of {device}: {why}", path.display()))
            .advise("the medium is damaged, or is not one of ours: write it again")
    };
    let bytes = read(&path).map_err(|e| manifest_fault(e.to_string()))?;
    let manifest = Manifest::parse(&bytes).map_err(|e| manifest_fault(e.to_string()))?;
    if let Some(ours) = wanted.boot_id.filter(|&ours| ours != manifest.boot_id) {
        let what = format!("it is of build {}, and this kernel and /init are of {ours}", manifest.boot_id);
        if wanted.ours_only {
            return Err(manifest_fault(what));
        }
        warn!("{device}: {what}; going on, since it was named");
    }
    info!("medium: {device} ({}), {} in {} mode", fs.name(), manifest.name, manifest.mode);
    let device = devices.disks[at].name.clone();
    Ok(Medium { mounted, holder, device, dir, manifest })
}

/// The medium, and the partition that it is a file on if it is one.
fn mount(
    devices: &mut Devices,
    device: &str,
    fs: Fs,
    wanted: &Wanted,
    named_by: Option<&Spec>,
) -> Result<(Mounted, Option<Mounted>), String> {
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    let mount = |target| Mounted::new(device, target, fs.name(), flags, fs.no_replay());
    if let Some(path) = &wanted.iso {
        make_dir(run::HOLDER);
        let holder = mount(run::HOLDER)?;
        return Ok((iso_file::mount(devices, Path::new(run::HOLDER), path)?, Some(holder)));
    }
    let mounted = mount(run::MEDIUM)?;
    if let Some(Spec::File(path)) = named_by {
        iso_file::open_below(Path::new(run::MEDIUM), path).map_err(|e| format!("it has no /{path} ({})", e.desc()))?;
    }
    Ok((mounted, None))
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One more than a manifest can have, so that the parser sees it is none.
    File::open(path)?.take(MAX_LEN as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn not_found(wanted: &Wanted, devices: &Devices, waited: Duration) -> Fault {
    let hanging = devices.hanging();
    let seconds = (waited + Duration::from_millis(500)).as_secs();
    let mut what = format!("no medium with {wanted} within {seconds} s, among {} devices", devices.disks.len());
    let code = if hanging.is_empty() {
        Code::NoMedium
    } else {
        let _ = write!(what, "; {}", hanging.join("; "));
        Code::Timeout
    };
    let near = devices.disks.iter().filter_map(|disk| Some((disk, disk.found()?)));
    let near: Vec<String> = near
        .filter(|(_, found)| wanted.nearly(found))
        .map(|(disk, found)| format!("/dev/{} has the label {}", disk.name, found.label.escape_ascii()))
        .collect();
    let advice = if near.is_empty() {
        format!("plug it in and answer retry, or name it with {}=", contract::params::MEDIUM)
    } else {
        format!("{}; to take it, boot with {}=/dev/…", near.join("; "), contract::params::MEDIUM)
    };
    Fault::new(code, what).advise(advice)
}

/// For the rescue prompt: everything that was seen, and what was asked for
/// in vain.
pub(crate) fn report(devices: &Devices, facts: Option<&ImageFacts>) -> Vec<String> {
    let ours = facts.and_then(|facts| facts.boot_id);
    let mut lines: Vec<String> = devices.disks.iter().map(|disk| disk.describe(ours)).collect();
    if lines.is_empty() {
        lines.push("no block device at all".into());
    }
    lines.extend(devices.hanging());
    let storage = devices.kmods().unserved().filter(|modalias| may_lead_to_storage(modalias));
    lines.extend(storage.map(|modalias| format!("no kmod in this image for {modalias}")));
    lines
}

/// Of the many modaliases without a kmod, those worth a line: PCI storage and
/// serial bus controllers (classes 01 and 0C), USB storage, and the buses
/// that carry disks alone.
fn may_lead_to_storage(modalias: &str) -> bool {
    match modalias.split_once(':') {
        Some(("pci", rest)) => rest.contains("bc01") || rest.contains("bc0C"),
        Some(("usb", rest)) => rest.contains("ic08"),
        Some(("virtio", rest)) => rest.starts_with("d00000002") || rest.starts_with("d00000008"),
        Some((bus, _)) => matches!(bus, "scsi" | "mmc" | "nvme" | "vmbus" | "xen" | "fs"),
        None => false,
    }
}

impl Medium {
    pub(crate) fn part(&self, path: &str) -> PathBuf {
        self.dir.join(path)
    }

    /// From now on nobody unmounts it.
    pub(crate) fn keep(self) {
        self.mounted.keep();
        self.holder.map(Mounted::keep);
    }

    pub(crate) fn is_in_memory(&self) -> bool {
        self.dir == Path::new(run::COPY)
    }

    /// The same parts elsewhere, and whether this medium could be let go of.
    pub(crate) fn moved_to(self, mounted: Mounted, dir: PathBuf) -> (Self, Result<(), String>) {
        let moved = Self { mounted, holder: None, dir, manifest: self.manifest.clone(), device: self.device.clone() };
        (moved, self.release())
    }

    /// Whether nothing needs it any more is the caller's to know.
    pub(crate) fn release(self) -> Result<(), String> {
        let target = self.mounted.keep();
        nix::mount::umount(target.as_path()).map_err(|e| format!("{}: {}", target.display(), e.desc()))?;
        // Its loop device lets go of the file a moment later: the holder is
        // detached and ends with it.
        drop(self.holder);
        // An empty directory left behind is no more than that.
        let _ = fs::remove_dir(&target);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::may_lead_to_storage;

    #[test]
    fn drivers_for_disks_are_worth_a_line_and_others_are_not() {
        for (modalias, worth) in [
            ("pci:v00008086d00002922sv0sd0bc01sc06i01", true),
            ("pci:v00008086d00001237sv0sd0bc06sc00i00", false),
            ("virtio:d00000002v00001AF4", true),
            ("virtio:d00000001v00001AF4", false),
            ("usb:v46F4p0001d0000dc00dsc00dp00ic08isc06ip50in00", true),
            ("acpi:PNP0303:", false),
            ("nonsense", false),
        ] {
            assert_eq!(may_lead_to_storage(modalias), worth, "{modalias}");
        }
    }
}
