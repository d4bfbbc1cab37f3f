//! What one block device holds. Runs in a worker: any of these calls may
//! block for as long as the device likes.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;

use crate::superblock::{self, Fs, Partition, Superblock};
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

/// What was found, and what the partition table calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Probed {
    pub finding: Finding,
    pub partition: Partition,
}

pub(crate) fn probe(name: &str) -> Probed {
    // A disk whose table cannot be read is not worse for what is on it.
    Probed { finding: find(name), partition: partition(name).unwrap_or_default() }
}

fn find(name: &str) -> Finding {
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
    Ok(superblock::probe(&file, size(&sys_of(name))?)?.map_or(Finding::Unknown, Finding::Found))
}

fn partition(name: &str) -> io::Result<Partition> {
    let sys = sys_of(name);
    let Ok(number) = fs::read_to_string(sys.join("partition")) else { return Ok(Partition::default()) };
    let disk = fs::canonicalize(sys)?.parent().map(Path::to_owned).unwrap_or_default();
    let name = disk.file_name().unwrap_or_default().to_string_lossy().replace('!', "/");
    superblock::partition(&File::open(Path::new("/dev").join(name))?, size(&disk)?, number.trim().parse().unwrap_or(0))
}

fn sys_of(name: &str) -> PathBuf {
    Path::new("/sys/class/block").join(name.replace('/', "!"))
}

fn size(sys: &Path) -> io::Result<u64> {
    let sectors = fs::read_to_string(sys.join("size"))?;
    Ok(sectors.trim().parse::<u64>().unwrap_or(0).saturating_mul(512))
}

impl Probed {
    /// For a worker's socket: the partition's two fields go first.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        push_field(&mut bytes, self.partition.uuid.as_bytes());
        push_field(&mut bytes, &self.partition.label);
        bytes.extend(self.finding.encode());
        bytes
    }

    pub(crate) fn decode(mut bytes: &[u8]) -> Self {
        let uuid = take_field(&mut bytes).map(|uuid| String::from_utf8_lossy(uuid).into_owned()).unwrap_or_default();
        let label = take_field(&mut bytes).unwrap_or_default().to_vec();
        Self { finding: Finding::decode(bytes), partition: Partition { uuid, label } }
    }

    pub(crate) fn died() -> Self {
        let finding = Finding::Error("the process that probed it died".into());
        Self { finding, partition: Partition::default() }
    }
}

/// Its length in front; no field of a superblock has 256 bytes or more.
fn push_field(bytes: &mut Vec<u8>, field: &[u8]) {
    let field = &field[..field.len().min(255)];
    bytes.push(field.len() as u8);
    bytes.extend(field);
}

fn take_field<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, bytes) = rest.split_first()?;
    let (field, after) = bytes.split_at_checked(*len as usize)?;
    *rest = after;
    Some(field)
}

impl Finding {
    /// A letter, and fields.
    fn encode(&self) -> Vec<u8> {
        match self {
            Self::Unknown => b"u".into(),
            Self::Empty => b"e".into(),
            Self::Error(why) => [b"!", why.as_bytes()].concat(),
            Self::Found(Superblock { fs, label, uuid, boot_id, len }) => {
                let boot_id = boot_id.map_or(String::new(), |id| id.to_string());
                let mut bytes = b"f".to_vec();
                for field in [fs.name().as_bytes(), label, uuid.as_bytes(), boot_id.as_bytes(), &len.to_le_bytes()] {
                    push_field(&mut bytes, field);
                }
                bytes
            }
        }
    }

    fn decode(bytes: &[u8]) -> Self {
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
    let mut field = || take_field(&mut rest);
    let name = field()?;
    Some(Superblock {
        fs: Fs::ALL.into_iter().find(|fs| fs.name().as_bytes() == name)?,
        label: field()?.to_vec(),
        uuid: String::from_utf8_lossy(field()?).into_owned(),
        boot_id: std::str::from_utf8(field()?).ok()?.parse().ok(),
        len: u64::from_le_bytes(field()?.try_into().ok()?),
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
            len: u64::MAX,
        };
        let bare = Superblock { fs: Fs::F2fs, label: Vec::new(), uuid: String::new(), boot_id: None, len: 0 };
        for finding in [
            Finding::Found(found),
            Finding::Found(bare),
            Finding::Unknown,
            Finding::Empty,
            Finding::Error("I/O error".into()),
        ] {
            let partition = Partition { uuid: "1234abcd-01".into(), label: b"live\xff".into() };
            let probed = Probed { finding, partition };
            assert_eq!(Probed::decode(&probed.encode()), probed);
        }
        for bytes in [&b""[..], b"\xff", b"\0", b"\0\0f\xffshort", b"\0\0"] {
            assert!(matches!(Probed::decode(bytes).finding, Finding::Error(_)), "{bytes:?}");
        }
    }
}
