//! The readers that judge: Linux by a loop mount, unsquashfs, backhand.

use std::collections::HashMap;
use std::fs;
use std::io::{Cursor, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use backhand::{FilesystemReader, InnerNode};
use tempfile::{NamedTempFile, TempDir};
use tree::host::{Owners, load};
use tree::listing::{With, print};
use tree::{Kind, Node, Provenance, Tree};

use crate::tool;

pub(super) fn as_root() -> bool {
    or_skip(nix::unistd::geteuid().is_root(), "only root mounts images and makes device nodes")
}

/// A laptop goes without and says so; CI does not go without.
pub(super) fn or_skip(able: bool, why: &str) -> bool {
    if !able {
        assert!(std::env::var_os("CI").is_none(), "{why}, and CI wants it");
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        let _ = writeln!(std::io::stderr(), "\nSKIPPED {test}: {why}");
    }
    able
}

pub(super) fn on_disk(image: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(image).unwrap();
    file
}

/// What `dir` holds, in the words of [`tree::listing`].
fn listing(dir: &Path) -> String {
    print(&load(dir, Owners::AsIs, &Provenance::new("what was read")).unwrap(), With::Digests).unwrap()
}

/// Something that this machine's kernel has mounted.
pub(super) struct Mount {
    dir: TempDir,
    _image: Option<NamedTempFile>,
}

impl Mount {
    pub(super) fn of(image: &[u8]) -> Option<Self> {
        let known = fs::read_to_string("/proc/filesystems").unwrap().contains("squashfs");
        let able = known && Path::new("/dev/loop-control").exists();
        if !as_root() || !or_skip(able, "this kernel has no squashfs or no loop devices") {
            return None;
        }
        let (dir, image) = (tempfile::tempdir().unwrap(), on_disk(image));
        crate::output(
            Command::new("mount").args(["-t", "squashfs", "-o", "loop,ro"]).arg(image.path()).arg(dir.path()),
        );
        Some(Self { dir, _image: Some(image) })
    }

    /// An overlayfs of layers, the lowest first.
    pub(super) fn overlay(layers: &[Self]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let layers: Vec<_> = layers.iter().rev().map(|layer| layer.path().to_str().unwrap()).collect();
        let options = format!("ro,lowerdir={}", layers.join(":"));
        crate::output(Command::new("mount").args(["-t", "overlay", "overlay", "-o", &options]).arg(dir.path()));
        Self { dir, _image: None }
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn listing(&self) -> String {
        listing(self.path())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Left mounted, the folder stays, which says enough.
        let _ = Command::new("umount").arg(self.dir.path()).status();
    }
}

/// What unsquashfs makes of the image.
pub(super) fn unpacked(image: &[u8]) -> Option<String> {
    let unsquashfs = tool("unsquashfs")?;
    if !as_root() {
        return None;
    }
    let (dir, image) = (tempfile::tempdir().unwrap(), on_disk(image));
    let root = dir.path().join("root");
    crate::output(Command::new(unsquashfs).args(["-quiet", "-no-progress", "-dest"]).arg(&root).arg(image.path()));
    Some(listing(&root))
}

/// backhand knows no xattrs and no hard links; the rest has to be the same.
pub(super) fn backhand_agrees(tree: &Tree, image: &[u8]) {
    let reader = FilesystemReader::from_reader(Cursor::new(image)).unwrap_or_else(|_| panic!("backhand refuses it"));
    let nodes: HashMap<_, _> = reader.files().map(|node| (node.fullpath.as_os_str().as_bytes(), node)).collect();
    assert_eq!(nodes.len(), tree.len());
    for item in tree.walk() {
        let node = nodes[&[b"/", item.path.as_bytes()].concat()[..]];
        let (header, meta) = (&node.header, item.meta);
        let seen = (u32::from(header.permissions), header.uid, header.gid, i64::from(header.mtime));
        let wanted = (meta.mode, meta.uid, meta.gid, meta.mtime.clamp(0, i64::from(u32::MAX)));
        assert_eq!(seen, wanted, "{}", item.path);
        let same = match (&node.inner, item.node) {
            (InnerNode::File(file), Node::Leaf { kind: Kind::File(content), .. }) => {
                let mut bytes = Vec::new();
                reader.file(file).reader().read_to_end(&mut bytes).unwrap();
                bytes == content.read_all(1 << 30).unwrap()
            }
            (InnerNode::Symlink(link), Node::Leaf { kind: Kind::Symlink(target), .. }) => {
                link.link.as_os_str().as_bytes() == target
            }
            (InnerNode::Dir(_), Node::Dir)
            | (InnerNode::CharacterDevice(_), Node::Leaf { kind: Kind::CharDevice { .. }, .. })
            | (InnerNode::BlockDevice(_), Node::Leaf { kind: Kind::BlockDevice { .. }, .. })
            | (InnerNode::NamedPipe, Node::Leaf { kind: Kind::Fifo, .. })
            | (InnerNode::Socket, Node::Leaf { kind: Kind::Socket, .. }) => true,
            _ => false,
        };
        assert!(same, "{}", item.path);
    }
}
