//! The initramfs archive: cpio's "new ASCII" format, as
//! Documentation/driver-api/early-userspace/buffer-format.rst describes it.

mod like;

use std::io::{self, Write};

use init::contract::initramfs as at;
use tree::{Content, Item, Kind, Node, Tree, TreePath};

use like::Entry;
pub use like::Like;

#[derive(Debug, thiserror::Error)]
pub enum NewcError {
    #[error("{path}: {what} is {value}, and a cpio archive holds at most 4294967295 there")]
    TooLarge { path: TreePath, what: &'static str, value: u64 },
    #[error("{path} has extended attributes, which a cpio archive cannot hold")]
    Xattrs { path: TreePath },
    #[error("{path}")]
    Content { path: TreePath, source: io::Error },
    #[error("the archive cannot be written")]
    Write(#[from] io::Error),
}

/// All but the root, in the archive's order. `/init` comes first, since the
/// kernel starts it even from an archive that is cut off behind it; what is
/// packed already stands together; and last the list of [`crate::contents`], by
/// which `/init` sees a cut.
pub fn order(tree: &Tree) -> Vec<Item<'_>> {
    let named = |path: &str| TreePath::new(path).expect("a plain path");
    let (init, contents) = (named(at::INIT), named(at::CONTENTS));
    let between = tree.walk().filter(|item| !item.path.is_root() && *item.path != init && *item.path != contents);
    let (packed, loose): (Vec<_>, Vec<_>) = between.partition(is_packed);
    tree.get(&init).into_iter().chain(loose).chain(packed).chain(tree.get(&contents)).collect()
}

/// By its name, as kmod and the kernel's firmware loader tell it. Names of one
/// file have to stand in one archive, or they would be two files.
fn is_packed(item: &Item<'_>) -> bool {
    let is_one_file = matches!(item.node, Node::Leaf { kind: Kind::File(_), links: 1, .. });
    is_one_file && [".gz", ".xz", ".zst"].iter().any(|end| item.path.as_bytes().ends_with(end.as_bytes()))
}

pub fn write(tree: &Tree, out: &mut dyn Write) -> Result<(), NewcError> {
    write_like(Like::Liveroot, tree, out)
}

pub fn write_like(like: Like, tree: &Tree, out: &mut dyn Write) -> Result<(), NewcError> {
    write_entries(like, 4, &like.entries(tree), out)
}

/// A run of entries, to be an archive of its own.
#[derive(Debug)]
pub struct Segment<'t> {
    entries: Vec<Entry<'t>>,
    /// What a codec would only make slower to unpack.
    pub is_packed: bool,
}

impl Segment<'_> {
    /// Of its files, without headers.
    pub fn content_len(&self) -> u64 {
        let files = self.entries.iter().filter(|entry| entry.with_data);
        files.filter_map(|entry| entry.item.content()).map(Content::len).sum()
    }

    pub fn write(&self, out: &mut dyn Write) -> Result<(), NewcError> {
        write_entries(Like::Liveroot, 4, &self.entries, out)
    }
}

/// What is packed already apart from what is not; the order stays.
pub fn segments(tree: &Tree) -> Vec<Segment<'_>> {
    let mut segments: Vec<Segment<'_>> = Vec::new();
    for entry in Like::Liveroot.entries(tree) {
        let is_packed = is_packed(&entry.item);
        match segments.last_mut() {
            Some(last) if last.is_packed == is_packed => last.entries.push(entry),
            _ => segments.push(Segment { entries: vec![entry], is_packed }),
        }
    }
    segments
}

/// The part that the kernel reads in place, before it unpacks anything. A
/// processor takes its microcode from a multiple of 16 bytes (Intel SDM volume
/// 3, "Microcode Update Loader"): names are ended with more NULs than one.
pub fn write_early(tree: &Tree, out: &mut dyn Write) -> Result<(), NewcError> {
    write_entries(Like::Liveroot, 16, &Like::Liveroot.entries(tree), out)
}

fn write_entries(like: Like, data_at: u64, entries: &[Entry<'_>], out: &mut dyn Write) -> Result<(), NewcError> {
    let mut archive = Archive { out, written: 0, like, data_at };
    for entry in entries {
        archive.entry(entry)?;
    }
    archive.trailer()
}

/// Its `st_mode`, with the types of inode(7).
pub fn mode(item: &Item<'_>) -> u32 {
    let file_type = match item.node {
        Node::Dir => 0o040_000,
        Node::Leaf { kind, .. } => match kind {
            Kind::File(_) => 0o100_000,
            Kind::Symlink(_) => 0o120_000,
            Kind::CharDevice { .. } => 0o020_000,
            Kind::BlockDevice { .. } => 0o060_000,
            Kind::Fifo => 0o010_000,
            Kind::Socket => 0o140_000,
        },
    };
    file_type | item.meta.mode
}

struct Archive<'w> {
    out: &'w mut dyn Write,
    written: u64,
    like: Like,
    /// What contents begin at a multiple of.
    data_at: u64,
}

impl Archive<'_> {
    fn entry(&mut self, entry: &Entry<'_>) -> Result<(), NewcError> {
        let Entry { item, inode, links, with_data } = entry;
        if !item.meta.xattrs.is_empty() {
            return Err(NewcError::Xattrs { path: item.path.clone() });
        }
        let fits = |what, value: u64| {
            u32::try_from(value).map_err(|_| NewcError::TooLarge { path: item.path.clone(), what, value })
        };
        let mut header = Header { inode: *inode, links: *links, name: item.path.as_bytes(), ..Header::default() };
        header.stood_on = self.like.device();
        let mut data = Data::None;
        if let Node::Leaf { kind, .. } = item.node {
            match kind {
                Kind::File(content) if *with_data => {
                    header.size = fits("its size", content.len())?;
                    data = Data::Content(content);
                }
                Kind::Symlink(target) => {
                    let end: &[u8] = if self.like.ends_targets_with_nul() { b"\0" } else { b"" };
                    let target = [target, end].concat();
                    header.size = fits("its target's length", target.len() as u64)?;
                    data = Data::Bytes(target);
                }
                Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => {
                    header.device = (*major, *minor);
                }
                Kind::File(_) | Kind::Fifo | Kind::Socket => {}
            }
        }
        header.mode = mode(item);
        header.owner = (item.meta.uid, item.meta.gid);
        header.mtime = fits("its mtime", item.meta.mtime.max(0) as u64)?;
        self.header(&header)?;
        match data {
            Data::None => {}
            Data::Bytes(bytes) => self.bytes(&bytes)?,
            Data::Content(content) => {
                let mut copy = || io::copy(&mut content.open()?, &mut *self.out);
                self.written += copy().map_err(|source| NewcError::Content { path: item.path.clone(), source })?;
            }
        }
        self.pad(4)
    }

    fn header(&mut self, header: &Header<'_>) -> Result<(), NewcError> {
        let Header { inode, mode, owner, links, mtime, size, stood_on, device, name } = header;
        let nuls = match (self.data_at, *size) {
            (4, _) | (_, 0) => 1,
            (data_at, _) => {
                let end = self.written + HEADER_LEN + name.len() as u64 + 1;
                1 + (end.next_multiple_of(data_at) - end)
            }
        };
        let fields = [
            *inode,
            *mode,
            owner.0,
            owner.1,
            *links,
            *mtime,
            *size,
            stood_on.0,
            stood_on.1,
            device.0,
            device.1,
            name.len() as u32 + nuls as u32,
            0, // the checksum, which only magic 070702 has
        ];
        let mut text = String::from("070701");
        for field in fields {
            use std::fmt::Write as _;
            let _ = write!(text, "{field:08X}");
        }
        self.bytes(text.as_bytes())?;
        self.bytes(name)?;
        self.bytes(&[0; 512][..nuls as usize])?;
        self.pad(4)
    }

    fn trailer(&mut self) -> Result<(), NewcError> {
        self.header(&Header { links: 1, name: b"TRAILER!!!", ..Header::default() })?;
        // A whole number of cpio's blocks, as GNU cpio writes it.
        self.pad(512)
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), NewcError> {
        self.out.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    fn pad(&mut self, to: u64) -> Result<(), NewcError> {
        let missing = self.written.next_multiple_of(to) - self.written;
        self.bytes(&[0; 512][..missing as usize])
    }
}

/// Six bytes of magic, thirteen fields of eight digits.
const HEADER_LEN: u64 = 110;

enum Data<'a> {
    None,
    Bytes(Vec<u8>),
    Content(&'a tree::Content),
}

#[derive(Default)]
struct Header<'a> {
    inode: u32,
    mode: u32,
    owner: (u32, u32),
    links: u32,
    mtime: u32,
    size: u32,
    stood_on: (u32, u32),
    device: (u32, u32),
    name: &'a [u8],
}

#[cfg(test)]
mod tests {
    use super::*;
    use tree::{Content, Leaf, Meta, Provenance};

    fn path(written: &str) -> TreePath {
        TreePath::new(written).unwrap()
    }

    fn archive(tree: &Tree) -> Vec<u8> {
        let mut out = Vec::new();
        write(tree, &mut out).unwrap();
        out
    }

    #[test]
    fn what_is_packed_stands_apart_and_the_list_of_contents_behind_it() {
        let from = || Provenance::new("test");
        let mut tree = Tree::new();
        for name in ["init", "etc/live/contents", "lib/a.ko", "lib/b.ko.zst", "lib/c.fw.xz", "lib/d.gz", "lib/z"] {
            tree.insert_file(path(name), 0o644, name.as_bytes().to_vec().into(), from()).unwrap();
        }
        tree.insert_symlink(path("lib/link.xz"), "c.fw.xz", from()).unwrap();
        tree.insert_link(path("lib/e.gz"), &path("lib/d.gz"), from()).unwrap();
        let mut archives = segments(&tree).into_iter().map(|segment| {
            let mut out = Vec::new();
            segment.write(&mut out).unwrap();
            let names = entries(&out).into_iter().map(|(name, ..)| name).collect::<Vec<_>>().join(" ");
            (segment.is_packed, names)
        });
        let loose = "init etc etc/live lib lib/a.ko lib/d.gz lib/e.gz lib/link.xz lib/z";
        assert_eq!(archives.next(), Some((false, loose.into())), "two names of one file are kept together");
        assert_eq!(archives.next(), Some((true, "lib/b.ko.zst lib/c.fw.xz".into())));
        assert_eq!(archives.next(), Some((false, "etc/live/contents".into())));
        assert_eq!(archives.next(), None);
    }

    /// Name, inode, links and size of each entry, by the header's own offsets.
    fn entries(bytes: &[u8]) -> Vec<(String, u32, u32, u32)> {
        let (mut at, mut found) = (0, Vec::new());
        loop {
            let field = |n: usize| {
                let hex = std::str::from_utf8(&bytes[at + 6 + 8 * n..at + 14 + 8 * n]).unwrap();
                u32::from_str_radix(hex, 16).unwrap()
            };
            let (size, name_len) = (field(6), field(11) as usize);
            let name = String::from_utf8(bytes[at + 110..at + 109 + name_len].to_vec()).unwrap();
            if name == "TRAILER!!!" {
                return found;
            }
            found.push((name, field(0), field(4), size));
            at = (at + 110 + name_len).next_multiple_of(4);
            at = (at + size as usize).next_multiple_of(4);
        }
    }

    #[test]
    fn init_comes_first_and_the_list_last_and_directories_before_their_files() {
        let from = Provenance::new("test");
        let mut tree = Tree::new();
        for name in ["bin/sh", "init", "etc/live/contents", "etc/x"] {
            tree.insert_file(path(name), 0o755, Content::from(name.to_owned()), from.clone()).unwrap();
        }
        let names: Vec<_> = entries(&archive(&tree)).into_iter().map(|(name, ..)| name).collect();
        assert_eq!(names, ["init", "bin", "bin/sh", "etc", "etc/live", "etc/x", "etc/live/contents"]);
    }

    #[test]
    fn early_contents_begin_at_multiples_of_sixteen() {
        let mut tree = Tree::new();
        for (name, len) in [("k/x/GenuineIntel.bin", 2051), ("k/x/AuthenticAMD.bin", 3), ("k/x/z", 17)] {
            tree.insert_file(path(name), 0o644, vec![0xa5; len].into(), Provenance::new("test")).unwrap();
        }
        let mut out = Vec::new();
        write_early(&tree, &mut out).unwrap();
        let begins = (1..out.len()).filter(|&at| out[at] == 0xa5 && out[at - 1] != 0xa5);
        assert_eq!(begins.map(|at| at % 16).collect::<Vec<_>>(), [0, 0, 0]);
        let read = tree::cpio::parse("early", &out.into(), tree::Limits::default(), &Provenance::new("test")).unwrap();
        let names = |tree: &Tree| tree.walk().map(|item| item.path.clone()).collect::<Vec<_>>();
        assert_eq!(names(&read), names(&tree));
    }

    #[test]
    fn the_data_of_a_hard_link_stands_at_its_last_name() {
        let from = Provenance::new("test");
        let mut tree = Tree::new();
        tree.insert_file(path("a"), 0o644, Content::from(b"12345".to_vec()), from.clone()).unwrap();
        tree.insert_link(path("c"), &path("a"), from.clone()).unwrap();
        tree.insert_file(path("b"), 0o644, Content::from(b"1".to_vec()), from).unwrap();
        let wanted = [("a".into(), 1, 2, 0), ("b".into(), 2, 1, 1), ("c".into(), 1, 2, 5)];
        assert_eq!(entries(&archive(&tree)), wanted);
    }

    #[test]
    fn what_the_format_cannot_hold_is_an_error_naming_the_path() {
        let mut tree = Tree::new();
        let mut meta = Meta::new(0o644);
        meta.mtime = 1 << 33;
        let leaf = Leaf { meta, kind: Kind::Fifo };
        tree.insert_leaf(path("etc/late"), leaf, Provenance::new("test")).unwrap();
        let error = write(&tree, &mut Vec::new()).unwrap_err().to_string();
        assert!(error.contains("/etc"), "{error}");
    }
}
