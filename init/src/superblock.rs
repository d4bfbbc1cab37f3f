//! What a block device holds, told from its first bytes: file system, label
//! and UUID in the forms that blkid(8) prints and that `LABEL=` and `UUID=` of
//! the command line are compared with.
//!
//! Everything read is foreign: no count or offset from the device is trusted
//! without a bound, and what does not fit is "not this file system".

mod ext;
mod fat;
mod iso9660;
mod more;
mod ntfs;
mod table;

use std::fmt::Write;
use std::io;
use std::os::unix::fs::FileExt;

use crate::contract::BootId;
pub use table::{Partition, partition};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fs {
    Iso9660,
    Squashfs,
    Erofs,
    Ext2,
    Ext3,
    Ext4,
    Vfat,
    Exfat,
    Ntfs,
    Xfs,
    Btrfs,
    F2fs,
    /// Known, so that it can be called what it is; nothing here opens it.
    Luks,
}

impl Fs {
    pub const ALL: [Self; 13] = [
        Self::Iso9660,
        Self::Squashfs,
        Self::Erofs,
        Self::Ext2,
        Self::Ext3,
        Self::Ext4,
        Self::Vfat,
        Self::Exfat,
        Self::Ntfs,
        Self::Xfs,
        Self::Btrfs,
        Self::F2fs,
        Self::Luks,
    ];

    /// As mount(2) takes it.
    pub fn name(self) -> &'static str {
        // The alias is `fs-` and the type, for every one of them.
        &self.kmod_alias()[3..]
    }

    /// The modalias of the kmod that mounts it.
    pub fn kmod_alias(self) -> &'static str {
        match self {
            Self::Iso9660 => "fs-iso9660",
            Self::Squashfs => "fs-squashfs",
            Self::Erofs => "fs-erofs",
            Self::Ext2 => "fs-ext2",
            Self::Ext3 => "fs-ext3",
            Self::Ext4 => "fs-ext4",
            Self::Vfat => "fs-vfat",
            Self::Exfat => "fs-exfat",
            Self::Ntfs => "fs-ntfs3",
            Self::Xfs => "fs-xfs",
            Self::Btrfs => "fs-btrfs",
            Self::F2fs => "fs-f2fs",
            Self::Luks => "fs-crypto_LUKS",
        }
    }

    /// What keeps a read-only mount from writing all the same: a journal that
    /// is replayed under a hibernated system destroys it (the kernel's
    /// Documentation/filesystems, `norecovery`).
    pub fn no_replay(self) -> &'static str {
        match self {
            Self::Ext3 | Self::Ext4 => "noload",
            Self::Xfs | Self::Btrfs | Self::F2fs => "norecovery",
            _ => "",
        }
    }

    /// Kmods it asks for by name when it is mounted, through /sbin/modprobe,
    /// which is not there: whichever of them exist are to be loaded before.
    pub fn helpers(self) -> &'static [&'static str] {
        match self {
            // The kernel's default code page and its usual default charsets.
            Self::Vfat => &["nls_cp437", "nls_iso8859_1", "nls_ascii", "nls_utf8"],
            _ => &[],
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock {
    pub fs: Fs,
    /// Bytes that a stranger chose; empty when there is none.
    pub label: Vec<u8>,
    /// Empty when there is none.
    pub uuid: String,
    /// Of our own media only.
    pub boot_id: Option<BootId>,
    /// What it says of its own length, where it does; 0 elsewhere.
    pub len: u64,
}

impl Superblock {
    fn new(fs: Fs, label: Vec<u8>, uuid: String) -> Self {
        Self { fs, label, uuid, boot_id: None, len: 0 }
    }
}

/// See [`crate::reading`].
const RETRIES: u32 = 3;

type Probe = fn(&Device) -> io::Result<Option<Superblock>>;

/// In the order of what each proves. An ISO image does not fill its first
/// 32 KiB, so a magic found there is younger than an ISO behind it, whose
/// descriptors a mkfs may have left. Behind iso9660 stand what an ISO written
/// over it would have left (btrfs, at 64 KiB) and what has no magic (FAT).
const PROBES: [Probe; 11] = [
    more::luks,
    more::squashfs,
    ext::probe,
    more::erofs,
    more::xfs,
    more::f2fs,
    ntfs::probe,
    more::exfat,
    iso9660::probe,
    more::btrfs,
    fat::probe,
];

/// `Ok(None)` is a device with nothing we know on it; an error is one that
/// cannot be read.
pub fn probe(device: &impl FileExt, size: u64) -> io::Result<Option<Superblock>> {
    let device = Device { device, size };
    for probe in PROBES {
        if let Some(superblock) = probe(&device)? {
            return Ok(Some(superblock));
        }
    }
    Ok(None)
}

struct Device<'a> {
    device: &'a dyn FileExt,
    size: u64,
}

impl Device<'_> {
    /// `None` where the device ends before.
    fn read<const N: usize>(&self, offset: u64) -> io::Result<Option<[u8; N]>> {
        let mut bytes = [0; N];
        if offset.checked_add(N as u64).is_none_or(|end| end > self.size) {
            return Ok(None);
        }
        let mut tries = 0;
        loop {
            match self.device.read_exact_at(&mut bytes, offset) {
                Ok(()) => return Ok(Some(bytes)),
                // It got smaller under us: a card was pulled.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                Err(error) if tries == RETRIES => return Err(error),
                Err(_) => tries += 1,
            }
        }
    }
}

fn le16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Up to the first NUL.
fn c_str(bytes: &[u8]) -> Vec<u8> {
    bytes.split(|&b| b == 0).next().unwrap_or_default().to_vec()
}

/// Without the padding behind it.
fn trimmed(bytes: &[u8]) -> Vec<u8> {
    c_str(bytes).trim_ascii_end().to_vec()
}

/// In the form of RFC 9562; all zeros are no UUID.
fn uuid(bytes: &[u8]) -> String {
    let mut text = String::new();
    if bytes.iter().any(|&b| b != 0) {
        for (n, byte) in bytes.iter().enumerate() {
            if matches!(n, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            // Writing into a String cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
    }
    text
}
