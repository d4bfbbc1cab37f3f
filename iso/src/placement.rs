//! Sectors, given out in ascending order to everything an image has.

use std::collections::{HashMap, HashSet};

use tree::{Item, Kind, LeafId, Node, Tree};

use crate::boot_image::{Bios, Esp};
use crate::descriptor::{self, Texts};
use crate::directory::Namespace;
use crate::el_torito;
use crate::format::{PARTITION_OFFSET, SECTOR, SYSTEM_AREA_SECTORS, sectors};
use crate::layout::{Extent, LayoutError, Piece, Placed};
use crate::system_area::{BACKUP_LEN, CYLINDER, PARTITION_ALIGN};
use crate::volume::Volume;
use crate::{Image, SystemArea};

/// Where everything stands.
pub(crate) struct Placement<'a> {
    /// The whole image's, and an ISO 9660 partition's of its own.
    sets: Vec<DescriptorSet>,
    /// In the order of the sets and of the descriptors in them.
    pub(crate) volumes: Vec<Volume<'a>>,
    pub(crate) catalog: Option<u32>,
    pub(crate) leaves: HashMap<LeafId, Extent>,
    pub(crate) files: Vec<Placed<'a>>,
    pub(crate) esp: Option<Extent>,
    pub(crate) backup: Option<u32>,
    /// Where that partition ends.
    pub(crate) iso_end: u32,
    pub(crate) end: u32,
}

impl<'a> Placement<'a> {
    pub(crate) fn new(image: &Image<'a>, bios: Option<&Bios>, esp: Option<&Esp>) -> Result<Self, LayoutError> {
        let is_gpt = matches!(image.system_area, SystemArea::Gpt { .. });
        let has_iso_partition = image.system_area.has_iso_partition();
        let is_bootable = bios.is_some() || esp.is_some();
        let namespaces =
            if image.joliet { &[Namespace::Primary, Namespace::Joliet][..] } else { &[Namespace::Primary] };

        let mut cursor = Cursor { next: u64::from(SYSTEM_AREA_SECTORS) };
        let mut sets = vec![DescriptorSet::take(&mut cursor, is_bootable, namespaces.len())];
        if has_iso_partition {
            cursor.next = u64::from(PARTITION_OFFSET + SYSTEM_AREA_SECTORS);
            sets.push(DescriptorSet::take(&mut cursor, false, namespaces.len()));
        }
        let mut leaves = unplaced_leaves(image.tree);
        let mut volumes = namespaces
            .iter()
            .map(|&namespace| Volume::place(image.tree, namespace, &leaves, &mut cursor))
            .collect::<Result<Vec<_>, _>>()?;
        let nothing_shared = HashMap::new();
        let shared = match esp {
            Some(Esp::Appended { shared, .. }) => shared,
            _ => &nothing_shared,
        };
        if has_iso_partition {
            let again: Vec<_> =
                volumes.iter().map(|volume| volume.seen_from(PARTITION_OFFSET, shared, &leaves, &mut cursor)).collect();
            volumes.extend(again);
        }
        let catalog = is_bootable.then(|| cursor.take(1));
        let files = place_files(image.tree, bios, shared, &mut leaves, &mut cursor);
        let (esp, appended) =
            match esp {
                None => (None, None),
                Some(Esp::File(id)) => (leaves.get(id).copied(), None),
                Some(Esp::Appended { body, .. }) => {
                    cursor.align(CYLINDER);
                    let extent = cursor.extent(body.len());
                    leaves.extend(shared.iter().map(|(&id, within)| {
                        (id, Extent { lba: extent.lba.saturating_add(within.lba), len: within.len })
                    }));
                    (Some(extent), Some(extent.lba))
                }
            };
        cursor.take(u64::from(image.pad_sectors));
        let backup = is_gpt.then(|| {
            cursor.align(PARTITION_ALIGN);
            cursor.take(BACKUP_LEN / SECTOR as u64)
        });
        if let SystemArea::Isohybrid { .. } = image.system_area {
            cursor.align(CYLINDER);
        }
        let end = cursor.end()?;
        let iso_end = appended.or(backup).unwrap_or(end);
        Ok(Self { sets, volumes, catalog, leaves, files, esp, backup, iso_end, end })
    }

    /// All sets of volume descriptors.
    pub(crate) fn descriptors(&self, texts: &Texts) -> Vec<Placed<'a>> {
        let per_set = self.volumes.len() / self.sets.len();
        let sets = self.sets.iter().zip(self.volumes.chunks(per_set)).zip([self.end, self.iso_end]);
        sets.flat_map(|((set, volumes), end)| {
            set.pieces(self.catalog, volumes.iter().map(|volume| volume.descriptor(texts, end, &self.leaves)))
        })
        .collect()
    }
}

/// The sectors of one set of volume descriptors. The primary one comes first
/// and El Torito's, which firmware looks for at sector 17, second.
struct DescriptorSet {
    primary: u32,
    boot_record: Option<u32>,
    supplementary: u32,
    terminator: u32,
}

impl DescriptorSet {
    fn take(cursor: &mut Cursor, bootable: bool, volumes: usize) -> Self {
        Self {
            primary: cursor.take(1),
            boot_record: bootable.then(|| cursor.take(1)),
            supplementary: cursor.take(volumes as u64 - 1),
            terminator: cursor.take(1),
        }
    }

    /// `descriptors` is the primary one, then the others.
    fn pieces<'a>(&self, catalog: Option<u32>, mut descriptors: impl Iterator<Item = Vec<u8>>) -> Vec<Placed<'a>> {
        let mut pieces = Vec::new();
        pieces.extend(descriptors.next().map(|primary| {
            let extent = Extent { lba: self.primary, len: SECTOR as u64 };
            Placed { extent, piece: Piece::PrimaryDescriptor(primary) }
        }));
        let record = self.boot_record.zip(catalog);
        pieces.extend(record.map(|(at, catalog)| Placed::bytes(at, el_torito::boot_record(catalog))));
        pieces.extend((self.supplementary..).zip(descriptors).map(|(lba, bytes)| Placed::bytes(lba, bytes)));
        pieces.push(Placed::bytes(self.terminator, descriptor::terminator()));
        pieces
    }
}

/// Hands out sectors in ascending order.
pub(crate) struct Cursor {
    next: u64,
}

impl Cursor {
    pub(crate) fn take(&mut self, sectors: u64) -> u32 {
        let at = self.next;
        self.next += sectors;
        // What does not fit is found at the end, when the sum is known.
        u32::try_from(at).unwrap_or(u32::MAX)
    }

    /// A run of sectors for `len` bytes.
    fn extent(&mut self, len: u64) -> Extent {
        Extent { lba: self.take(sectors(len)), len }
    }

    fn align(&mut self, bytes: u64) {
        self.next = self.next.next_multiple_of(bytes / SECTOR as u64);
    }

    fn end(&self) -> Result<u32, LayoutError> {
        u32::try_from(self.next).map_err(|_| LayoutError::TooLarge { sectors: self.next })
    }
}

/// The lengths alone: enough to know how many records each file needs.
fn unplaced_leaves(tree: &Tree) -> HashMap<LeafId, Extent> {
    let leaf = |item: Item<'_>| match item.node {
        Node::Leaf { id, kind: Kind::File(content), .. } => Some((id, Extent { lba: 0, len: content.len() })),
        _ => None,
    };
    tree.walk().filter_map(leaf).collect()
}

/// Each leaf once, in the order of its first path; but for those that stand
/// elsewhere.
fn place_files<'a>(
    tree: &'a Tree,
    bios: Option<&Bios>,
    shared: &HashMap<LeafId, Extent>,
    leaves: &mut HashMap<LeafId, Extent>,
    cursor: &mut Cursor,
) -> Vec<Placed<'a>> {
    let mut files = Vec::new();
    let mut placed = HashSet::new();
    for item in tree.walk() {
        let Node::Leaf { id, kind: Kind::File(content), .. } = item.node else { continue };
        if shared.contains_key(&id) || !placed.insert(id) {
            continue;
        }
        let extent = cursor.extent(content.len());
        leaves.insert(id, extent);
        let path = item.path;
        let piece = match bios {
            Some(bios) if bios.id == id => Piece::BootImage { path, content, patch: bios.patch },
            _ => Piece::File { path, content },
        };
        files.push(Placed { extent, piece });
    }
    files
}
