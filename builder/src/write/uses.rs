//! What the running system uses block devices for: mounts and swap.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::disk::DevId;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Purpose {
    Mounted(PathBuf),
    Swap,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Use {
    pub(super) device: DevId,
    pub(super) purpose: Purpose,
}

pub(super) fn load() -> io::Result<Vec<Use>> {
    let mut uses = mounts(&fs::read("/proc/self/mountinfo")?, device_at);
    // A kernel without swap has no such file.
    let swaps = fs::read("/proc/swaps").unwrap_or_default();
    let swaps = swaps.split(|&b| b == b'\n').skip(1).filter_map(|line| line.split(|&b| b == b' ' || b == b'\t').next());
    let devices = swaps.filter(|name| !name.is_empty()).filter_map(|name| device_at(&unescaped(name)));
    uses.extend(devices.map(|device| Use { device, purpose: Purpose::Swap }));
    Ok(uses)
}

fn device_at(path: &Path) -> Option<DevId> {
    let meta = fs::metadata(path).ok()?;
    meta.file_type().is_block_device().then(|| DevId::from_raw(meta.rdev()))
}

/// Lines of proc_pid_mountinfo(5). A file system of several devices has a
/// number that is none of theirs, and names one of them as its source.
fn mounts(text: &[u8], device_at: impl Fn(&Path) -> Option<DevId>) -> Vec<Use> {
    let mut uses = Vec::new();
    for line in text.split(|&b| b == b'\n') {
        let words: Vec<&[u8]> = line.split(|&b| b == b' ').collect();
        let Some([device, _root, point]) = words.get(2..5) else { continue };
        let separator = words.iter().position(|word| *word == b"-");
        let source = separator.and_then(|at| words.get(at + 2)).map(|source| unescaped(source));
        let numbered = std::str::from_utf8(device).ok().and_then(|text| text.parse().ok());
        let named = source.filter(|source| source.is_absolute()).and_then(|source| device_at(&source));
        let point = unescaped(point);
        let mut devices: Vec<DevId> = numbered.into_iter().chain(named).collect();
        devices.dedup();
        uses.extend(devices.into_iter().map(|device| Use { device, purpose: Purpose::Mounted(point.clone()) }));
    }
    uses
}

/// Blanks and backslashes are written as `\ooo`.
fn unescaped(word: &[u8]) -> PathBuf {
    let mut out = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((&byte, tail)) = rest.split_first() {
        let octal = tail.get(..3).filter(|digits| byte == b'\\' && digits.iter().all(|d| (b'0'..=b'7').contains(d)));
        let (byte, tail) = match octal {
            Some(digits) => (digits.iter().fold(0_u8, |n, d| n.wrapping_mul(8) + (d - b'0')), &tail[3..]),
            None => (byte, tail),
        };
        out.push(byte);
        rest = tail;
    }
    std::ffi::OsString::from_vec(out).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_found_by_number_and_by_their_source() {
        let text = b"22 27 0:21 / /proc rw,relatime - proc proc rw\n\
            27 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw\n\
            30 27 0:45 /sub /media/a\\040b rw - btrfs /dev/sdb2 rw\n\
            broken line\n";
        let device_at = |path: &Path| match path.to_str() {
            Some("/dev/vda1") => Some(DevId(254, 1)),
            Some("/dev/sdb2") => Some(DevId(8, 18)),
            _ => None,
        };
        let mounted = |device, point: &str| Use { device, purpose: Purpose::Mounted(point.into()) };
        assert_eq!(
            mounts(text, device_at),
            [
                mounted(DevId(0, 21), "/proc"),
                mounted(DevId(254, 1), "/"),
                mounted(DevId(0, 45), "/media/a b"),
                mounted(DevId(8, 18), "/media/a b"),
            ]
        );
    }

    #[test]
    fn what_is_no_escape_stays() {
        for (word, path) in [(&b"\\134"[..], "\\"), (b"a\\04", "a\\04"), (b"\\", "\\"), (b"\\9991", "\\9991")] {
            assert_eq!(unescaped(word), Path::new(path));
        }
    }
}
