//! Images made by the tools of each file system, probed by us and by blkid.

mod oracle;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use init::contract::BootId;
use init::superblock::{Fs, Superblock, probe};

struct Row {
    fs: Fs,
    /// Of the empty file that the tool formats; 0 where it makes the file.
    size: u64,
    /// `@` is the image.
    make: &'static str,
}

const fn row(fs: Fs, size: u64, make: &'static str) -> Row {
    Row { fs, size, make }
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

const ROWS: &[Row] = &[
    row(Fs::Ext2, 4 * MIB, "mkfs.ext2 -q -F -L two @"),
    row(Fs::Ext3, 8 * MIB, "mkfs.ext3 -q -F -L three @"),
    row(Fs::Ext4, 8 * MIB, "mkfs.ext4 -q -F -L sixteen-letters- @"),
    row(Fs::Ext4, 8 * MIB, "mkfs.ext4 -q -F -b 4096 @"),
    row(Fs::Ext4, 8 * MIB, "mkfs.ext4 -q -F -O ^has_journal -U 00112233-4455-6677-8899-aabbccddeeff @"),
    row(Fs::Vfat, 1440 * KIB, "mkfs.vfat -F 12 -n FLOPPY @"),
    row(Fs::Vfat, 1440 * KIB, "mkfs.vfat @"),
    row(Fs::Vfat, 32 * MIB, "mkfs.vfat -F 16 -n SIXTEEN -i 0000beef @"),
    row(Fs::Vfat, 40 * MIB, "mkfs.vfat -F 32 -n THIRTY-TWO @"),
    row(Fs::Vfat, 40 * MIB, "mkfs.vfat -F 32 @"),
    row(Fs::Vfat, 300 * MIB, "mkfs.vfat -F 32 -S 4096 -s 1 -n LARGE @"),
    row(Fs::Vfat, 40 * MIB, "mkfs.vfat -F 32 -a -R 64 -f 1 -n ONE_FAT @"),
    row(Fs::Exfat, 8 * MIB, "mkfs.exfat -L exfat-label @"),
    row(Fs::Exfat, 8 * MIB, "mkfs.exfat @"),
    row(Fs::Ntfs, 8 * MIB, "mkfs.ntfs -q -F -Q -L ntfs-label @"),
    row(Fs::Ntfs, 8 * MIB, "mkfs.ntfs -q -F -Q -c 65536 @"),
    row(Fs::Xfs, 300 * MIB, "mkfs.xfs -q -L xfs-label @"),
    row(Fs::Btrfs, 128 * MIB, "mkfs.btrfs -q -L btrfs-label @"),
    row(Fs::F2fs, 64 * MIB, "mkfs.f2fs -q -l f2fs-label @"),
    row(Fs::Luks, 32 * MIB, "cryptsetup luksFormat -q --label luks-label --pbkdf pbkdf2 --iter-time 1 @ SRC/file"),
    row(Fs::Luks, 32 * MIB, "cryptsetup luksFormat -q --type luks1 --iter-time 1 @ SRC/file"),
    row(Fs::Erofs, 0, "mkfs.erofs --quiet @ SRC"),
    row(Fs::Squashfs, 0, "mksquashfs SRC @ -quiet -no-progress"),
    row(Fs::Iso9660, 0, "xorriso -as mkisofs -quiet -V AURORA -o @ SRC"),
    row(Fs::Iso9660, 0, "xorriso -as mkisofs -quiet -R -J -V AURORA_12_LIVE -volset VOLUMES -o @ SRC"),
    row(Fs::Iso9660, 0, "xorriso -as mkisofs -quiet --modification-date=2031020304050607 -V DATED -o @ SRC"),
    row(Fs::Iso9660, 0, "genisoimage -quiet -V GENISO -o @ SRC"),
];

fn made(row: &Row, dir: &Path) -> Option<File> {
    let source = dir.join("source");
    fs::create_dir_all(&source).unwrap();
    fs::write(source.join("file"), "contents").unwrap();
    let image = dir.join("image");
    if row.size > 0 {
        File::create(&image).unwrap().set_len(row.size).unwrap();
    }
    let [at, from] = [&image, &source].map(|path| path.to_str().unwrap());
    let words: Vec<String> = row.make.split(' ').map(|word| word.replace("SRC", from).replace('@', at)).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    oracle::make(words[0], &words[1..])?;
    Some(File::options().read(true).write(true).open(image).unwrap())
}

fn probe_file(image: &File) -> Option<Superblock> {
    probe(image, image.metadata().unwrap().len()).unwrap()
}

#[test]
fn every_file_system_is_told_as_blkid_tells_it() {
    for row in ROWS {
        let dir = tempfile::tempdir().unwrap();
        let Some(image) = made(row, dir.path()) else { continue };
        let found = probe_file(&image).unwrap_or_else(|| panic!("{}: nothing found", row.make));
        assert_eq!(found.fs, row.fs, "{}", row.make);

        let path = dir.path().join("image");
        let Some(blkid) = oracle::run("blkid", &["-p", "-o", "export", path.to_str().unwrap()]) else { continue };
        let blkid = String::from_utf8(blkid.stdout).unwrap();
        let said = |key: &str| blkid.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
        // Ours is what mounts it.
        let name = if found.fs == Fs::Ntfs { "ntfs" } else { found.fs.name() };
        assert_eq!(name, said("TYPE="), "{}", row.make);
        assert_eq!(String::from_utf8_lossy(&found.label), said("LABEL="), "{}", row.make);
        assert_eq!(found.uuid, said("UUID="), "{}", row.make);
    }
}

#[test]
fn the_label_of_a_fat_is_the_one_in_its_root_directory() {
    let dir = tempfile::tempdir().unwrap();
    let rows = [
        row(Fs::Vfat, 4 * MIB, "mkfs.vfat -F 12 -n OLD @"),
        row(Fs::Vfat, 32 * MIB, "mkfs.vfat -F 16 -n OLD @"),
        row(Fs::Vfat, 40 * MIB, "mkfs.vfat -F 32 -n OLD @"),
    ];
    for row in &rows {
        let Some(image) = made(row, dir.path()) else { return };
        let path = dir.path().join("image");
        // mlabel changes the directory and the boot sector: put the old one back there.
        let mut sector = [0; 512];
        image.read_exact_at(&mut sector, 0).unwrap();
        let Some(()) = oracle::make("mlabel", &["-i", path.to_str().unwrap(), "::NEW"]) else { return };
        image.write_all_at(&sector, 0).unwrap();
        assert_eq!(probe_file(&image).unwrap().label, b"NEW", "{}", row.make);
    }
}

#[test]
fn a_medium_of_ours_is_known_by_its_boot_id() {
    let dir = tempfile::tempdir().unwrap();
    let id = BootId::new(*b"0123456789abcdef");
    let make = format!("xorriso -as mkisofs -quiet -V X -volset {} -o @ SRC", id.volume_set()).leak();
    let Some(image) = made(&row(Fs::Iso9660, 0, make), dir.path()) else { return };
    assert_eq!(probe_file(&image).unwrap().boot_id, Some(id));
}

/// A disk that was an ISO medium once and is an ext4 now keeps descriptors
/// that mkfs did not write over.
#[test]
fn what_was_there_before_is_not_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let Some(image) = made(&row(Fs::Iso9660, 0, "xorriso -as mkisofs -quiet -V OLD -o @ SRC"), dir.path()) else {
        return;
    };
    let mut descriptors = vec![0; 16 << 10];
    image.read_exact_at(&mut descriptors, 32 << 10).unwrap();
    for make in ["mkfs.ext4 -q -F -L NEW @", "mksquashfs SRC @ -quiet -no-progress"] {
        let dir = tempfile::tempdir().unwrap();
        let size = if make.starts_with("mkfs") { 8 * MIB } else { 0 };
        let Some(image) = made(&row(Fs::Ext4, size, make), dir.path()) else { return };
        image.write_all_at(&descriptors, 32 << 10).unwrap();
        assert_ne!(probe_file(&image).unwrap().fs, Fs::Iso9660, "{make}");
    }
}

#[test]
fn nothing_is_found_where_nothing_is() {
    let pattern: Vec<u8> = (0..200_000_u32).map(|n| (n % 253 * n % 251) as u8).collect();
    for bytes in [vec![], vec![0; 100], vec![0; 200_000], vec![0xff; 200_000], pattern] {
        assert_eq!(probe(&Bytes(&bytes), bytes.len() as u64).unwrap(), None);
    }
    // A partition table is no FAT for all that they share a signature.
    let mut sector = [0; 4096];
    sector[446..462].copy_from_slice(&[0x80, 0, 2, 0, 0x17, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 8, 0, 0]);
    sector[510..512].copy_from_slice(&[0x55, 0xaa]);
    assert_eq!(probe(&Bytes(&sector), 4096).unwrap(), None);
}

/// The start of an image, the rest of it as far as `len` being zeros.
struct Bytes<'a>(&'a [u8]);

impl FileExt for Bytes<'_> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = self.0.get(offset as usize..).unwrap_or_default();
        let n = rest.len().min(buffer.len());
        buffer[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}

#[test]
fn a_damaged_superblock_never_panics_and_never_reads_for_ever() {
    for row in ROWS {
        let dir = tempfile::tempdir().unwrap();
        let Some(image) = made(row, dir.path()) else { continue };
        let mut head = vec![0; 128 << 10];
        let len = image.read_at(&mut head, 0).unwrap();
        head.truncate(len);
        for cut in (0..head.len()).step_by(509) {
            let _ = probe(&Bytes(&head[..cut]), cut as u64);
            // The device claims more than it gives.
            let _ = probe(&Bytes(&head[..cut]), u64::MAX);
        }
        // Each byte that a probe looks at, with values that break arithmetic.
        let looked_at = (0..96).chain(1024..1024 + 256).chain(0x8000..0x8000 + 352).chain(0x10000..0x10000 + 0x22b);
        for at in looked_at.filter(|&at| at < len) {
            let good = head[at];
            for bad in [0, 1, 0x7f, 0x80, 0xff, !good] {
                head[at] = bad;
                let _ = probe(&Bytes(&head), u64::MAX);
            }
            head[at] = good;
        }
    }
}

#[test]
fn a_device_that_cannot_be_read_is_an_error() {
    struct Dead;
    impl FileExt for Dead {
        fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
            Err(io::Error::from_raw_os_error(5))
        }
        fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
            unreachable!("a probe does not write")
        }
    }
    assert!(probe(&Dead, MIB).is_err());
}
