//! The layers copied to memory, so that the medium can be let go of.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::mount::MsFlags;
use sha2::{Digest, Sha256};

use crate::cmdline::{Check, Cmdline, ToRam};
use crate::contract::{params, run};
use crate::early::make_dir;
use crate::eject::eject;
use crate::fault::{Code, Fault};
use crate::log::info;
use crate::manifest::{Hex, Part};
use crate::medium::Medium;
use crate::memory;
use crate::mounts::Mounted;
use crate::reading::Reading;
use crate::status::Status;

/// What a system wants beside the copy to come up at all: below that, the
/// kernel has nothing left to give the first programs.
const RESERVE: u64 = 64 << 20;
/// A tmpfs counts whole pages and its own inodes.
const SLACK: u64 = 1 << 20;
const PROGRESS: Duration = Duration::from_secs(2);

/// The medium to go on with: the copy, or where that was not asked for or may
/// be done without, the one that is there.
pub(crate) fn copy(medium: Medium, layers: &[Part], cmdline: &Cmdline, status: &mut Status) -> Result<Medium, Fault> {
    if cmdline.to_ram == ToRam::No {
        return Ok(medium);
    }
    match copy_layers(&medium, layers, cmdline.check, status) {
        Ok(copied) => {
            let (medium, released) = medium.moved_to(copied, run::COPY.into());
            match released {
                Ok(()) => {
                    info!("the layers are in memory: the medium may be removed");
                    if cmdline.eject {
                        eject(&medium.device);
                    }
                }
                Err(why) => status.degrade(format!("the medium is still in use: {why}")),
            }
            Ok(medium)
        }
        // A medium that is damaged is no better when it is read later.
        Err(fault) if cmdline.to_ram == ToRam::Auto && fault.code == Code::NoMemory => {
            status.degrade(format!("{fault}; going on from the medium"));
            Ok(medium)
        }
        Err(fault) => Err(fault),
    }
}

fn copy_layers(medium: &Medium, layers: &[Part], policy: Check, status: &mut Status) -> Result<Mounted, Fault> {
    let need = layers.iter().fold(0_u64, |sum, layer| {
        let hashes = layer.verity.as_ref().map_or(0, |verity| verity.hashes_size);
        sum.saturating_add(layer.size).saturating_add(hashes)
    });
    budget(need, memory::available())?;
    make_dir(run::COPY);
    let size = format!("mode=0755,size={}", need.saturating_add(SLACK));
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    let copied = Mounted::new("tmpfs", run::COPY, "tmpfs", flags, &size).map_err(|why| Fault::new(Code::Mount, why))?;
    let mut progress = Progress { done: 0, all: need, told: Instant::now() };
    for layer in layers {
        let digest = copy_file(medium, &layer.path, &mut progress)?;
        if policy != Check::Off && digest != layer.sha256 {
            let what = format!("{}: its SHA-256 is {}, and should be {}", layer.path, Hex(&digest), Hex(&layer.sha256));
            if policy != Check::Warn {
                return Err(Fault::new(Code::Digest, what).advise("the medium is damaged: write it again"));
            }
            status.degrade(format!("{what}; going on with it"));
        }
        // The root hash is over these: what is wrong with them shows when they are used.
        if let Some(verity) = &layer.verity {
            copy_file(medium, &verity.hashes, &mut progress)?;
        }
    }
    Ok(copied)
}

/// The digest of what was copied.
fn copy_file(medium: &Medium, path: &str, progress: &mut Progress) -> Result<[u8; 32], Fault> {
    let target = Path::new(run::COPY).join(path);
    let failed = |e: io::Error| {
        let what = format!("{path}: it cannot be copied to memory: {e}");
        Fault::new(if e.kind() == io::ErrorKind::StorageFull { Code::NoSpace } else { Code::Digest }, what)
    };
    let mut from = medium.open(path).map_err(failed)?;
    let mut copy = |from: &mut Reading| {
        if let Some(dir) = target.parent() {
            fs::create_dir_all(dir)?;
        }
        let mut to = File::create(&target)?;
        let (mut hasher, mut buffer) = (Sha256::new(), vec![0; 1 << 20]);
        loop {
            match from.read(&mut buffer) {
                Ok(0) => return Ok(hasher.finalize().into()),
                Ok(len) => {
                    hasher.update(&buffer[..len]);
                    to.write_all(&buffer[..len])?;
                    progress.add(len as u64);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    };
    copy(&mut from).map_err(|e| from.fault().unwrap_or_else(|| failed(e)))
}

struct Progress {
    done: u64,
    all: u64,
    told: Instant,
}

impl Progress {
    fn add(&mut self, bytes: u64) {
        self.done += bytes;
        if self.told.elapsed() >= PROGRESS {
            self.told = Instant::now();
            info!("copying to memory: {} of {} MiB", self.done >> 20, self.all >> 20);
        }
    }
}

fn budget(copy: u64, available: Option<u64>) -> Result<(), Fault> {
    let need = copy.saturating_add(RESERVE);
    match available {
        Some(has) if has < need => {
            let what = format!("needs {} MiB, has {} MiB of memory", need.div_ceil(1 << 20), has >> 20);
            let advice = format!("leave {} away, or give the machine more memory", params::TORAM);
            Err(Fault::new(Code::NoMemory, what).advise(advice))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_that_leaves_no_memory_to_boot_with_is_refused_with_the_numbers() {
        const MIB: u64 = 1 << 20;
        assert_eq!(budget(100 * MIB, Some(164 * MIB)), Ok(()));
        assert_eq!(budget(100 * MIB, None), Ok(()));
        let fault = budget(100 * MIB, Some(163 * MIB)).unwrap_err();
        assert_eq!((fault.code, fault.what.as_str()), (Code::NoMemory, "needs 164 MiB, has 163 MiB of memory"));
        assert!(budget(u64::MAX, Some(u64::MAX - 1)).is_err());
    }
}
