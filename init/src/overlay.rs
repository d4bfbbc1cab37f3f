//! Overlay mode: the layers on loop devices, a tmpfs for what changes, and an
//! overlayfs over both.

use nix::mount::MsFlags;
use nix::sys::utsname::uname;
use nix::unistd::chdir;
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use crate::cmdline::{Cmdline, Size};
use crate::contract::initramfs::ROOT_KMODS;
use crate::contract::{params, run};
use crate::devices::Devices;
use crate::dm;
use crate::early::make_dir;
use crate::fault::{Code, Fault};
use crate::manifest::{Part, Verity};
use crate::medium::Medium;
use crate::memory;
use crate::mounts::Mounted;
use crate::persist::Kept;
use crate::status::Status;

/// Where the new root is assembled.
pub(crate) const SYSROOT: &str = "/sysroot";
/// Decompresses on every processor: about three times faster. Older kernels
/// refuse the option, and say so on the console.
const SQUASHFS_THREADS: (&str, (u32, u32)) = ("threads=multi", (6, 2));

/// The new root and what it stands on, undone together if the boot stops.
#[derive(Debug)]
pub(crate) struct NewRoot {
    /// In the order to undo them: the overlayfs, the upper, the layers.
    mounts: Vec<Mounted>,
}

impl NewRoot {
    /// One that needs no mount but its own.
    pub(crate) fn of(root: Mounted) -> Self {
        Self { mounts: vec![root] }
    }

    pub(crate) fn keep(self) {
        for mounted in self.mounts {
            mounted.keep();
        }
    }
}

pub(crate) fn assemble(
    medium: &Medium,
    layers: &[Part],
    kept: Option<Kept>,
    cmdline: &Cmdline,
    devices: &mut Devices,
    status: &mut Status,
) -> Result<NewRoot, Fault> {
    devices.need(ROOT_KMODS);
    if layers.iter().any(|layer| layer.verity.is_some()) {
        devices.need(dm::KMODS);
    }
    let mut mounts = Vec::new();
    let mut names = Vec::new();
    for (n, layer) in layers.iter().enumerate() {
        match mount_layer(medium, layer, n) {
            Ok(mounted) => {
                mounts.insert(0, mounted);
                names.insert(0, n.to_string());
            }
            Err(fault) if layer.required => {
                return Err(fault.advise("the medium is damaged, or its kernel lacks what the layer needs"));
            }
            // The command line's root hashes are of all layers.
            Err(fault) if !cmdline.verity.is_empty() => return Err(fault),
            Err(fault) => status.degrade(format!("{fault}; going on without it")),
        }
    }
    let advice = || format!("is {} right?", params::UPPER_SIZE);
    let upper = match kept {
        Some(Kept { mounts: below, dir, read_only }) => {
            mounts.splice(0..0, below);
            if read_only {
                names.insert(0, dir.join("upper").display().to_string());
            }
            (!read_only).then_some(dir)
        }
        None => None,
    };
    let upper = if let Some(kept) = upper {
        kept
    } else {
        let lost = mount_upper(medium, cmdline).map_err(|why| Fault::new(Code::Mount, why).advise(advice()))?;
        mounts.insert(0, lost);
        run::UPPER.into()
    };
    mounts.insert(0, mount_overlay(&names, &upper).map_err(|why| Fault::new(Code::Mount, why))?);
    Ok(NewRoot { mounts })
}

fn mount_layer(medium: &Medium, layer: &Part, n: usize) -> Result<Mounted, Fault> {
    let failed = |code| move |why: String| Fault::new(code, format!("{}: {why}", layer.path));
    let image = medium.bind(&layer.path).map_err(failed(Code::Layer))?;
    let Some(Verity { root_hash, hashes, .. }) = &layer.verity else {
        return mount_layer_at(&image.path, n)
            .map_err(|why| unreadable(medium, layer).unwrap_or_else(|| failed(Code::Layer)(why)));
    };
    let hashes = medium.bind(hashes).map_err(|why| failed(Code::Verity)(format!("{hashes}: {why}")))?;
    let name = format!("liveroot-{n}");
    let verified =
        dm::Verified::open(&name, &image.path, layer.size, &hashes.path, root_hash).map_err(failed(Code::Verity))?;
    mount_layer_at(&verified.path, n).map_err(|why| {
        if verified.is_corrupted() {
            failed(Code::Verity)(format!("it was changed: it does not match its root hash; {why}"))
        } else {
            failed(Code::Layer)(why)
        }
    })
}

/// A mount that fails says no place: what it reads, the head and the tables at
/// the end, is read again for that.
fn unreadable(medium: &Medium, layer: &Part) -> Option<Fault> {
    const TABLES: u64 = 1 << 20;
    let mut file = medium.open(&layer.path).ok()?;
    [0, layer.size.saturating_sub(TABLES)].into_iter().find_map(|at| {
        file.go_to(at);
        // What stops it is kept in the file.
        let _ = io::copy(&mut file.by_ref().take(TABLES), &mut io::sink());
        file.fault()
    })
}

fn mount_layer_at(device: &str, n: usize) -> Result<Mounted, String> {
    mount_squashfs(device, &format!("{}/{n}", run::LAYERS), MsFlags::MS_RDONLY)
}

pub(crate) fn mount_squashfs(device: &str, target: &str, flags: MsFlags) -> Result<Mounted, String> {
    make_dir(target);
    let mount = |options| Mounted::new(device, target, "squashfs", flags, options);
    let (option, since) = SQUASHFS_THREADS;
    if kernel_version().is_some_and(|version| version >= since) {
        // A kernel built without the choice refuses it too.
        if let Ok(mounted) = mount(option) {
            return Ok(mounted);
        }
    }
    mount("")
}

fn kernel_version() -> Option<(u32, u32)> {
    parse_version(uname().ok()?.release().to_str()?)
}

/// The first two numbers of a release: `6.1.0-40-amd64`.
fn parse_version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// On a mount of its own: /run is capped and remounted by the systems that
/// are booted.
fn mount_upper(medium: &Medium, cmdline: &Cmdline) -> Result<Mounted, String> {
    // Of what the copies have left: both grow in the same memory, and a tmpfs
    // that may take all of it stops the machine instead of its writers.
    let size = match (cmdline.upper_size, memory::available()) {
        (Size::Percent(percent), Some(left)) if medium.is_in_memory() => Size::Bytes(left / 100 * percent),
        (size, _) => size,
    };
    let size = format!("mode=0755,{}", size.option());
    let mounted = Mounted::new("tmpfs", run::UPPER, "tmpfs", MsFlags::empty(), &size)?;
    for name in ["upper", "work"] {
        let dir = format!("{}/{name}", run::UPPER);
        std::fs::DirBuilder::new().mode(0o755).create(&dir).map_err(|e| format!("{dir}: {e}"))?;
    }
    Ok(mounted)
}

/// mount(2) takes one page of options: the layers' names are relative, and
/// short.
fn mount_overlay(names: &[String], upper: &Path) -> Result<Mounted, String> {
    make_dir(SYSROOT);
    let moved = |e: nix::errno::Errno| format!("{}: {}", run::LAYERS, e.desc());
    chdir(run::LAYERS).map_err(moved)?;
    let options = format!("lowerdir={},upperdir={1}/upper,workdir={1}/work", names.join(":"), upper.display());
    let mounted = Mounted::new("overlay", SYSROOT, "overlay", MsFlags::empty(), &options);
    chdir("/").map_err(moved)?;
    mounted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_begins_with_its_version() {
        for (release, version) in [("6.1.0-40-amd64", (6, 1)), ("6.12-rc1", (6, 12)), ("7.0", (7, 0))] {
            assert_eq!(parse_version(release), Some(version));
        }
        assert_eq!(parse_version("next"), None);
    }
}
