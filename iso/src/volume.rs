//! One volume descriptor's view of the tree: its directories and path tables.

use std::collections::HashMap;

use tree::{LeafId, Tree};

use crate::descriptor::{self, Anchors, Texts};
use crate::directory::{ByteOrder, DirectoryExtent, Hierarchy, Namespace, Places};
use crate::format::{DIRECTORIES_MAX, SECTOR, sectors};
use crate::layout::{Cursor, Extent, LayoutError, Piece, Placed};

#[derive(Debug)]
pub(crate) struct Volume<'a> {
    namespace: Namespace,
    hierarchy: Hierarchy<'a>,
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
        let table_sectors = sectors(hierarchy.path_table_len() as u64);
        let (path_table_little, path_table_big) = (cursor.take(table_sectors), cursor.take(table_sectors));
        let mut directories = hierarchy.measure(leaves);
        for directory in &mut directories {
            directory.lba = cursor.take(u64::from(directory.sectors) + u64::from(directory.continuation_sectors));
        }
        Ok(Self { namespace, hierarchy, path_table_little, path_table_big, directories })
    }

    pub(crate) fn descriptor(&self, texts: &Texts, volume_sectors: u32) -> Vec<u8> {
        let anchors = Anchors {
            volume_sectors,
            path_table_len: self.hierarchy.path_table_len() as u32,
            path_table_little: self.path_table_little,
            path_table_big: self.path_table_big,
            root_record: self.hierarchy.root_record(&self.directories),
        };
        descriptor::volume(self.namespace, texts, &anchors)
    }

    /// Path tables and directories in the order of their sectors; `volume` is
    /// this one's number in the layout.
    pub(crate) fn pieces(&self, volume: usize) -> Vec<Placed<'a>> {
        let table = |order| self.hierarchy.path_table(order, &self.directories);
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
        self.hierarchy.render(directory, Places { directories: &self.directories, leaves })
    }
}
