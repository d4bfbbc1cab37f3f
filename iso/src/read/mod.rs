//! Images made by anybody, read without trusting a byte of them: every
//! extent is held against the image's length, every chain has an end, and
//! what is read and kept in all is bounded ([`budget`]).

mod boot;
pub(crate) mod budget;
pub(crate) mod fields;
mod partitions;
mod record;
mod susp;
mod walk;

use std::io;

use tree::{Conflict, Content, ContentAt, PathError, Tree, TreePath};

use crate::format::{SECTOR, STANDARD_ID, SYSTEM_AREA_SECTORS, descriptor_type};
use crate::joliet;
pub use boot::BootEntry;
use budget::Exceeded;
use fields::{text, u32_le};
pub use partitions::{Gpt, GptPartition, Guid, MbrPartition, Partitions};
use record::Record;

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("cannot read the image")]
    Io(#[from] io::Error),
    #[error("this is no ISO 9660 image: {0}")]
    NotAnImage(&'static str),
    #[error("{path}: damaged at byte {offset} of the image: {problem}")]
    Damaged { path: TreePath, offset: u64, problem: &'static str },
    #[error("the boot catalog is damaged at byte {offset} of the image: {problem}")]
    Catalog { offset: u64, problem: &'static str },
    #[error("{path} ends at byte {end}, and the image has {len}: it is cut short or damaged")]
    PastEnd { path: TreePath, end: u64, len: u64 },
    #[error("{path}: {what} cannot be read here")]
    Unsupported { path: TreePath, what: &'static str },
    #[error("{path}: {what} than any sound image has")]
    Excessive { path: TreePath, what: &'static str },
    #[error("{path}: a name in it cannot be used")]
    Name { path: TreePath, source: PathError },
    #[error(transparent)]
    Conflict(#[from] Conflict),
}

impl From<Exceeded> for ReadError {
    fn from(Exceeded { path, what }: Exceeded) -> Self {
        Self::Excessive { path, what }
    }
}

/// Which names a tree is read with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// POSIX names, owners, modes, symlinks, devices.
    RockRidge,
    Joliet,
    /// ISO 9660's own, in lower case and without their version, as Linux
    /// shows them.
    Plain,
}

/// An image whose volume descriptors were found.
#[derive(Debug)]
pub struct Iso {
    image: Content,
    at: ContentAt,
    primary: Descriptor,
    joliet: Option<Record>,
    catalog: Option<u32>,
    rock_ridge: Option<susp::Use>,
}

/// What the primary descriptor says (ECMA-119 8.4). Texts are without their
/// filling; what is not UTF-8 in them is replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Descriptor {
    volume_id: String,
    volume_set: String,
    publisher: String,
    preparer: String,
    application: String,
    sectors: u32,
    root: Record,
}

/// Descriptors end at a terminator; where it is missing, the search does.
const DESCRIPTORS_MAX: u32 = 64;

impl Iso {
    /// Reads the volume descriptors. The image may be a file, a slice of one
    /// or bytes, and may be cut short: what is missing is told when it is
    /// asked for.
    pub fn open(image: Content) -> Result<Self, ReadError> {
        let at = image.open_at()?;
        let mut primary = None;
        let mut joliet = None;
        let mut catalog = None;
        for lba in SYSTEM_AREA_SECTORS..SYSTEM_AREA_SECTORS + DESCRIPTORS_MAX {
            let offset = u64::from(lba) * SECTOR as u64;
            if offset + SECTOR as u64 > image.len() {
                break;
            }
            let sector = at.read(offset, SECTOR as u64)?;
            if &sector[1..6] != STANDARD_ID {
                break;
            }
            match sector[0] {
                descriptor_type::PRIMARY if primary.is_none() => primary = Some(Descriptor::parse(&sector)?),
                descriptor_type::SUPPLEMENTARY if joliet.is_none() && joliet::is_escape(&sector[88..91]) => {
                    joliet = Record::parse(&sector[156..190]);
                }
                descriptor_type::BOOT_RECORD if sector[7..].starts_with(crate::el_torito::SYSTEM_ID) => {
                    catalog = u32_le(&sector, 0x47);
                }
                descriptor_type::TERMINATOR => break,
                _ => {}
            }
        }
        let primary = primary.ok_or(ReadError::NotAnImage("there is no primary volume descriptor at byte 32768"))?;
        let rock_ridge = susp::find(&at, image.len(), &primary.root)?;
        Ok(Self { image, at, primary, joliet, catalog, rock_ridge })
    }

    pub fn volume_id(&self) -> &str {
        &self.primary.volume_id
    }

    pub fn volume_set(&self) -> &str {
        &self.primary.volume_set
    }

    pub fn publisher(&self) -> &str {
        &self.primary.publisher
    }

    pub fn preparer(&self) -> &str {
        &self.primary.preparer
    }

    pub fn application(&self) -> &str {
        &self.primary.application
    }

    /// How long the volume says it is; an image that is shorter was cut.
    pub fn volume_len(&self) -> u64 {
        u64::from(self.primary.sectors) * SECTOR as u64
    }

    pub fn has_joliet(&self) -> bool {
        self.joliet.is_some()
    }

    pub fn has_rock_ridge(&self) -> bool {
        self.rock_ridge.is_some()
    }

    /// El Torito's boot images; none when there is no boot record.
    pub fn boot_entries(&self) -> Result<Vec<BootEntry>, ReadError> {
        match self.catalog {
            Some(lba) => boot::entries(&self.at, self.image.len(), lba),
            None => Ok(Vec::new()),
        }
    }

    /// The partition tables that make the image a disk.
    pub fn partitions(&self) -> Result<Partitions, ReadError> {
        partitions::find(&self.at, self.image.len())
    }

    /// The tree with the richest names that the image has.
    pub fn tree(&self) -> Result<Tree, ReadError> {
        let names = match (&self.rock_ridge, &self.joliet) {
            (Some(_), _) => Names::RockRidge,
            (None, Some(_)) => Names::Joliet,
            (None, None) => Names::Plain,
        };
        self.tree_with(names)
    }

    /// The tree with one kind of names; an error if the image lacks them.
    pub fn tree_with(&self, names: Names) -> Result<Tree, ReadError> {
        let lacking = |what| ReadError::Unsupported { path: TreePath::root(), what };
        let (root, susp) = match names {
            Names::Plain => (&self.primary.root, None),
            Names::Joliet => (self.joliet.as_ref().ok_or(lacking("an image without Joliet"))?, None),
            Names::RockRidge => {
                let susp = self.rock_ridge.ok_or(lacking("an image without Rock Ridge"))?;
                (&self.primary.root, Some(susp))
            }
        };
        walk::walk(&self.image, &self.at, root, names, susp)
    }
}

impl Descriptor {
    fn parse(sector: &[u8]) -> Result<Self, ReadError> {
        if sector[128..130] != (SECTOR as u16).to_le_bytes() {
            return Err(ReadError::NotAnImage("its blocks are not 2048 bytes long"));
        }
        Ok(Self {
            volume_id: text(&sector[40..72]),
            volume_set: text(&sector[190..318]),
            publisher: text(&sector[318..446]),
            preparer: text(&sector[446..574]),
            application: text(&sector[574..702]),
            sectors: u32_le(sector, 80).unwrap_or(0),
            root: Record::parse(&sector[156..190]).ok_or(ReadError::NotAnImage("its root record is damaged"))?,
        })
    }
}
