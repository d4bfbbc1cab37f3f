//! What one block device holds. Runs in a worker: any of these calls may
//! block for as long as the device likes.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;

use nix::errno::Errno;
use nix::fcntl::OFlag;

use crate::superblock::{self, Fs, Superblock};
use crate::sys;

/// linux/cdrom.h.
const CDS_NO_DISC: i32 = 1;
const CDS_TRAY_OPEN: i32 = 2;
const CDS_DRIVE_NOT_READY: i32 = 3;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finding {
    Found(Superblock),
    /// Nothing that has a superblock we know.
    Unknown,
    /// A drive without a disc, a reader without a card.
    Empty,
    Error(String),
}

pub(crate) fn probe(name: &str) -> Finding {
    match look(name) {
        Ok(finding) => finding,
        Err(e) if e.raw_os_error() == Some(Errno::ENOMEDIUM as i32) => Finding::Empty,
        Err(e) => Finding::Error(e.to_string()),
    }
}

fn look(name: &str) -> io::Result<Finding> {
    let path = format!("/dev/{name}");
    // O_NONBLOCK: an optical drive's open must not close an open tray.
    let mut file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(&path)?;
    match sys::cdrom_drive_status(&file) {
        Ok(CDS_NO_DISC | CDS_TRAY_OPEN) => return Ok(Finding::Empty),
        // It spins up, and this open waits until it has.
        Ok(CDS_DRIVE_NOT_READY) => file = File::open(&path)?,
        // Every other device refuses the question.
        Ok(_) | Err(_) => {}
    }
    // After the open, which is when the kernel looks how large the disc is.
    let sectors = fs::read_to_string(format!("/sys/class/block/{}/size", name.replace('/', "!")))?;
    let size = sectors.trim().parse::<u64>().unwrap_or(0).saturating_mul(512);
    Ok(superblock::probe(&file, size)?.map_or(Finding::Unknown, Finding::Found))
}

impl Finding {
    /// For a worker's socket: a letter, and fields, each with its length before it.
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Unknown => b"u".into(),
            Self::Empty => b"e".into(),
            Self::Error(why) => [b"!", why.as_bytes()].concat(),
            Self::Found(Superblock { fs, label, uuid, boot_id }) => {
                let boot_id = boot_id.map_or(String::new(), |id| id.to_string());
                let mut bytes = b"f".to_vec();
                for field in [fs.name().as_bytes(), label, uuid.as_bytes(), boot_id.as_bytes()] {
                    // No superblock has a field of 256 bytes or more.
                    let field = &field[..field.len().min(255)];
                    bytes.push(field.len() as u8);
                    bytes.extend(field);
                }
                bytes
            }
        }
    }

    pub(crate) fn decode(bytes: &[u8]) -> Self {
        match bytes.split_first() {
            Some((b'u', _)) => Self::Unknown,
            Some((b'e', _)) => Self::Empty,
            Some((b'!', why)) => Self::Error(String::from_utf8_lossy(why).into_owned()),
            Some((b'f', fields)) => decode_found(fields)
                .map_or_else(|| Self::Error("the process that probed it said something else".into()), Self::Found),
            _ => Self::Error("the process that probed it said nothing".into()),
        }
    }
}

fn decode_found(mut rest: &[u8]) -> Option<Superblock> {
    let mut field = || {
        let (len, bytes) = rest.split_first()?;
        let (field, after) = bytes.split_at_checked(*len as usize)?;
        rest = after;
        Some(field)
    };
    let name = field()?;
    Some(Superblock {
        fs: Fs::ALL.into_iter().find(|fs| fs.name().as_bytes() == name)?,
        label: field()?.to_vec(),
        uuid: String::from_utf8_lossy(field()?).into_owned(),
        boot_id: std::str::from_utf8(field()?).ok()?.parse().ok(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::BootId;

    #[test]
    fn a_finding_comes_back_from_a_worker_as_it_was() {
        let found = Superblock {
            fs: Fs::Iso9660,
            label: b"A\0\xff\n".into(),
            uuid: "2026-11-21".into(),
            boot_id: Some(BootId::new([5; 16])),
        };
        let bare = Superblock { fs: Fs::F2fs, label: Vec::new(), uuid: String::new(), boot_id: None };
        for finding in [
            Finding::Found(found),
            Finding::Found(bare),
            Finding::Unknown,
            Finding::Empty,
            Finding::Error("I/O error".into()),
        ] {
            assert_eq!(Finding::decode(&finding.encode()), finding);
        }
        assert!(matches!(Finding::decode(b""), Finding::Error(_)));
        assert!(matches!(Finding::decode(b"f\xffshort"), Finding::Error(_)));
    }
}
