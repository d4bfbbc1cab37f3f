//! Image files as block devices.

use std::fs::{File, OpenOptions};

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

/// A file in one piece of its device, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    offset: u64,
    len: u64,
}

/// None for a file in several pieces, or where its file system does not tell.
pub(crate) fn extent(file: &File) -> Option<Extent> {
    let (len, size) = (file.metadata().ok()?.len(), sys::block_size(file).ok()?);
    let block = |n: u64| sys::block_of(file, u32::try_from(n).ok()?).ok();
    one_piece(len, size, block)
}

/// A file of ISO 9660 has a piece for each 4 GiB at most (ECMA-119, 9.1.4), and
/// its pieces are each in the order of its bytes: one place within each tells.
fn one_piece(len: u64, size: u64, block: impl Fn(u64) -> Option<u64>) -> Option<Extent> {
    const APART: u64 = 1 << 30;
    let last = len.checked_sub(1)?.checked_div(size)?;
    let first = block(0)?;
    let mut places = (0..last).step_by(usize::try_from(APART / size).ok()?.max(1)).chain([last]);
    let straight = places.all(|n| block(n) == first.checked_add(n));
    let offset = first.checked_mul(size)?;
    straight.then_some(Extent { offset, len })
}

/// A piece of a device; `name` is what losetup shows.
pub(crate) fn bind_extent(device: &str, extent: Extent, name: &[u8]) -> Result<Bound, String> {
    let backing = File::open(device).map_err(|e| format!("{device}: {e}"))?;
    bind(&backing, name, false, Some(extent))
}

/// Read-only, and gone with its last user; `name` is what losetup shows.
pub(crate) fn bind_file(backing: &File, name: &[u8]) -> Result<Bound, String> {
    bind(backing, name, false, None)
}

/// One that may be written to, if it is open for that.
pub(crate) fn bind_kept(backing: &File, name: &[u8], writable: bool) -> Result<Bound, String> {
    bind(backing, name, writable, None)
}

fn bind(backing: &File, name: &[u8], writable: bool, extent: Option<Extent>) -> Result<Bound, String> {
    let flags = if writable { LO_FLAGS_AUTOCLEAR } else { LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR };
    let control = OpenOptions::new().read(true).write(true).open(CONTROL).map_err(|e| format!("{CONTROL}: {e}"))?;
    let mut info = LoopInfo::new(flags);
    if let Some(Extent { offset, len }) = extent {
        (info.offset, info.size_limit) = (offset, len);
    }
    // The kernel wants a NUL at its end.
    let shown = name.len().min(info.file_name.len() - 1);
    info.file_name[..shown].copy_from_slice(&name[..shown]);

    let mut busy = String::new();
    for _ in 0..TRIES {
        let number = sys::loop_get_free(&control).map_err(|e| format!("no free loop device: {}", e.desc()))?;
        let name = format!("loop{number}");
        make_node(&name);
        let path = format!("/dev/{name}");
        let device = OpenOptions::new().read(true).write(writable).open(&path).map_err(|e| format!("{path}: {e}"))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_in_one_piece_is_told_from_one_in_several() {
        const GIB: u64 = 1 << 30;
        let from = |first: u64| move |n: u64| first.checked_add(n);
        assert_eq!(one_piece(1, 2048, from(100)), Some(Extent { offset: 100 * 2048, len: 1 }));
        assert_eq!(one_piece(6 * GIB, 2048, from(7)), Some(Extent { offset: 7 * 2048, len: 6 * GIB }));
        // Where the second piece begins.
        let pieces = |at: u64| move |n: u64| Some(if n * 2048 < at { n } else { n + 1 });
        for at in [GIB, 4 * GIB - 2048, 5 * GIB] {
            assert_eq!(one_piece(6 * GIB, 2048, pieces(at)), None, "{at}");
        }
        assert_eq!(one_piece(0, 2048, from(1)), None);
        assert_eq!(one_piece(1, 0, from(1)), None);
        assert_eq!(one_piece(1, 2048, |_| None), None);
        assert_eq!(one_piece(4096, 2048, from(u64::MAX)), None);
    }
}
