//! Files of the medium: what cannot be read is read again, and what stays
//! unreadable is told by its place on the device.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

use nix::errno::Errno;

use crate::fault::{Code, Fault};
use crate::log::warn;
use crate::sys;

/// After the first: a scratched disc or a loose plug gives the second time what
/// it did not the first, and not every driver tries again by itself.
const RETRIES: u32 = 3;
/// What /sys counts a device's size in.
const SECTOR: u64 = 512;

#[derive(Debug)]
pub(crate) struct Reading {
    file: File,
    at: u64,
    /// On the medium; below /dev.
    name: String,
    device: String,
    /// As errno(3).
    failed: Option<i32>,
}

impl Reading {
    pub(crate) fn open(path: &Path, name: &str, device: &str) -> io::Result<Self> {
        Ok(Self { file: File::open(path)?, at: 0, name: name.into(), device: device.into(), failed: None })
    }

    pub(crate) fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    pub(crate) fn go_to(&mut self, at: u64) {
        self.at = at;
    }

    /// None where all that was asked for could be read.
    pub(crate) fn fault(&self) -> Option<Fault> {
        let error = Errno::from_raw(self.failed?);
        let place = self.block().map(|(block, size)| (block, size, device_size(&self.device)));
        Some(describe(&self.name, &self.device, self.at, place, error))
    }

    /// Of the device, and how large its blocks are, for where reading stopped.
    fn block(&self) -> Option<(u64, u64)> {
        let size = sys::block_size(&self.file).ok().filter(|&size| size > 0)?;
        let block = sys::block_of(&self.file, u32::try_from(self.at / size).ok()?).ok()?;
        Some((block, size))
    }
}

impl Read for Reading {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut retries = 0;
        loop {
            match self.file.read_at(buffer, self.at) {
                Ok(len) => {
                    self.at += len as u64;
                    return Ok(len);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if retries < RETRIES => {
                    retries += 1;
                    warn!("/dev/{}: {}: {e} at byte {}: reading it again", self.device, self.name, self.at);
                }
                Err(e) => {
                    self.failed = e.raw_os_error();
                    return Err(e);
                }
            }
        }
    }
}

impl Seek for Reading {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let (from, by) = match to {
            SeekFrom::Start(at) => (at, 0),
            SeekFrom::End(by) => (self.len()?, by),
            SeekFrom::Current(by) => (self.at, by),
        };
        self.at = from.checked_add_signed(by).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

fn device_size(device: &str) -> u64 {
    let sectors = fs::read_to_string(format!("/sys/class/block/{}/size", device.replace('/', "!")));
    sectors.ok().and_then(|sectors| sectors.trim().parse::<u64>().ok()).map_or(u64::MAX, |n| n.saturating_mul(SECTOR))
}

/// `place`: the device's block, a block's size, and the device's.
fn describe(name: &str, device: &str, at: u64, place: Option<(u64, u64, u64)>, error: Errno) -> Fault {
    let error = error.desc();
    let advice = "the medium is damaged or was pulled: clean it, try another port or drive, or write it again";
    match place {
        Some((block, size, end)) if block.saturating_add(1).saturating_mul(size) > end => {
            let what =
                format!("{name}: its byte {at} would be at LBA {block}, and /dev/{device} ends at {}", end / size);
            Fault::new(Code::Truncated, what).advise("the medium is cut short: write it again")
        }
        Some((block, size, _)) => {
            let what = format!(
                "/dev/{device}: LBA {block} (of {size} bytes) cannot be read, after {RETRIES} more tries; \
                 it is byte {at} of {name} ({error})"
            );
            Fault::new(Code::Read, what).advise(advice)
        }
        None => {
            let what =
                format!("/dev/{device}: byte {at} of {name} cannot be read, after {RETRIES} more tries ({error})");
            Fault::new(Code::Read, what).advise(advice)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_told_by_its_place_or_as_cut_off() {
        for (place, code, words) in [
            (Some((100, 2048, 1 << 20)), Code::Read, "/dev/sr0: LBA 100 (of 2048 bytes)"),
            (Some((511, 2048, 1 << 20)), Code::Read, "LBA 511"),
            (Some((512, 2048, 1 << 20)), Code::Truncated, "/dev/sr0 ends at 512"),
            (Some((u64::MAX, 2048, 1 << 20)), Code::Truncated, "ends"),
            (None, Code::Read, "byte 7 of a"),
        ] {
            let fault = describe("a", "sr0", 7, place, Errno::EIO);
            assert!(fault.code == code && fault.what.contains(words), "{fault}");
        }
    }

    #[test]
    fn a_file_that_is_well_is_read_to_its_end() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), "content").unwrap();
        let mut reading = Reading::open(&dir.path().join("a"), "a", "sr0").unwrap();
        assert_eq!(reading.seek(SeekFrom::End(-4)).unwrap(), 3);
        let mut text = String::new();
        reading.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), reading.len().unwrap()), ("tent", 7));
        assert_eq!(reading.fault(), None);
    }

    #[test]
    fn a_directory_in_a_files_place_cannot_be_read_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let mut reading = Reading::open(dir.path(), "live/manifest", "sr0").unwrap();
        assert!(reading.read(&mut [0; 8]).is_err());
        let fault = reading.fault().unwrap();
        assert!(fault.what.contains("live/manifest") && fault.what.contains("/dev/sr0"), "{fault}");
    }
}
