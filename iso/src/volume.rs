//! One volume descriptor's view of the tree: its directories and path tables.

use std::collections::HashMap;
use std::sync::Arc;

use tree::{LeafId, Tree};

use crate::descriptor::{self, Anchors, Texts};
use crate::directory::{ByteOrder, DirectoryExtent, Hierarchy, Namespace, Places};
use crate::format::{DIRECTORIES_MAX, SECTOR, sectors};
use crate::layout::{Extent, LayoutError, Piece, Placed};
use crate::placement::Cursor;

#[derive(Debug)]
pub(crate) struct Volume<'a> {
    namespace: Namespace,
    /// The sector that everything in it is counted from.
    base: u32,
    hierarchy: Arc<Hierarchy<'a>>,
    path_table_little: u32,
    path_table_big: u32,
    directories: Vec<DirectoryExtent>,
}

impl<'a> Volume<'a> {
    /// Takes sectors for path tables and directories. Of the leaves only the
    /// lengths matter here.
    pub(crate) fn place(
        tree: &'a Tree,
        namespace: Namespace,
        leaves: &HashMap<LeafId, Extent>,
        cursor: &mut Cursor,
    ) -> Result<Self, LayoutError> {
        let hierarchy = Hierarchy::new(tree, namespace);
        if hierarchy.len() > DIRECTORIES_MAX {
            return Err(LayoutError::TooManyDirectories { count: hierarchy.len() });
        }
        let measured = hierarchy.measure(leaves);
        Ok(Self::at(namespace, 0, Arc::new(hierarchy), measured, cursor))
    }

    /// The same view once more, counted from sector `base` and without what
    /// is `outside` of it.
    pub(crate) fn seen_from(
        &self,
        base: u32,
        outside: &HashMap<LeafId, Extent>,
        leaves: &HashMap<LeafId, Extent>,
        cursor: &mut Cursor,
    ) -> Self {
        if outside.is_empty() {
            return Self::at(self.namespace, base, self.hierarchy.clone(), self.directories.clone(), cursor);
        }
        let hierarchy = self.hierarchy.without(outside);
        let measured = hierarchy.measure(leaves);
        Self::at(self.namespace, base, Arc::new(hierarchy), measured, cursor)
    }

    fn at(
        namespace: Namespace,
        base: u32,
        hierarchy: Arc<Hierarchy<'a>>,
        mut directories: Vec<DirectoryExtent>,
        cursor: &mut Cursor,
    ) -> Self {
        let table_sectors = sectors(hierarchy.path_table_len() as u64);
        let (path_table_little, path_table_big) = (cursor.take(table_sectors), cursor.take(table_sectors));
        for directory in &mut directories {
            directory.lba = cursor.take(u64::from(directory.sectors) + u64::from(directory.continuation_sectors));
        }
        Self { namespace, base, hierarchy, path_table_little, path_table_big, directories }
    }

    /// `end` is the first sector that no longer belongs to it.
    pub(crate) fn descriptor(&self, texts: &Texts, end: u32, leaves: &HashMap<LeafId, Extent>) -> Vec<u8> {
        let anchors = Anchors {
            volume_sectors: end - self.base,
            path_table_len: self.hierarchy.path_table_len() as u32,
            path_table_little: self.path_table_little - self.base,
            path_table_big: self.path_table_big - self.base,
            root_record: self.hierarchy.root_record(self.places(leaves)),
        };
        descriptor::volume(self.namespace, texts, &anchors)
    }

    fn places<'p>(&'p self, leaves: &'p HashMap<LeafId, Extent>) -> Places<'p> {
        Places { directories: &self.directories, leaves, base: self.base }
    }

    /// Path tables and directories in the order of their sectors; `volume` is
    /// this one's number in the layout.
    pub(crate) fn pieces(&self, volume: usize, leaves: &HashMap<LeafId, Extent>) -> Vec<Placed<'a>> {
        let table = |order| self.hierarchy.path_table(order, self.places(leaves));
        let mut pieces = vec![
            Placed::bytes(self.path_table_little, table(ByteOrder::Little)),
            Placed::bytes(self.path_table_big, table(ByteOrder::Big)),
        ];
        for (directory, place) in self.directories.iter().enumerate() {
            let len = u64::from(place.sectors + place.continuation_sectors) * SECTOR as u64;
            let extent = Extent { lba: place.lba, len };
            pieces.push(Placed { extent, piece: Piece::Directory { volume, directory } });
        }
        pieces
    }

    pub(crate) fn render(&self, directory: usize, leaves: &HashMap<LeafId, Extent>) -> Vec<u8> {
        self.hierarchy.render(directory, self.places(leaves))
    }
}
