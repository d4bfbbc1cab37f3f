//! The medium: which device it is, mounted, with its manifest read.

mod iso_file;
mod rank;
mod spec;

use std::fmt::Write;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::mount::MsFlags;

use crate::cmdline::{Cmdline, PackageSet};
use crate::contract::{self, run};
use crate::devices::Devices;
use crate::early::make_dir;
use crate::facts::ImageFacts;
use crate::fault::{Code, Fault};
use crate::kmod::leads_to_disks;
use crate::log::{debug, info, warn};
use crate::loopdev::{self, Bound};
use crate::manifest::{MAX_LEN, Manifest};
use crate::mounts::Mounted;
use crate::probe::Finding;
use crate::reading::Reading;
use crate::superblock::Fs;
use crate::ventoy;
pub(crate) use iso_file::IsoFile;
pub(crate) use rank::Wanted;
use rank::rank;
pub(crate) use spec::{Spec, inside};

/// How often a long wait says what it waits for.
const PROGRESS: Duration = Duration::from_secs(10);
/// isofs takes no disk whose sectors are larger than its own (fs/isofs/inode.c,
/// `isofs_fill_super`). Those of a loop device over it are small.
const ISO_SECTOR: u64 = 2048;
/// A medium that is a disk is found sooner; only then is Ventoy's word looked for.
const FOR_VENTOY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Medium {
    mounted: Mounted,
    /// What it is an ISO file on; undone after it.
    holder: Option<Mounted>,
    /// Below /dev.
    pub device: String,
    /// ISO 9660 on the device itself.
    is_disc: bool,
    /// Where its manifest stands; the parts' paths are relative to it.
    pub dir: PathBuf,
    pub manifest: Manifest,
    /// Of the second one: how it was asked for.
    asked: Option<String>,
}

/// Waits for it until the command line's deadline. A device that looks like
/// it and is not is marked, and the next one is tried.
pub(crate) fn find(devices: &mut Devices, cmdline: &Cmdline, facts: Option<&ImageFacts>) -> Result<Medium, Fault> {
    let iso = cmdline.iso.as_ref().filter(|iso| !iso.path.is_empty());
    let ask_ventoy = iso.is_none() && cmdline.medium.is_empty();
    let wanted = iso.map_or_else(|| Wanted::new(&cmdline.medium, facts), |iso| Wanted::holder(iso, facts));
    if wanted.specs.is_empty() {
        let what = format!("{} is missing or unreadable, and says where the medium is", contract::initramfs::FACTS);
        return Err(
            Fault::new(Code::Facts, what).advise(format!("name the medium with {}=LABEL=…", contract::params::MEDIUM))
        );
    }
    wait(devices, wanted, &cmdline.dir, cmdline.timeout, ask_ventoy, facts)
}

/// The one that packages of ram mode are on beside those of the first.
pub(crate) fn find_set(devices: &mut Devices, named: &PackageSet, timeout: Option<Duration>) -> Result<Medium, Fault> {
    devices.search();
    let asked = format!("{}={}", contract::params::PACKAGES, named.on);
    let found = wait(devices, Wanted::set(&named.on), &named.dir, timeout, false, None);
    let told = |fault: Fault| Fault { what: format!("{asked}: {}", fault.what), ..fault };
    found.map(|medium| Medium { asked: Some(asked.clone()), ..medium }).map_err(told)
}

/// A device that looks like it and is not is marked, and the next one is tried.
fn wait(
    devices: &mut Devices,
    mut wanted: Wanted,
    dir: &str,
    timeout: Option<Duration>,
    mut ask_ventoy: bool,
    facts: Option<&ImageFacts>,
) -> Result<Medium, Fault> {
    let begun = Instant::now();
    let deadline = timeout.map(|timeout| begun + timeout);
    let mut progress = begun + PROGRESS;
    let mut refused = None;
    loop {
        if let Some(at) = rank(&wanted, &devices.disks) {
            let name = devices.disks[at].name.clone();
            devices.rest();
            match open(devices, at, dir, &wanted) {
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
        if ask_ventoy && now >= begun + FOR_VENTOY {
            ask_ventoy = false;
            if let Some(iso) = ventoy::asked(devices) {
                info!("started by Ventoy from /{}", iso.path);
                wanted = Wanted::holder(&iso, facts);
                continue;
            }
        }
        if now >= progress {
            info!("waiting for {wanted}, {} s so far; {} devices seen", (now - begun).as_secs(), devices.disks.len());
            progress += PROGRESS;
        }
        let then = if ask_ventoy { begun + FOR_VENTOY } else { progress };
        devices.serve(&[], Some(deadline.map_or(then, |deadline| deadline.min(then))));
    }
}

fn open(devices: &mut Devices, at: usize, dir: &str, wanted: &Wanted) -> Result<Medium, Fault> {
    let disk = &devices.disks[at];
    let device = format!("/dev/{}", disk.name);
    if let Some(other) = rank::ambiguous(wanted, &devices.disks, at) {
        warn!("/dev/{other} looks like the medium too; taking {device}");
    }
    let Some((fs, len)) = disk.found().map(|found| (found.fs, found.len)) else {
        return Err(Fault::new(Code::NoMedium, format!("{device} went away")));
    };
    if fs == Fs::Luks {
        return Err(Fault::new(
            Code::Mount,
            format!("{device}: it is encrypted (LUKS), and /init opens no such device"),
        ));
    }
    if let Some(has) = disk.len().filter(|&has| has < len) {
        return Err(cut_short(&device, has, len));
    }
    let named_by = wanted.named_by(disk);
    devices.need(&[&[fs.kmod_alias()], fs.helpers()].concat());
    let (mounted, holder) = mount(devices, &device, fs, wanted, named_by.as_ref())?;
    let dir = layout_dir(&device, wanted.target(), dir);
    let path = dir.join(contract::medium::MANIFEST);
    let manifest_fault = |why: String| {
        Fault::new(Code::Manifest, format!("{} of {device}: {why}", path.display()))
            .advise("the medium is damaged, or is not one of ours: write it again")
    };
    let mut file = Reading::open(&path, contract::medium::MANIFEST, &devices.disks[at].name)
        .map_err(|e| manifest_fault(e.to_string()))?;
    let mut bytes = Vec::new();
    // One more than a manifest can have, so that the parser sees it is none.
    let read = file.by_ref().take(MAX_LEN as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|e| file.fault().unwrap_or_else(|| manifest_fault(e.to_string())))?;
    let manifest = Manifest::parse(&bytes).map_err(|e| manifest_fault(e.to_string()))?;
    if let Some(ours) = wanted.boot_id.filter(|&ours| ours != manifest.boot_id) {
        let what = format!("it is of build {}, and this kernel and /init are of {ours}", manifest.boot_id);
        if wanted.ours_only {
            return Err(manifest_fault(what));
        }
        warn!("{device}: {what}; going on, since it was named");
    }
    let what = if wanted.is_set { "packages" } else { "medium" };
    info!("{what}: {device} ({}), {} in {} mode", fs.name(), manifest.name, manifest.mode);
    let device = devices.disks[at].name.clone();
    let is_disc = fs == Fs::Iso9660 && holder.is_none();
    Ok(Medium { mounted, holder, device, is_disc, dir, manifest, asked: None })
}

/// The one that was named, unless only the usual one has a manifest: other
/// systems' menus name theirs.
fn layout_dir(device: &str, target: &str, named: &str) -> PathBuf {
    let at = |dir: &str| Path::new(target).join(dir);
    let usual = contract::medium::DIR;
    let has_manifest = |dir: &str| at(dir).join(contract::medium::MANIFEST).exists();
    if named == usual || has_manifest(named) || !has_manifest(usual) {
        return at(named);
    }
    warn!("{device} has no manifest in /{named}; taking /{usual}");
    at(usual)
}

/// The medium, and the partition that it is a file on if it is one.
fn mount(
    devices: &mut Devices,
    device: &str,
    fs: Fs,
    wanted: &Wanted,
    named_by: Option<&Spec>,
) -> Result<(Mounted, Option<Mounted>), Fault> {
    let failed = |why: String| Fault::new(Code::Mount, format!("{device}: {why}"));
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    let through = if fs == Fs::Iso9660 && sector_size(devices, device) > ISO_SECTOR {
        devices.need(&["loop"]);
        let disk = File::open(device).map_err(|e| failed(e.to_string()))?;
        Some(loopdev::bind_file(&disk, device.as_bytes()).map_err(failed)?)
    } else {
        None
    };
    let source = through.as_ref().map_or(device, |bound| &bound.path);
    let mount = |target| Mounted::new(source, target, fs.name(), flags, fs.no_replay()).map_err(failed);
    if let Some(path) = &wanted.iso {
        make_dir(run::HOLDER);
        let holder = mount(run::HOLDER)?;
        return Ok((iso_file::mount(devices, device, path)?, Some(holder)));
    }
    make_dir(wanted.target());
    let mounted = mount(wanted.target())?;
    if let Some(Spec::File(path)) = named_by {
        iso_file::open_below(Path::new(wanted.target()), path)
            .map_err(|e| failed(format!("it has no /{path} ({})", e.desc())))?;
    }
    Ok((mounted, None))
}

/// Of the disk that it is, or is a partition of.
fn sector_size(devices: &Devices, device: &str) -> u64 {
    let disk = devices.whole_of(device.trim_start_matches("/dev/"));
    let size = disk.and_then(|disk| fs::read_to_string(format!("/sys{disk}/queue/logical_block_size")).ok());
    // Where nothing is known of it the mount tells.
    size.and_then(|size| size.trim().parse().ok()).unwrap_or(0)
}

/// By what is written at its beginning, before anything of it is mounted.
fn cut_short(what: &str, has: u64, wants: u64) -> Fault {
    Fault::new(Code::Truncated, format!("{what}: it has {has} bytes, and should have {wants}"))
        .advise("the medium is cut short: write it again, to one that is large enough")
}

fn not_found(wanted: &Wanted, devices: &Devices, waited: Duration) -> Fault {
    let mut hanging = devices.hanging();
    hanging.extend(devices.unannounced());
    let seconds = (waited + Duration::from_millis(500)).as_secs();
    let mut what = format!("no medium with {wanted} within {seconds} s, among {} devices", devices.disks.len());
    let param = wanted.param();
    let code = if hanging.is_empty() {
        Code::NoMedium
    } else {
        let _ = write!(what, "; {}", hanging.join("; "));
        Code::Timeout
    };
    for disk in &devices.disks {
        if let Some(Finding::Error(why)) = &disk.finding {
            let _ = write!(what, "; /dev/{} cannot be read: {why}", disk.name);
        }
    }
    let near = devices.disks.iter().filter_map(|disk| Some((disk, disk.found()?)));
    let near: Vec<String> = near
        .filter(|(_, found)| wanted.nearly(found))
        .map(|(disk, found)| format!("/dev/{} has the label {}", disk.name, found.label.escape_ascii()))
        .collect();
    let advice = if near.is_empty() {
        format!("plug it in and answer retry, or name it with {param}=")
    } else {
        format!("{}; to take it, boot with {param}=/dev/…", near.join("; "))
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
    let storage = devices.kmods().unserved().filter(|modalias| leads_to_disks(modalias));
    lines.extend(storage.map(|modalias| format!("no kmod in this image for {modalias}")));
    lines
}

impl Medium {
    pub(crate) fn part(&self, path: &str) -> PathBuf {
        self.dir.join(path)
    }

    pub(crate) fn open(&self, path: &str) -> io::Result<Reading> {
        Reading::open(&self.part(path), path, &self.device)
    }

    /// What is wrong with it or a part of it; of the first one it says enough by itself.
    pub(crate) fn told(&self, fault: Fault) -> Fault {
        match &self.asked {
            None => fault,
            Some(asked) => Fault { what: format!("{asked} (/dev/{}): {}", self.device, fault.what), ..fault },
        }
    }

    /// A part as a block device. Where it stands on a disc in one piece, that
    /// piece of the disc: a loop device on a file of isofs fails with EINVAL on
    /// Linux 6.12 and 6.14.
    pub(crate) fn bind(&self, path: &str) -> Result<Bound, String> {
        let file = self.part(path);
        let file = File::open(&file).map_err(|e| e.to_string())?;
        if let Some(extent) = self.is_disc.then(|| loopdev::extent(&file)).flatten() {
            match loopdev::bind_extent(&format!("/dev/{}", self.device), extent, path.as_bytes()) {
                Ok(bound) => return Ok(bound),
                Err(why) => debug!("{path} as a piece of its disc: {why}"),
            }
        }
        loopdev::bind_file(&file, path.as_bytes())
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
        let (manifest, device) = (self.manifest.clone(), self.device.clone());
        let moved = Self { mounted, holder: None, is_disc: false, dir, manifest, device, asked: None };
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
