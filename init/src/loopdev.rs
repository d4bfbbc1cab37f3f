//! Image files as block devices.

use std::fs::{File, OpenOptions};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;

use crate::devices::make_node;
use crate::sys::{self, LO_FLAGS_AUTOCLEAR, LO_FLAGS_READ_ONLY, LoopInfo};

const CONTROL: &str = "/dev/loop-control";
/// Between asking for a free device and binding it another process can take it.
const TRIES: usize = 8;

#[derive(Debug)]
pub(crate) struct Bound {
    pub path: String,
    /// The device unbinds itself when nobody has it open: this holds it until
    /// a mount does.
    _open: File,
}

/// Read-only, and gone with its last user.
pub(crate) fn bind(image: &Path) -> Result<Bound, String> {
    let backing = File::open(image).map_err(|e| e.to_string())?;
    bind_file(&backing, image.as_os_str().as_bytes())
}

/// The same for a file that is open; `name` is what losetup shows.
pub(crate) fn bind_file(backing: &File, name: &[u8]) -> Result<Bound, String> {
    let control = OpenOptions::new().read(true).write(true).open(CONTROL).map_err(|e| format!("{CONTROL}: {e}"))?;
    let mut info = LoopInfo::new(LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR);
    // The kernel wants a NUL at its end.
    let shown = name.len().min(info.file_name.len() - 1);
    info.file_name[..shown].copy_from_slice(&name[..shown]);

    let mut busy = String::new();
    for _ in 0..TRIES {
        let number = sys::loop_get_free(&control).map_err(|e| format!("no free loop device: {}", e.desc()))?;
        let name = format!("loop{number}");
        make_node(&name);
        let path = format!("/dev/{name}");
        let device = File::open(&path).map_err(|e| format!("{path}: {e}"))?;
        let configured = match sys::loop_configure(&device, backing, info) {
            Err(e) if sys::is_unknown_ioctl(e) => sys::loop_set(&device, backing, info),
            other => other,
        };
        match configured {
            Ok(()) => return Ok(Bound { path, _open: device }),
            Err(Errno::EBUSY) => busy = path,
            Err(e) => return Err(format!("{path}: {}", e.desc())),
        }
    }
    Err(format!("{busy}: always taken by another process"))
}
