//! Ram mode: the medium's packages, one after the other, over the root that
//! the kernel unpacked the initramfs into, or into a tmpfs if that was asked for.

use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sys::statvfs::statvfs;

use crate::check;
use crate::cmdline::{Check, Cmdline, RamRoot};
use crate::contract::params;
use crate::early::make_dir;
use crate::fault::{Code, Fault};
use crate::log::{debug, info};
use crate::manifest::Part;
use crate::medium::Medium;
use crate::memory;
use crate::mounts::Mounted;
use crate::overlay::{NewRoot, SYSROOT};
use crate::status::Status;
use crate::unpack::{self, Limits, Summary};

/// What the decoder and the rest of /init want beside the files themselves:
/// the largest dictionary that xz's levels have is 64 MiB, and -6's is 8.
const WORKING_MEMORY: u64 = 16 << 20;

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

pub(crate) fn extract(
    medium: &Medium,
    packages: &[Part],
    unpacked: u64,
    root: &Path,
    cmdline: &Cmdline,
    status: &mut Status,
) -> Result<(), Fault> {
    if cmdline.ram == RamRoot::Rootfs {
        raise_limit(cmdline);
    }
    budget(unpacked, memory::available(), room(root))?;
    for package in packages {
        match one(medium, package, root, cmdline.check) {
            Ok(Summary { entries, bytes }) => {
                info!("{}: {entries} entries, {} MiB", package.path, bytes >> 20);
            }
            Err(fault) if package.required => return Err(fault),
            Err(fault) => status.degrade(format!("{fault}; going on without the rest of it")),
        }
    }
    Ok(())
}

/// Twice through a package: nothing of one that is damaged is ever written.
fn one(medium: &Medium, package: &Part, root: &Path, policy: Check) -> Result<Summary, Fault> {
    if policy != Check::Off {
        check::digest(medium.open(&package.path), package)?;
    }
    let failed = |why: String| Fault::new(Code::Package, format!("{}: {why}", package.path));
    let mut file = medium.open(&package.path).map_err(|e| failed(e.to_string()))?;
    let limits = Limits { unpacked: package.unpacked, privileged: package.privileged };
    unpack::package(&mut file, root, &limits).map_err(|e| {
        if let Some(fault) = file.fault() {
            fault
        } else if e.is_no_space() {
            let left = room(root).unwrap_or(0) >> 20;
            let what = format!(
                "{}: {e}; the package unpacks to {} MiB, and {left} MiB are left",
                package.path,
                package.unpacked >> 20
            );
            Fault::new(Code::NoSpace, what)
                .advise(format!("let the root grow further with {}=, or add memory", params::RAM_SIZE))
        } else {
            failed(e.to_string()).advise("the package was made wrongly: build the image again")
        }
    })
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
fn room(root: &Path) -> Option<u64> {
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
}
