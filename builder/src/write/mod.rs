//! Putting an image on a stick. Everything that can be refused is refused in
//! [`Prepared::new`], which changes nothing.

mod contents;
mod copy;
mod disk;
mod gpt;
mod losses;
mod refusal;
mod uses;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use init::contract::medium;
use iso::read::{Iso, ReadError};
use nix::libc;
use tree::Content;

use crate::progress::{Progress, bytes};
use crate::sys;
use contents::{Contents, Patch};
pub use copy::CopyError;
use disk::{DevId, Disk};
use gpt::{ALIGN, SECTOR, Table};
pub use refusal::Refusal;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    pub image: PathBuf,
    /// A disk, or a file that stands for one.
    pub target: PathBuf,
    pub persist: Option<Persist>,
    /// Write to a disk that cannot be taken out.
    pub force: bool,
}

/// How large the partition for what is kept will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persist {
    Bytes(u64),
    Rest,
}

#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("{}", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("{}: there is nothing of that name; for the image of a stick, make a file of its size first", .0.display())]
    NoTarget(PathBuf),
    #[error("{}: neither a disk nor a file", .0.display())]
    NotADisk(PathBuf),
    #[error("{}", path.display())]
    Image { path: PathBuf, source: ReadError },
    #[error("{}: it is cut short: it says it has {}, and there are {}", path.display(), bytes(*says), bytes(*has))]
    CutShort { path: PathBuf, says: u64, has: u64 },
    #[error("{}: not written to:{}", path.display(), listed(refusals))]
    Refused { path: PathBuf, refusals: Vec<Refusal> },
    #[error("{}: in use by another program: {source}", path.display())]
    InUse { path: PathBuf, source: io::Error },
    #[error("no partition for what is kept can be made: {0}")]
    Persist(&'static str),
    #[error("{}", path.display())]
    Copy { path: PathBuf, source: CopyError },
}

fn listed(refusals: &[Refusal]) -> String {
    let lines: Vec<String> = refusals.iter().map(|refusal| format!("\n  {refusal}")).collect();
    lines.concat()
}

/// Where isomd5sum leaves its sum: in the primary descriptor, for applications.
const MEDIA_SUM: usize = 16 * iso::SECTOR + 883;

/// Nothing smaller is worth a file system.
const PERSIST_MIN: u64 = 16 << 20;

/// A target that was found fit, held so that nobody else takes it.
#[derive(Debug)]
pub struct Prepared {
    file: File,
    path: PathBuf,
    is_disk: bool,
    contents: Contents,
    /// What is on the target, in lines for people.
    pub losses: String,
    pub notes: Vec<String>,
}

impl Prepared {
    pub fn new(request: &Request) -> Result<Self, WriteError> {
        let Request { image: image_path, target, persist, force } = request;
        let (image, image_meta) = open_image(image_path)?;
        let meta = fs::metadata(target).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => WriteError::NoTarget(target.clone()),
            _ => WriteError::Open { path: target.clone(), source },
        })?;
        let kind = meta.file_type();
        if !kind.is_block_device() && !kind.is_file() {
            return Err(WriteError::NotADisk(target.clone()));
        }
        let open = |source| WriteError::Open { path: target.clone(), source };
        let load = || Disk::load(Path::new("/sys"), DevId::from_raw(meta.rdev()));
        let disk = kind.is_block_device().then(load).transpose().map_err(open)?;
        let (len, sector) = disk.as_ref().map_or((meta.len(), SECTOR), |disk| (disk.len, disk.sector));

        let mut notes = Vec::new();
        let mut table = sound_table(&image, image_path, sector, &mut notes)?;
        let span = match (persist, &mut table) {
            (None, _) => None,
            (Some(_), None) => return Err(WriteError::Persist("the image has no GPT that could take one")),
            (Some(persist), Some(table)) => Some((*persist, table.room(image.len(), len))),
        };
        let need = match span {
            None => image.len().next_multiple_of(SECTOR),
            // The backup table takes less than one more of these.
            Some((persist, room)) => room.start + persist.least() + ALIGN,
        };
        let refusals = match &disk {
            Some(disk) => {
                let uses = uses::load().map_err(open)?;
                refusal::refusals(disk, &uses, DevId::from_raw(image_meta.dev()), need, *force)
            }
            None if (meta.dev(), meta.ino()) == (image_meta.dev(), image_meta.ino()) => vec![Refusal::HoldsImage],
            None if len < need => vec![Refusal::TooSmall { has: len, need }],
            None => Vec::new(),
        };
        if !refusals.is_empty() {
            return Err(WriteError::Refused { path: target.clone(), refusals });
        }
        let file = open_target(target, disk.is_some())?;

        let span = span.map(|(persist, room)| persist.within(room));
        if let (Some(span), Some(table)) = (span, &mut table) {
            if !table.add(medium::PERSIST_PARTLABEL, span) {
                return Err(WriteError::Persist("the image's GPT is full"));
            }
            notes.push(format!(
                "the partition {} of {} has no file system yet: `mkfs.ext4 /dev/disk/by-partlabel/{0}` makes one",
                medium::PERSIST_PARTLABEL,
                bytes(span.end - span.start)
            ));
        }
        // A file's size need not be that of any disk.
        let disk_len = len / SECTOR * SECTOR;
        let at = image.open_at().map_err(|source| WriteError::Open { path: image_path.clone(), source })?;
        let losses = losses::describe(&target.display().to_string(), &file, len, disk.as_ref());
        let contents = Contents::new(at, image.len(), disk_len, table.as_ref(), span);
        Ok(Self { file, path: target.clone(), is_disk: disk.is_some(), contents, losses, notes })
    }

    /// Writes, reads back and compares.
    pub fn write(self, progress: &Progress) -> Result<(), WriteError> {
        let failed = |source| WriteError::Copy { path: self.path.clone(), source };
        let len = self.contents.len();
        let step = progress.step("write", Some(len));
        copy::write(&self.contents, &self.file, &mut |done| step.at(done)).map_err(failed)?;
        step.done(&bytes(len));
        let step = progress.step("verify", Some(len));
        copy::verify(&self.contents, &self.file, &mut |done| step.at(done)).map_err(failed)?;
        step.done("all of it reads back as it was written");
        if self.is_disk && sys::reread_partitions(&self.file).is_err() {
            // The stick is right; only this kernel has an old picture of it.
            progress
                .note("note: the kernel did not read the new partition table: pull the stick out and put it in again");
        }
        Ok(())
    }
}

fn open_image(path: &Path) -> Result<(Content, fs::Metadata), WriteError> {
    let opened = File::open(path).and_then(|file| Ok((file.metadata()?, file)));
    let (meta, file) = opened.map_err(|source| WriteError::Open { path: path.into(), source })?;
    let image = Content::span(Arc::new(file), path.display().to_string(), 0, meta.len());
    let iso = Iso::open(image.clone()).map_err(|source| WriteError::Image { path: path.into(), source })?;
    if iso.volume_len() > meta.len() {
        return Err(WriteError::CutShort { path: path.into(), says: iso.volume_len(), has: meta.len() });
    }
    Ok((image, meta))
}

/// The image's GPT, if it is one to be moved. What is wrong is left as it is:
/// some images have a GPT that is wrong on purpose.
fn sound_table(
    image: &Content,
    path: &Path,
    sector: u64,
    notes: &mut Vec<String>,
) -> Result<Option<Table>, WriteError> {
    let wrong = |source| WriteError::Image { path: path.into(), source };
    let found = Iso::open(image.clone()).and_then(|iso| iso.partitions()).map_err(wrong)?;
    if found.mbr.is_empty() {
        notes.push("the image has no partition table: no firmware starts it from a stick".into());
    }
    let Some(gpt) = found.gpt else { return Ok(None) };
    if let Some(problem) = gpt.problems.first() {
        notes.push(format!("the image's GPT is left as it is: {problem}"));
        return Ok(None);
    }
    if sector != SECTOR {
        notes.push(format!(
            "the image's GPT is for sectors of {SECTOR} bytes, and this disk has {sector}: left as it is"
        ));
        return Ok(None);
    }
    let head = image.open_at().and_then(|at| at.read(0, Table::HEAD_LEN.min(image.len())));
    let head = head.map_err(|source| wrong(source.into()))?;
    if head.get(MEDIA_SUM..).is_some_and(|rest| rest.starts_with(b"ISO MD5SUM")) {
        notes.push(
            "the table is made to fit the stick, so isomd5sum's check holds for the image and not for the stick".into(),
        );
    }
    Ok(Table::parse(&head))
}

/// A disk exclusively: the kernel refuses that for one in use.
fn open_target(path: &Path, is_disk: bool) -> Result<File, WriteError> {
    let flags = if is_disk { libc::O_EXCL } else { 0 };
    let opened = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path);
    opened.map_err(|source| match source.kind() {
        io::ErrorKind::ResourceBusy => WriteError::InUse { path: path.into(), source },
        _ => WriteError::Open { path: path.into(), source },
    })
}

impl Persist {
    fn least(self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.next_multiple_of(ALIGN),
            Self::Rest => PERSIST_MIN,
        }
    }

    fn within(self, room: gpt::Span) -> gpt::Span {
        match self {
            Self::Bytes(bytes) => gpt::Span { end: room.start + bytes.next_multiple_of(ALIGN), ..room },
            Self::Rest => room,
        }
    }
}

impl FromStr for Persist {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "rest" {
            return Ok(Self::Rest);
        }
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let shift = match unit {
            "MiB" => Some(20),
            "GiB" => Some(30),
            "TiB" => Some(40),
            _ => None,
        };
        let size = shift.and_then(|shift| number.parse::<u64>().ok()?.checked_mul(1 << shift));
        match size {
            Some(size) if (PERSIST_MIN..1 << 60).contains(&size) => Ok(Self::Bytes(size)),
            Some(_) => Err(format!("from {} to less than 1 EiB", bytes(PERSIST_MIN))),
            None => Err("a size as 512MiB, 4GiB or 1TiB, or `rest`".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit_and_make_sense() {
        for (text, read) in [
            ("rest", Some(Persist::Rest)),
            ("4GiB", Some(Persist::Bytes(4 << 30))),
            ("16MiB", Some(Persist::Bytes(16 << 20))),
            ("15MiB", None),
            ("4", None),
            ("4GB", None),
            ("GiB", None),
            ("-1GiB", None),
            ("99999999999TiB", None),
            ("2000000TiB", None),
        ] {
            assert_eq!(text.parse::<Persist>().ok(), read, "{text}");
        }
    }
}
