//! The file systems and nodes that everything after stands on, as a table.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sys::stat::{Mode, SFlag, makedev, mknod, umask};

use crate::contract::run;
use crate::fault::{Code, Fault};

struct Mount {
    source: &'static str,
    target: &'static str,
    flags: MsFlags,
    data: &'static str,
}

const SAFE: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV);

const MOUNTS: &[Mount] = &[
    Mount { source: "proc", target: "/proc", flags: SAFE.union(MsFlags::MS_NOEXEC), data: "" },
    Mount { source: "sysfs", target: "/sys", flags: SAFE.union(MsFlags::MS_NOEXEC), data: "" },
    Mount { source: "devtmpfs", target: "/dev", flags: MsFlags::MS_NOSUID, data: "mode=0755" },
    Mount { source: "tmpfs", target: "/run", flags: SAFE, data: "mode=0755" },
];

/// What a kernel without devtmpfs needs from us; block devices follow as
/// they are seen (`devices`).
const NODES: &[(&str, u64, u64)] = &[
    ("/dev/console", 5, 1),
    ("/dev/tty", 5, 0),
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/urandom", 1, 9),
    ("/dev/kmsg", 1, 11),
    ("/dev/loop-control", 10, 237),
    ("/dev/mapper/control", 10, 236),
];

/// Everything is tried, whatever fails: half a machine can still tell why.
pub(crate) fn prepare() -> Vec<Fault> {
    umask(Mode::from_bits_truncate(0o022));
    let mut faults = Vec::new();
    for entry in MOUNTS {
        make_dir(entry.target);
        let mounted = mount(Some(entry.source), entry.target, Some(entry.source), entry.flags, Some(entry.data));
        match mounted {
            // EBUSY: it stands already, as devtmpfs does where the kernel mounts it.
            Ok(()) | Err(Errno::EBUSY) => {}
            Err(_) if entry.source == "devtmpfs" => make_nodes(&mut faults),
            Err(e) => {
                faults.push(Fault::new(Code::Mount, format!("{} on {}: {}", entry.source, entry.target, e.desc())));
            }
        }
    }
    for dir in [run::DIR, run::MEDIUM, run::LAYERS, run::UPPER] {
        make_dir(dir);
    }
    faults
}

fn make_nodes(faults: &mut Vec<Fault>) {
    if let Err(e) = mount(Some("tmpfs"), "/dev", Some("tmpfs"), MsFlags::MS_NOSUID, Some("mode=0755,size=1M")) {
        faults.push(Fault::new(Code::Mount, format!("neither devtmpfs nor tmpfs on /dev: {}", e.desc())));
    }
    make_dir("/dev/mapper");
    for &(path, major, minor) in NODES {
        // What is missing is named by whoever wants it.
        let _ = mknod(path, SFlag::S_IFCHR, Mode::from_bits_truncate(0o600), makedev(major, minor));
    }
}

/// 0755, its parents too; there already is as good.
pub(crate) fn make_dir(path: &str) {
    if let Err(e) = DirBuilder::new().recursive(true).mode(0o755).create(path)
        && fs::metadata(path).is_err()
    {
        crate::log::warn!("{path}: {e}");
    }
}
