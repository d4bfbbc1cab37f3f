//! SHA-256 over what goes into an image.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use init::manifest::Hex;
use sha2::{Digest, Sha256};
use tree::{Content, Kind, Node, Tree};

pub fn content(content: &Content) -> io::Result<[u8; 32]> {
    let mut sum = Summing(Sha256::new());
    io::copy(&mut content.open()?, &mut sum)?;
    Ok(sum.0.finalize().into())
}

/// Over paths, metadata and content, in the tree's order; where an entry came
/// from does not count.
pub fn tree(tree: &Tree) -> io::Result<[u8; 32]> {
    let mut sum = Summing(Sha256::new());
    let mut first_links = BTreeMap::new();
    for item in tree.walk() {
        let meta = item.meta;
        write!(sum, "{} {:o} {} {} {} ", item.path, meta.mode, meta.uid, meta.gid, meta.mtime)?;
        for (name, value) in &meta.xattrs {
            write!(sum, "{}={} ", Hex(name), Hex(value))?;
        }
        match item.node {
            Node::Dir => write!(sum, "dir")?,
            Node::Leaf { id, kind, .. } => match (first_links.entry(id).or_insert(item.path), kind) {
                (first, _) if *first != item.path => write!(sum, "link {first}")?,
                (_, Kind::File(file)) => write!(sum, "file {}", Hex(&content(file)?))?,
                (_, other) => write!(sum, "{other:?}")?,
            },
        }
        writeln!(sum)?;
    }
    Ok(sum.0.finalize().into())
}

/// Reads through `inner` and digests what passed.
#[derive(Debug)]
pub struct Tee<R> {
    inner: R,
    sum: Sha256,
    len: u64,
}

impl<R: Read> Tee<R> {
    pub fn new(inner: R) -> Self {
        Self { inner, sum: Sha256::new(), len: 0 }
    }

    pub fn finish(self) -> ([u8; 32], u64) {
        (self.sum.finalize().into(), self.len)
    }
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(buf)?;
        self.sum.update(&buf[..got]);
        self.len += got as u64;
        Ok(got)
    }
}

struct Summing(Sha256);

impl Write for Summing {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.update(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tree::{Provenance, TreePath};

    #[test]
    fn a_trees_digest_is_of_what_it_holds_and_not_of_how_it_came() {
        let path = |written: &str| TreePath::new(written).unwrap();
        let file = |text: &str| Content::from(text.to_owned());
        let build = |names: [&str; 2], text: &str, from: &str| {
            let mut tree = Tree::new();
            for name in names {
                tree.insert_file(path(name), 0o644, file(text), Provenance::new(from)).unwrap();
            }
            super::tree(&tree).unwrap()
        };
        let one = build(["a", "b"], "x", "here");
        assert_eq!(one, build(["b", "a"], "x", "there"));
        assert_ne!(one, build(["a", "b"], "y", "here"));
        let mut linked = Tree::new();
        linked.insert_file(path("a"), 0o644, file("x"), Provenance::new("here")).unwrap();
        linked.insert_link(path("b"), &path("a"), Provenance::new("here")).unwrap();
        assert_ne!(one, super::tree(&linked).unwrap(), "a hard link is not a copy");
    }
}
