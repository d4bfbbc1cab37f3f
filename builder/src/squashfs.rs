//! The rootfs image: a tree as a squashfs, through backhand's writer.
//!
//! The boundary is [`write`]; the parallel writer that replaces backhand's
//! comes in behind it (docs/decisions/0002-squashfs-writer.md).

use std::io::{self, Read, Seek, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use backhand::compression::{CompressionOptions, Compressor, Gzip, Zstd};
use backhand::{BackhandError, FilesystemCompressor, FilesystemWriter, NodeHeader};
use tree::{Content, Item, Kind, Node, Tree, TreePath};

use crate::compress::{Codec, CodecKind};

/// squashfs's default of 128 KiB; every tool of the field uses it.
const BLOCK_SIZE: u32 = 128 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum SquashfsError {
    #[error("{path}: a symlink target of {len} bytes; this writer holds 255")]
    LongSymlink { path: TreePath, len: usize },
    #[error("{path}: device {major}:{minor} does not fit squashfs's device number")]
    Device { path: TreePath, major: u32, minor: u32 },
    #[error("{path}")]
    Insert { path: TreePath, source: BackhandError },
    #[error("the squashfs cannot be written")]
    Write(#[source] BackhandError),
    #[error("squashfs cannot be uncompressed here: choose gzip, xz or zstd")]
    NoCodec,
}

/// Writes the image and returns its length; `out` may have been longer before,
/// so its owner has to cut it there.
pub fn write(tree: &Tree, codec: Codec, epoch: i64, out: &mut (impl Write + Seek)) -> Result<u64, SquashfsError> {
    let mut writer = FilesystemWriter::default();
    writer.set_block_size(BLOCK_SIZE);
    writer.set_compressor(compressor(codec)?);
    writer.set_time(seconds(epoch));
    for item in tree.walk() {
        insert(&mut writer, &item)?;
    }
    let (_, len) = writer.write(out).map_err(SquashfsError::Write)?;
    Ok(len)
}

/// What the tree has and this writer leaves out, in words.
pub fn losses(tree: &Tree) -> Vec<String> {
    let with_xattrs = tree.walk().filter(|item| !item.meta.xattrs.is_empty()).count();
    let linked = tree.walk().filter(|item| matches!(item.node, Node::Leaf { links: 2.., .. })).count();
    let mut losses = Vec::new();
    if with_xattrs > 0 {
        losses.push(format!("{with_xattrs} entries have extended attributes, which this squashfs writer leaves out"));
    }
    if linked > 0 {
        losses.push(format!("{linked} hard-linked names become files of their own in the squashfs"));
    }
    losses
}

fn compressor(codec: Codec) -> Result<FilesystemCompressor, SquashfsError> {
    let (compressor, options) = match codec.kind {
        CodecKind::None => return Err(SquashfsError::NoCodec),
        CodecKind::Gzip => {
            // The window is zlib's largest, 2^15; no strategy but the default.
            let options = Gzip { compression_level: codec.level, window_size: 15, strategies: 0 };
            (Compressor::Gzip, Some(CompressionOptions::Gzip(options)))
        }
        CodecKind::Xz => (Compressor::Xz, None),
        CodecKind::Zstd => (Compressor::Zstd, Some(CompressionOptions::Zstd(Zstd { compression_level: codec.level }))),
    };
    FilesystemCompressor::new(compressor, options).map_err(SquashfsError::Write)
}

fn insert(writer: &mut FilesystemWriter<'_, '_, '_>, item: &Item<'_>) -> Result<(), SquashfsError> {
    let meta = item.meta;
    let header = NodeHeader::new(meta.mode as u16, meta.uid, meta.gid, seconds(meta.mtime));
    if item.path.is_root() {
        writer.set_root_mode(meta.mode as u16);
        writer.set_root_uid(meta.uid);
        writer.set_root_gid(meta.gid);
        return Ok(());
    }
    let path = os_path(item.path.as_bytes());
    let device = |major: u32, minor: u32| {
        // The kernel's new_encode_dev: 12 bits of major, 20 of minor.
        let fits = major < 1 << 12 && minor < 1 << 20;
        let number = (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12);
        fits.then_some(number).ok_or_else(|| SquashfsError::Device { path: item.path.clone(), major, minor })
    };
    let inserted = match item.node {
        Node::Dir => writer.push_dir(path, header),
        Node::Leaf { kind, .. } => match kind {
            Kind::File(content) => writer.push_file(Lazy::new(content.clone()), path, header),
            Kind::Symlink(target) if target.len() > 255 => {
                return Err(SquashfsError::LongSymlink { path: item.path.clone(), len: target.len() });
            }
            Kind::Symlink(target) => writer.push_symlink(os_path(target), path, header),
            Kind::CharDevice { major, minor } => writer.push_char_device(device(*major, *minor)?, path, header),
            Kind::BlockDevice { major, minor } => writer.push_block_device(device(*major, *minor)?, path, header),
            Kind::Fifo => writer.push_fifo(path, header),
            Kind::Socket => writer.push_socket(path, header),
        },
    };
    inserted.map_err(|source| SquashfsError::Insert { path: item.path.clone(), source })
}

/// Squashfs holds seconds from 1970 to 2106.
fn seconds(mtime: i64) -> u32 {
    mtime.clamp(0, i64::from(u32::MAX)) as u32
}

fn os_path(bytes: &[u8]) -> &Path {
    Path::new(std::ffi::OsStr::from_bytes(bytes))
}

/// Opens its content at the first read and lets go of it at the end: backhand
/// keeps every reader until it writes, and a root has more files than a
/// process has descriptors.
struct Lazy {
    content: Option<Content>,
    open: Option<Box<dyn Read + Send>>,
}

impl Lazy {
    fn new(content: Content) -> Self {
        Self { content: Some(content), open: None }
    }
}

impl Read for Lazy {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if let Some(content) = self.content.take() {
            self.open = Some(content.open()?);
        }
        let Some(open) = &mut self.open else { return Ok(0) };
        let got = open.read(buf)?;
        if got == 0 && !buf.is_empty() {
            self.open = None;
        }
        Ok(got)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;
    use tree::{Leaf, Meta, Provenance};

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
        for codec in ["zstd:3", "gzip:6", "xz"] {
            let mut image = Cursor::new(Vec::new());
            let len = write(&tree, codec.parse().unwrap(), 5, &mut image).unwrap();
            let bytes = image.into_inner()[..len as usize].to_vec();
            let reader = backhand::FilesystemReader::from_reader(Cursor::new(bytes)).unwrap();
            let file = reader.files().find(|node| node.fullpath == Path::new("/usr/big")).unwrap();
            assert_eq!(file.header.permissions, 0o4755);
            let backhand::InnerNode::File(file) = &file.inner else { panic!("not a file") };
            let mut read = Vec::new();
            reader.file(file).reader().read_to_end(&mut read).unwrap();
            assert_eq!(read, big, "{codec}");
            assert_eq!(reader.files().count(), tree.len());
        }
    }

    #[test]
    fn what_backhand_cannot_hold_is_an_error_and_not_a_panic() {
        let mut tree = Tree::new();
        tree.insert_symlink(TreePath::new("l").unwrap(), "x".repeat(256), Provenance::new("test")).unwrap();
        let written = write(&tree, "zstd:1".parse().unwrap(), 0, &mut Cursor::new(Vec::new()));
        assert!(matches!(written, Err(SquashfsError::LongSymlink { len: 256, .. })), "{written:?}");
    }
}
