//! Ram mode: the packages of one medium or two, decoded beside each other and
//! extracted one after the other, over the root that the kernel unpacked the
//! initramfs into, or into a tmpfs if that was asked for. A package is an archive,
//! or a squashfs that is mounted for as long as its copying takes.

use std::io::{self, Read};
use std::path::Path;
use std::sync::OnceLock;
use std::thread;

use nix::mount::{MsFlags, mount};
use nix::sys::statvfs::statvfs;

use crate::check;
use crate::cmdline::{Check, Cmdline, RamRoot};
use crate::contract::{params, run};
use crate::devices::Devices;
use crate::early::make_dir;
use crate::fault::{Code, Fault};
use crate::in_turn::{Ahead, Inlet, Outlet, in_turn};
use crate::log::{debug, info};
use crate::manifest::Part;
use crate::medium::Medium;
use crate::memory;
use crate::mounts::Mounted;
use crate::overlay::{self, NewRoot, SYSROOT};
use crate::status::Status;
use crate::superblock::Fs;
use crate::unpack::{self, Limits, Summary, UnpackError};
use crate::xz::{self, Piece};

const SQUASHFS_MAGIC: &[u8; 4] = b"hsqs";

/// What the decoder and the rest of /init want beside the files themselves:
/// the largest dictionary that xz's levels have is 64 MiB, and -6's is 8.
const WORKING_MEMORY: u64 = 16 << 20;

/// What one more decoder may take, with the largest dictionary.
const DECODER_MEMORY: u64 = 80 << 20;

/// None: packages go to the root that is there.
pub(crate) fn new_root(cmdline: &Cmdline) -> Result<Option<NewRoot>, Fault> {
    if cmdline.ram == RamRoot::Rootfs {
        return Ok(None);
    }
    make_dir(SYSROOT);
    let options = format!("mode=0755,{}", cmdline.ram_size.option());
    let mounted = Mounted::new("tmpfs", SYSROOT, "tmpfs", MsFlags::empty(), &options);
    let advice = || format!("is {} right?", params::RAM_SIZE);
    mounted.map(NewRoot::of).map(Some).map_err(|why| Fault::new(Code::Mount, why).advise(advice()))
}

/// A part of the medium, and what it is by its first bytes.
#[derive(Debug)]
pub(crate) struct Package<'m> {
    medium: &'m Medium,
    part: &'m Part,
    /// A squashfs, and no archive.
    is_image: bool,
    /// What several threads can decode it by; empty where it is one's work.
    pieces: Vec<Piece>,
    /// The fault of its digest, once somebody has looked.
    checked: OnceLock<Option<Fault>>,
}

/// What one thread decodes at a time: a package, or a piece of one.
struct Job<'p> {
    package: &'p Package<'p>,
    /// Of the package.
    number: usize,
    piece: Option<&'p Piece>,
}

/// Before there are threads: what loads a kmod is forked.
pub(crate) fn look_at<'m>(parts: &[(&'m Medium, &'m Part)], devices: &mut Devices) -> Vec<Package<'m>> {
    let package = |&(medium, part): &(&'m Medium, &'m Part)| {
        let mut magic = [0; SQUASHFS_MAGIC.len()];
        // What cannot be read is told of when it is checked.
        let read = medium.open(&part.path).and_then(|mut file| file.read_exact(&mut magic).map(|()| file));
        let pieces = read.and_then(xz::pieces).unwrap_or_default();
        Package { medium, part, is_image: magic == *SQUASHFS_MAGIC, pieces, checked: OnceLock::new() }
    };
    let packages: Vec<_> = parts.iter().map(package).collect();
    if packages.iter().any(|package| package.is_image) {
        devices.need(&["loop", Fs::Squashfs.kmod_alias()]);
    }
    packages
}

pub(crate) fn extract(
    packages: &[Package<'_>],
    root: &Path,
    cmdline: &Cmdline,
    status: &mut Status,
) -> Result<(), Fault> {
    if cmdline.ram == RamRoot::Rootfs {
        raise_limit(cmdline);
    }
    let unpacked = packages.iter().fold(0_u64, |sum, package| sum.saturating_add(package.part.unpacked));
    let available = memory::available();
    budget(unpacked, available, room(root))?;
    let processors = thread::available_parallelism().map_or(1, usize::from);
    in_turn(
        &jobs(packages),
        |job| job.number,
        ahead(processors, unpacked, available),
        |job, decoded| decode(job, cmdline.check, decoded),
        |number, decoded| {
            let package = &packages[number];
            match place(package, decoded, root) {
                Ok(Summary { entries, bytes }) => {
                    info!("{}: {entries} entries, {} MiB", package.part.path, bytes >> 20);
                    Ok(())
                }
                Err(fault) if package.part.required => Err(package.medium.told(fault)),
                Err(fault) => {
                    status.degrade(format!("{fault}; going on without the rest of it"));
                    Ok(())
                }
            }
        },
        |error| Fault::new(Code::NoMemory, format!("no thread can be started: {error}")),
    )
}

fn jobs<'p>(packages: &'p [Package<'p>]) -> Vec<Job<'p>> {
    let mut jobs = Vec::new();
    for (number, package) in packages.iter().enumerate() {
        jobs.extend(package.pieces.iter().map(|piece| Job { package, number, piece: Some(piece) }));
        if package.pieces.is_empty() {
            jobs.push(Job { package, number, piece: None });
        }
    }
    jobs
}

/// Decoders beside the first, and what they have decoded, take only what the
/// packages will leave of the memory.
fn ahead(processors: usize, unpacked: u64, available: Option<u64>) -> Ahead {
    let spare = available.unwrap_or(0).saturating_sub(unpacked.saturating_add(WORKING_MEMORY));
    let more = (spare / DECODER_MEMORY).min(processors.saturating_sub(1) as u64);
    let waiting = spare - more * DECODER_MEMORY;
    Ahead { threads: 1 + more as usize, waiting: usize::try_from(waiting).unwrap_or(usize::MAX) }
}

/// Twice through a package: nothing of one that is damaged is ever decoded. Who
/// has a later piece waits for whoever checks the package, so that a disc is read
/// from one end to the other.
fn decode(job: &Job<'_>, policy: Check, decoded: &mut Outlet<'_, Fault>) -> Result<(), Fault> {
    let Package { medium, part, is_image, checked, .. } = job.package;
    if policy != Check::Off {
        let fault = checked.get_or_init(|| check::digest(medium.open(&part.path), part, &mut || false).err());
        fault.clone().map_or(Ok(()), Err)?;
    }
    if *is_image {
        return Ok(());
    }
    let failed = |e: io::Error| made_wrongly(part, &format!("it does not unpack: {e}"));
    let mut file = medium.open(&part.path).map_err(failed)?;
    let poured = match job.piece {
        None => unpack::decoded(&mut file).and_then(|archive| decoded.pour(archive)),
        Some(piece) => piece.reader(&mut file).and_then(unpack::decoded).and_then(|archive| decoded.pour(archive)),
    };
    poured.map_err(|e| file.fault().unwrap_or_else(|| failed(e)))
}

fn place(package: &Package<'_>, decoded: &mut Inlet<'_, Fault>, root: &Path) -> Result<Summary, Fault> {
    let Package { medium, part, is_image, .. } = package;
    let limits = Limits { unpacked: part.unpacked, privileged: part.privileged };
    let placed = if *is_image {
        place_image(medium, part, decoded, root, &limits)?
    } else {
        unpack::archive(&mut *decoded, root, &limits)
    };
    placed.map_err(|e| {
        if let Some(fault) = decoded.failure() {
            fault
        } else if e.is_no_space() {
            let left = room(root).unwrap_or(0) >> 20;
            let what = format!(
                "{}: {e}; the package unpacks to {} MiB, and {left} MiB are left",
                part.path,
                part.unpacked >> 20
            );
            Fault::new(Code::NoSpace, what)
                .advise(format!("let the root grow further with {}=, or add memory", params::RAM_SIZE))
        } else {
            made_wrongly(part, &e.to_string())
        }
    })
}

/// Copied, and not left mounted: the medium is let go of, and what is packed
/// would stand in memory beside what is used of it.
fn place_image(
    medium: &Medium,
    part: &Part,
    decoded: &mut Inlet<'_, Fault>,
    root: &Path,
    limits: &Limits,
) -> Result<Result<Summary, UnpackError>, Fault> {
    // There are no bytes, but whether its digest is right.
    if let Err(e) = io::copy(decoded, &mut io::sink()) {
        return Err(decoded.failure().unwrap_or_else(|| made_wrongly(part, &e.to_string())));
    }
    let failed = |why: String| made_wrongly(part, &why);
    let image = medium.bind(&part.path).map_err(failed)?;
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    let _mounted = overlay::mount_squashfs(&image.path, run::PACKAGE, flags).map_err(failed)?;
    Ok(unpack::tree(Path::new(run::PACKAGE), root, limits))
}

fn made_wrongly(part: &Part, why: &str) -> Fault {
    Fault::new(Code::Package, format!("{}: {why}", part.path))
        .advise("the package was made wrongly: build the image again")
}

/// The kernel gives its tmpfs root half of the memory; a ramfs has no limit
/// to raise, and says so.
fn raise_limit(cmdline: &Cmdline) {
    let none: Option<&str> = None;
    let size = cmdline.ram_size.option();
    if let Err(e) = mount(none, "/", none, MsFlags::MS_REMOUNT, Some(size.as_str())) {
        debug!("the root keeps its size: {}", e.desc());
    }
}

/// Bytes that can still be written to the root; None where nothing counts them.
pub(crate) fn room(root: &Path) -> Option<u64> {
    let root = statvfs(root).ok().filter(|root| root.blocks() > 0)?;
    Some(root.blocks_available().saturating_mul(root.fragment_size()))
}

fn budget(unpacked: u64, available: Option<u64>, room: Option<u64>) -> Result<(), Fault> {
    let need = unpacked.saturating_add(WORKING_MEMORY);
    let refuse = |has: u64, of: &str, advice: String| {
        let what = format!("needs {} MiB, has {} MiB of {of}", need.div_ceil(1 << 20), has >> 20);
        Err(Fault::new(Code::NoMemory, what).advise(advice))
    };
    match (available, room) {
        (Some(has), _) if has < need => refuse(has, "memory", "give the machine more memory".into()),
        (_, Some(has)) if has < unpacked => {
            refuse(has, "room on the root", format!("let the root grow further with {}=", params::RAM_SIZE))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_memory_is_told_with_the_numbers_before_anything_is_written() {
        const MIB: u64 = 1 << 20;
        assert_eq!(budget(100 * MIB, Some(116 * MIB), Some(100 * MIB)), Ok(()));
        assert_eq!(budget(100 * MIB, None, None), Ok(()));
        let fault = budget(100 * MIB, Some(60 * MIB), None).unwrap_err();
        assert_eq!((fault.code, fault.what.as_str()), (Code::NoMemory, "needs 116 MiB, has 60 MiB of memory"));
        let fault = budget(100 * MIB, Some(900 * MIB), Some(80 * MIB)).unwrap_err();
        assert!(fault.what.contains("80 MiB of room") && fault.advice.contains(params::RAM_SIZE), "{fault:?}");
        assert!(budget(u64::MAX, Some(u64::MAX - 1), None).is_err());
    }

    #[test]
    fn decoding_ahead_takes_nothing_that_the_packages_need() {
        const MIB: u64 = 1 << 20;
        for (processors, available, threads, waiting) in [
            (8, None, 1, 0),
            (8, Some(60 * MIB), 1, 0),
            (8, Some(116 * MIB), 1, 0),
            (8, Some(176 * MIB), 1, 60 * MIB),
            (8, Some(286 * MIB), 3, 10 * MIB),
            (2, Some(1140 * MIB), 2, 944 * MIB),
            (0, Some(1140 * MIB), 1, 1024 * MIB),
        ] {
            let expected = Ahead { threads, waiting: waiting as usize };
            assert_eq!(ahead(processors, 100 * MIB, available), expected, "{processors} {available:?}");
        }
        assert_eq!(ahead(8, u64::MAX, Some(MIB)).threads, 1);
    }
}
