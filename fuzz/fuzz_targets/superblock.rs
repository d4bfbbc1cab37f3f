//! A block device from its first byte on, zeros behind what is given; as a file
//! system, and as a disk with a partition table.

#![no_main]

use std::io;
use std::os::unix::fs::FileExt;

use libfuzzer_sys::fuzz_target;

struct Device<'a>(&'a [u8]);

impl FileExt for Device<'_> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let here = usize::try_from(offset).ok().and_then(|at| self.0.get(at..)).unwrap_or_default();
        let known = here.len().min(buffer.len());
        buffer[..known].copy_from_slice(&here[..known]);
        buffer[known..].fill(0);
        Ok(buffer.len())
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
        unreachable!("a probe does not write")
    }
}

fuzz_target!(|data: &[u8]| {
    for size in [data.len() as u64, u64::MAX] {
        let _ = init::superblock::probe(&Device(data), size);
        for number in [0, 1, 5, u32::MAX] {
            let _ = init::superblock::partition(&Device(data), size, number);
        }
    }
});
