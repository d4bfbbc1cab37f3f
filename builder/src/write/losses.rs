//! What is on the target now, and will not be afterwards.

use std::fmt::Write;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use init::superblock::{self, Superblock};
use tree::Escaped;

use super::disk::Disk;
use crate::progress::bytes;

/// A partition, read through its disk.
struct Part<'f> {
    file: &'f File,
    start: u64,
}

impl FileExt for Part<'_> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, self.start + offset)
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Lines for people; `disk` is None for a file.
pub(super) fn describe(target: &str, file: &File, len: u64, disk: Option<&Disk>) -> String {
    let about = disk.map_or("a file", |disk| disk.about.as_str());
    let mut text = format!("{target}: {}, {}\n", bytes(len), if about.is_empty() { "a disk" } else { about });
    let partitions = disk.map(|disk| &disk.partitions[..]).unwrap_or_default();
    if partitions.is_empty() {
        let _ = writeln!(text, "  {}", held(file, 0, len));
    }
    for partition in partitions {
        let held = held(file, partition.start, partition.len);
        let _ = writeln!(text, "  {:<12} {:>11}  {held}", partition.name, bytes(partition.len));
    }
    text
}

fn held(file: &File, start: u64, len: u64) -> String {
    match superblock::probe(&Part { file, start }, len) {
        Ok(Some(Superblock { fs, label, .. })) if label.is_empty() => fs.name().into(),
        Ok(Some(Superblock { fs, label, .. })) => format!("{} {}", fs.name(), Escaped(&label)),
        Ok(None) => "nothing that is known here".into(),
        Err(error) => format!("cannot be read: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::disk::fake;
    use super::*;
    use std::io::Write as _;

    #[test]
    fn partitions_are_listed_with_size_file_system_and_label() {
        let mut file = tempfile::tempfile().unwrap();
        let mut disk_bytes = vec![0; 4 << 20];
        // A squashfs 4.0 at 1 MiB: its magic, block size, version.
        let at = 1 << 20;
        disk_bytes[at..at + 4].copy_from_slice(b"hsqs");
        disk_bytes[at + 28] = 4;
        file.write_all(&disk_bytes).unwrap();
        let part = [("sdb1/partition", "1"), ("sdb1/dev", "8:17"), ("sdb1/start", "2048"), ("sdb1/size", "4096")];
        let disk = fake::disk("pci/usb1/block/sdb", &part);
        let text = describe("/dev/sdb", &file, 4 << 20, Some(&disk));
        assert_eq!(text, "/dev/sdb: 4.00 MiB, USB\n  sdb1            2.00 MiB  squashfs\n");
        let text = describe("x.img", &file, 4 << 20, None);
        assert_eq!(text, "x.img: 4.00 MiB, a file\n  nothing that is known here\n");
    }
}
