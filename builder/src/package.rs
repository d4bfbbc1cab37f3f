//! Packages of ram mode: a tree as a tar archive, the same bytes for the same tree.

use std::collections::BTreeMap;
use std::io::{self, Write};

use tar::{Builder, EntryType, Header};
use tree::{Item, Kind, LeafId, Node, Tree, TreePath};

#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    #[error("{path}")]
    Content { path: TreePath, source: io::Error },
    #[error("{path}: a socket cannot stand in a tar archive")]
    Socket { path: TreePath },
}

/// Writes all entries but the root, with long names and links as GNU tar
/// writes them, and xattrs as PAX records.
pub fn write(tree: &Tree, out: &mut dyn Write) -> Result<(), PackageError> {
    let mut builder = Builder::new(out);
    let mut first_links = BTreeMap::<LeafId, &TreePath>::new();
    for item in tree.walk().filter(|item| !item.path.is_root()) {
        let failed = |source| PackageError::Content { path: item.path.clone(), source };
        entry(&mut builder, &mut first_links, &item).map_err(|error| match error {
            EntryError::Io(source) => failed(source),
            EntryError::Socket => PackageError::Socket { path: item.path.clone() },
        })?;
    }
    builder.finish().map_err(|source| PackageError::Content { path: TreePath::root(), source })
}

enum EntryError {
    Io(io::Error),
    Socket,
}

impl From<io::Error> for EntryError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn entry<'t>(
    builder: &mut Builder<&mut dyn Write>,
    first_links: &mut BTreeMap<LeafId, &'t TreePath>,
    item: &Item<'t>,
) -> Result<(), EntryError> {
    let mut header = Header::new_gnu();
    header.set_mode(item.meta.mode);
    header.set_uid(u64::from(item.meta.uid));
    header.set_gid(u64::from(item.meta.gid));
    header.set_mtime(item.meta.mtime.max(0) as u64);
    header.set_size(0);
    let name = os_path(item.path.as_bytes());

    let mut device = |kind, major, minor| -> io::Result<()> {
        header.set_entry_type(kind);
        header.set_device_major(major)?;
        header.set_device_minor(minor)
    };
    let kind = match item.node {
        Node::Dir => {
            header.set_entry_type(EntryType::Directory);
            return Ok(builder.append_data(&mut header, name, io::empty())?);
        }
        Node::Leaf { id, kind, .. } => {
            if let Some(first) = first_links.get(&id) {
                header.set_entry_type(EntryType::Link);
                return Ok(builder.append_link(&mut header, name, os_path(first.as_bytes()))?);
            }
            first_links.insert(id, item.path);
            kind
        }
    };
    append_xattrs(builder, item)?;
    match kind {
        Kind::File(content) => {
            header.set_entry_type(EntryType::Regular);
            header.set_size(content.len());
            builder.append_data(&mut header, name, content.open()?)?;
        }
        Kind::Symlink(target) => {
            header.set_entry_type(EntryType::Symlink);
            builder.append_link(&mut header, name, os_path(target))?;
        }
        Kind::CharDevice { major, minor } => {
            device(EntryType::Char, *major, *minor)?;
            builder.append_data(&mut header, name, io::empty())?;
        }
        Kind::BlockDevice { major, minor } => {
            device(EntryType::Block, *major, *minor)?;
            builder.append_data(&mut header, name, io::empty())?;
        }
        Kind::Fifo => {
            header.set_entry_type(EntryType::Fifo);
            builder.append_data(&mut header, name, io::empty())?;
        }
        Kind::Socket => return Err(EntryError::Socket),
    }
    Ok(())
}

fn append_xattrs(builder: &mut Builder<&mut dyn Write>, item: &Item<'_>) -> io::Result<()> {
    let mut records = Vec::new();
    for (name, value) in &item.meta.xattrs {
        let name = std::str::from_utf8(name).map_err(|_| io::Error::other("an xattr whose name is not UTF-8"))?;
        records.push((format!("SCHILY.xattr.{name}"), value.as_slice()));
    }
    if records.is_empty() {
        return Ok(());
    }
    builder.append_pax_extensions(records.iter().map(|(name, value)| (name.as_str(), *value)))
}

fn os_path(bytes: &[u8]) -> &std::path::Path {
    use std::os::unix::ffi::OsStrExt;
    std::path::Path::new(std::ffi::OsStr::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tree::{Content, Leaf, Meta, Provenance};

    #[test]
    fn a_package_reads_back_as_the_tree_it_was_made_from() {
        let from = Provenance::new("test");
        let path = |written: &str| TreePath::new(written).unwrap();
        let mut tree = Tree::new();
        let mut meta = Meta { uid: 1000, gid: 3_000_000, mtime: 7, ..Meta::new(0o4755) };
        meta.xattrs.insert(b"user.note".to_vec(), b"x\0y".to_vec());
        let file = Leaf { meta, kind: Kind::File(Content::from(vec![b'x'; 3000])) };
        tree.insert_leaf(path("usr/bin/tool"), file, from.clone()).unwrap();
        tree.insert_link(path("usr/bin/tool2"), &path("usr/bin/tool"), from.clone()).unwrap();
        tree.insert_symlink(path("usr/link"), "t".repeat(300), from.clone()).unwrap();
        let long = format!("{}/{}", "d".repeat(200), "f".repeat(200));
        tree.insert_file(path(&long), 0o600, Content::from(Vec::new()), from.clone()).unwrap();
        for (name, kind) in [("dev/null", Kind::CharDevice { major: 1, minor: 3 }), ("run/pipe", Kind::Fifo)] {
            tree.insert_leaf(path(name), Leaf { meta: Meta::new(0o666), kind }, from.clone()).unwrap();
        }

        let mut bytes = Vec::new();
        write(&tree, &mut bytes).unwrap();
        let mut twice = Vec::new();
        write(&tree, &mut twice).unwrap();
        assert_eq!(bytes, twice);
        let back = tree::tar::read("test.tar", &*bytes, tree::Limits::default(), &from).unwrap();
        let listed = |tree: &Tree| tree::listing::print(tree, tree::listing::With::Digests).unwrap();
        assert_eq!(listed(&back), listed(&tree));
    }
}
