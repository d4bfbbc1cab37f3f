//! The rootfs image: a tree as squashfs 4.0.
//!
//! [`write`] reads the files, packs their blocks on every core and writes them
//! in order; the bytes depend on the tree and the options alone. The format is
//! the kernel's Documentation/filesystems/squashfs.rst and what
//! fs/squashfs/ makes of it.

mod advice;
mod blocks;
pub mod cache;
mod codecs;
mod dedup;
mod directories;
mod files;
mod format;
mod fragments;
mod ids;
mod inodes;
mod inventory;
mod metadata;
mod missing;
mod options;
mod packer;
mod readback;
mod writer;
mod xattrs;

use std::io::{self, Seek, Write};
use std::path::PathBuf;

use tree::{Tree, TreePath};

pub use advice::{Advice, advise};
pub use blocks::Passed;
pub use missing::{Missing, missing};
pub use options::{BlockSize, CacheAt, Compression, Filter, Filters, OptionError, Options, Xz};
pub use readback::{ReadbackError, compare};

#[derive(Debug, thiserror::Error)]
pub enum SquashfsError {
    #[error("{path}: device {major}:{minor} does not fit squashfs's device number (12 and 20 bits)")]
    Device { path: TreePath, major: u32, minor: u32 },
    #[error("{path}")]
    Read { path: TreePath, source: io::Error },
    #[error("the squashfs cannot be written")]
    Write(#[source] io::Error),
    #[error("the squashfs's codec failed")]
    Codec(#[source] io::Error),
    #[error("{}: the cache of packed blocks cannot be used", dir.display())]
    Cache { dir: PathBuf, source: io::Error },
    #[error("more {what} than the {limit} that squashfs holds")]
    TooMany { what: &'static str, limit: u64 },
    #[error("the other end of the pipeline is gone")]
    Stopped,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The image's length, a multiple of 4 KiB.
    pub len: u64,
    pub inodes: u32,
    /// Bytes of all files, each hard-linked one counted once.
    pub content: u64,
    /// How many of them were in the image already.
    pub duplicate: u64,
    /// What the rest was packed to.
    pub blocks: u64,
    /// In how many blocks.
    pub count: u64,
    pub cache: cache::Used,
}

/// Writes the image to the start of `out`, which has to be empty.
pub fn write(tree: &Tree, options: &Options, out: &mut (impl Write + Seek)) -> Result<Written, SquashfsError> {
    writer::write(tree, options, out, &mut |_| ())
}

/// [`write`], telling `watch` about every block.
pub fn write_watched(
    tree: &Tree,
    options: &Options,
    out: &mut (impl Write + Seek),
    watch: &mut dyn FnMut(Passed),
) -> Result<Written, SquashfsError> {
    writer::write(tree, options, out, watch)
}

/// Squashfs holds seconds from 1970 to 2106; a date outside becomes the
/// nearest one within.
fn seconds(mtime: i64) -> u32 {
    mtime.clamp(0, i64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;
    use std::path::Path;

    use std::io::Read;
    use tree::{Content, Kind, Leaf, Meta, Provenance};

    #[test]
    fn backhand_reads_back_what_was_written() {
        let from = Provenance::new("test");
        let path = |written: &str| TreePath::new(written).unwrap();
        let mut tree = Tree::new();
        let big: Vec<u8> = (0..300_000_u32).map(|n| (n / 11) as u8).collect();
        tree.insert_file(path("usr/big"), 0o4755, Content::from(big.clone()), from.clone()).unwrap();
        tree.insert_file(path("empty"), 0o600, Content::from(Vec::new()), from.clone()).unwrap();
        tree.insert_symlink(path("link"), "usr/big", from.clone()).unwrap();
        let null = Leaf { meta: Meta::new(0o666), kind: Kind::CharDevice { major: 1, minor: 3 } };
        tree.insert_leaf(path("dev/null"), null, from).unwrap();
        for codec in ["zstd:3", "gzip:6", "xz", "lz4", "lz4:hc", "none"] {
            let mut image = Cursor::new(Vec::new());
            let options = Options::new(codec.parse().unwrap());
            let len = write(&tree, &options, &mut image).unwrap().len;
            assert_eq!(image.get_ref().len() as u64, len, "nothing stands after the end");
            let reader = backhand::FilesystemReader::from_reader(Cursor::new(image.into_inner())).unwrap();
            let file = reader.files().find(|node| node.fullpath == Path::new("/usr/big")).unwrap();
            assert_eq!(file.header.permissions, 0o4755);
            let backhand::InnerNode::File(file) = &file.inner else { panic!("not a file") };
            let mut read = Vec::new();
            reader.file(file).reader().read_to_end(&mut read).unwrap();
            assert!(read == big, "{codec}");
            assert_eq!(reader.files().count(), tree.len());
        }
    }
}
