//! How much a foreign image may make us do. An image is a graph in the hands
//! of whoever wrote it: directories may overlap, and a few bytes may stand
//! for much work each.

use tree::TreePath;

/// Entries of one tree. Half a million is beyond any distribution's image.
const ENTRIES_MAX: u32 = 1 << 19;

/// Bytes of all paths together, which are what a tree's memory goes to.
const PATH_BYTES_MAX: u64 = 64 << 20;

/// Linux can open nothing below a longer path.
const PATH_MAX: usize = 4096;

/// Directories and continuation areas, however large the image is.
const METADATA_MAX: u64 = 512 << 20;

/// More than any sound image has of something.
#[derive(Debug)]
pub(crate) struct Exceeded {
    pub(crate) path: TreePath,
    pub(crate) what: &'static str,
}

#[derive(Debug)]
pub(crate) struct Budget {
    entries: u32,
    path_bytes: u64,
    metadata: u64,
}

impl Budget {
    /// Sound directories do not overlap, so all of them fit into the image;
    /// twice that leaves room for continuation areas that are shared.
    pub(crate) fn new(image_len: u64) -> Self {
        let metadata = METADATA_MAX.min(image_len.saturating_mul(2));
        Self { entries: ENTRIES_MAX, path_bytes: PATH_BYTES_MAX, metadata }
    }

    pub(crate) fn entry(&mut self, path: &TreePath) -> Result<(), Exceeded> {
        let excessive = |what| Exceeded { path: path.clone(), what };
        let length = path.as_bytes().len();
        if length > PATH_MAX {
            let parent = path.parent().unwrap_or_default();
            return Err(Exceeded { path: parent, what: "its directories stand deeper" });
        }
        self.entries = self.entries.checked_sub(1).ok_or_else(|| excessive("there are more entries"))?;
        let left = self.path_bytes.checked_sub(length as u64);
        self.path_bytes = left.ok_or_else(|| excessive("there are longer paths"))?;
        Ok(())
    }

    pub(crate) fn metadata(&mut self, path: &TreePath, bytes: u64) -> Result<(), Exceeded> {
        let left = self.metadata.checked_sub(bytes);
        let what = "its directories are larger";
        self.metadata = left.ok_or_else(|| Exceeded { path: path.clone(), what })?;
        Ok(())
    }
}
