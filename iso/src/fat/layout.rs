//! Where every byte of a FAT image goes, decided before the first is written.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;

use tree::{Content, TreePath};

use super::boot_sector;
use super::directory::{Hierarchy, NO_LABEL, Places};
use super::format::{ENTRY, FIRST_CLUSTER, FatKind, MEDIUM, SECTOR};
use super::geometry::{Geometry, Needs, TABLES};
use super::{FatError, FatImage};
use crate::format::SECTOR as DISC_SECTOR;
use crate::layout::Extent;
use crate::sink::{self, Sink};
use crate::system_area::crc32;
use crate::write::WriteError;

/// See [`layout`]. Cheap to clone.
#[derive(Debug, Clone)]
pub struct FatLayout {
    kind: FatKind,
    len: u64,
    pieces: Arc<[Placed]>,
    extents: Arc<HashMap<TreePath, Extent>>,
}

/// What begins at a byte of the image.
#[derive(Debug)]
struct Placed {
    offset: u64,
    piece: Piece,
}

#[derive(Debug)]
enum Piece {
    Bytes(Arc<[u8]>),
    File { path: TreePath, content: Content },
}

/// A run of clusters that one directory or file stands in.
#[derive(Debug, Clone, Copy)]
struct Chain {
    first: u32,
    clusters: u32,
}

/// Decides where everything goes: tables, directories in the tree's order,
/// then files in the tree's order, each in one run.
pub fn layout(image: &FatImage<'_>) -> Result<FatLayout, FatError> {
    let label = checked_label(&image.label)?;
    let hierarchy = Hierarchy::new(image.tree, label.is_some())?;
    let directory_lens: Vec<u64> =
        (0..hierarchy.directories.len()).map(|n| (hierarchy.entries(n) * ENTRY) as u64).collect();
    let contents: Vec<&Content> = hierarchy.files.iter().filter_map(tree::Item::content).collect();
    let file_lens: Vec<u64> = contents.iter().map(|content| content.len()).collect();
    let needs = Needs {
        root_entries: hierarchy.entries(0),
        directories: &directory_lens[1..],
        files: &file_lens,
        min_len: image.min_len,
    };
    let geometry = Geometry::for_needs(needs).ok_or(FatError::TooLarge)?;

    let mut cursor = Cursor { next: FIRST_CLUSTER, chains: Vec::new() };
    let directories: Vec<u32> = directory_lens
        .iter()
        .enumerate()
        .map(|(n, &len)| match geometry.kind {
            FatKind::Fat12 | FatKind::Fat16 if n == 0 => 0,
            _ => cursor.take(geometry.clusters_for(len).max(1)),
        })
        .collect();
    let align = geometry.file_align();
    let file = |&len: &u64| {
        if len == 0 {
            // Nothing has no cluster.
            return 0;
        }
        cursor.next = (cursor.next - FIRST_CLUSTER).next_multiple_of(align) + FIRST_CLUSTER;
        cursor.take(geometry.clusters_for(len))
    };
    let files: Vec<u32> = file_lens.iter().map(file).collect();

    let used: u64 = cursor.chains.iter().map(|chain| u64::from(chain.clusters)).sum();
    let serial = crc32(&[image.label.as_bytes(), &image.epoch.to_le_bytes()].concat());
    let shown = label.as_ref().unwrap_or(NO_LABEL);
    let head = boot_sector::reserved(&geometry, shown, serial, cursor.next, geometry.clusters - used);
    let places = Places { directories: &directories, files: &files, label: shown, epoch: image.epoch };
    let table: Arc<[u8]> = table(&geometry, &cursor.chains).into();

    let bytes = |offset, bytes: Vec<u8>| Placed { offset, piece: Piece::Bytes(bytes.into()) };
    let mut pieces = vec![bytes(0, head)];
    for n in 0..TABLES {
        let offset = (geometry.reserved + n * geometry.table) * SECTOR;
        pieces.push(Placed { offset, piece: Piece::Bytes(table.clone()) });
    }
    let root = (geometry.reserved + TABLES * geometry.table) * SECTOR;
    for (n, &cluster) in directories.iter().enumerate() {
        let offset = if cluster == 0 { root } else { geometry.offset(cluster) };
        pieces.push(bytes(offset, hierarchy.render(n, &places)));
    }
    let mut extents = HashMap::new();
    for ((item, &content), &cluster) in hierarchy.files.iter().zip(&contents).zip(&files) {
        if cluster == 0 {
            extents.insert(item.path.clone(), Extent::default());
            continue;
        }
        let offset = geometry.offset(cluster);
        extents.insert(item.path.clone(), Extent { lba: (offset / DISC_SECTOR as u64) as u32, len: content.len() });
        pieces.push(Placed { offset, piece: Piece::File { path: item.path.clone(), content: content.clone() } });
    }
    let len = geometry.total * SECTOR;
    Ok(FatLayout { kind: geometry.kind, len, pieces: pieces.into(), extents: Arc::new(extents) })
}

impl FatLayout {
    /// The image's length in bytes, a multiple of 32 KiB.
    #[allow(clippy::len_without_is_empty)] // no image is empty
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn kind(&self) -> FatKind {
        self.kind
    }

    /// Where the content of the file at `path` stands, in sectors of 2048
    /// bytes from the image's beginning; an empty file stands nowhere. `None`
    /// for what is no file of this image.
    pub fn extent(&self, path: &TreePath) -> Option<Extent> {
        self.extents.get(path).copied()
    }

    /// Appends the whole image to `out`; `progress` is told from time to time
    /// how many bytes have been written.
    pub fn write(&self, out: &mut dyn Write, progress: &mut dyn FnMut(u64)) -> Result<(), WriteError> {
        sink::write(out, progress, |sink| self.append(sink))
    }

    /// The same behind what has been written so far.
    pub(crate) fn append(&self, sink: &mut Sink) -> Result<(), WriteError> {
        let start = sink.position();
        for placed in &*self.pieces {
            sink.zeros_to(start + placed.offset).map_err(WriteError::Output)?;
            match &placed.piece {
                Piece::Bytes(bytes) => sink.bytes(bytes).map_err(WriteError::Output)?,
                Piece::File { path, content } => sink.content(content).map_err(|e| e.reading(path))?,
            }
        }
        sink.zeros_to(start + self.len).map_err(WriteError::Output)
    }
}

struct Cursor {
    next: u32,
    chains: Vec<Chain>,
}

impl Cursor {
    fn take(&mut self, clusters: u64) -> u32 {
        let chain = Chain { first: self.next, clusters: clusters as u32 };
        self.next += chain.clusters;
        self.chains.push(chain);
        chain.first
    }
}

/// One of the tables ("FAT Data Structure").
fn table(geometry: &Geometry, chains: &[Chain]) -> Vec<u8> {
    let kind = geometry.kind;
    let mut out = vec![0; (geometry.table * SECTOR) as usize];
    set(&mut out, kind, 0, kind.mask() & !0xFF | u32::from(MEDIUM));
    set(&mut out, kind, 1, kind.mask());
    for chain in chains {
        let last = chain.first + chain.clusters - 1;
        for cluster in chain.first..last {
            set(&mut out, kind, cluster, cluster + 1);
        }
        set(&mut out, kind, last, kind.mask());
    }
    out
}

/// Each entry is set once.
fn set(table: &mut [u8], kind: FatKind, entry: u32, value: u32) {
    let entry = entry as usize;
    match kind {
        FatKind::Fat12 => {
            let shifted = if entry.is_multiple_of(2) { value } else { value << 4 };
            let at = entry * 3 / 2;
            table[at] |= shifted as u8;
            table[at + 1] |= (shifted >> 8) as u8;
        }
        FatKind::Fat16 => table[2 * entry..2 * entry + 2].copy_from_slice(&(value as u16).to_le_bytes()),
        FatKind::Fat32 => table[4 * entry..4 * entry + 4].copy_from_slice(&value.to_le_bytes()),
    }
}

fn checked_label(label: &str) -> Result<Option<[u8; 11]>, FatError> {
    let is_allowed = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"_- ".contains(&byte);
    if label.is_empty() {
        return Ok(None);
    }
    if label.len() > 11 || !label.bytes().all(is_allowed) || label.starts_with(' ') || label == "NO NAME" {
        return Err(FatError::Label { label: label.to_owned() });
    }
    let mut out = [b' '; 11];
    out[..label.len()].copy_from_slice(label.as_bytes());
    Ok(Some(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_twelve_bits_share_a_byte() {
        let mut table = [0; 6];
        for (entry, value) in [(0, 0xFF8), (1, 0xFFF), (2, 0x123), (3, 0x456)] {
            set(&mut table, FatKind::Fat12, entry, value);
        }
        assert_eq!(table, [0xF8, 0xFF, 0xFF, 0x23, 0x61, 0x45]);
    }

    #[test]
    fn labels_are_eleven_of_few_characters() {
        assert_eq!(checked_label("").unwrap(), None);
        assert_eq!(checked_label("LIVE-EFI 1").unwrap(), Some(*b"LIVE-EFI 1 "));
        for label in ["lower", "TWELVE_CHARS", " A", "NO NAME", "A.B"] {
            assert!(checked_label(label).is_err(), "{label}");
        }
    }
}
