//! Why a build packs anew: what of a tree the cache does not have.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Range;

use tree::{Tree, TreePath};

use super::blocks;
use super::cache::BlockCache;
use super::files;
use super::inventory::Inventory;
use super::packer::Lookup;
use super::{Options, SquashfsError};

/// What would be packed anew.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Missing {
    pub blocks: u64,
    /// Of so many blocks in all.
    pub of: u64,
    /// Files with blocks of their own that are not there, and how many.
    pub files: Vec<(TreePath, u64)>,
    /// For each fragment block that is not there, the files that share it.
    pub fragments: Vec<Vec<TreePath>>,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (path, blocks) in &self.files {
            writeln!(f, "{path}: {blocks} of its blocks are not there")?;
        }
        for files in &self.fragments {
            f.write_str("a block that is not there holds")?;
            files.iter().try_for_each(|path| write!(f, " {path}"))?;
            writeln!(f)?;
        }
        writeln!(f, "{} of {} blocks would be packed", self.blocks, self.of)
    }
}

/// Reads the tree as [`super::write`] would, and packs nothing. `None` if
/// nothing is ever kept of this codec, or there is no cache in `options`.
pub fn missing(tree: &Tree, options: &Options) -> Result<Option<Missing>, SquashfsError> {
    let Some(at) = &options.cache else { return Ok(None) };
    let opened = BlockCache::open(&at.dir, options.compression, options.block_size);
    let failed = |source: io::Error| SquashfsError::Cache { dir: at.dir.clone(), source };
    let Some(cache) = opened.map_err(failed)? else { return Ok(None) };
    let inventory = Inventory::take(tree)?;
    let pack = |feed: &mut blocks::Feed| files::pack(&inventory.files, options, feed);
    let mut there = Vec::new();
    let (packed, words) = blocks::run(options, &mut there, || Ok(Lookup(&cache)), pack, &mut |_| ())?;

    let mut missing = Missing { of: words.len() as u64, ..Missing::default() };
    let absent = |numbers: Range<usize>| there[numbers].iter().map(|there| u64::from(*there == 0)).sum();
    missing.blocks = absent(0..there.len());
    let mut fragments: BTreeMap<u32, Vec<TreePath>> = BTreeMap::new();
    let mut told = vec![false; packed.stored.len()];
    for (file, place) in inventory.files.iter().zip(&packed.places) {
        let stored = &packed.stored[*place];
        let blocks = absent(stored.numbers());
        // A duplicate has the blocks of the file that came first.
        if blocks > 0 && !std::mem::replace(&mut told[*place], true) {
            missing.files.push((file.path.clone(), blocks));
        }
        if let Some(tail) = stored.tail.filter(|tail| there[packed.fragments[tail.fragment as usize]] == 0) {
            fragments.entry(tail.fragment).or_default().push(file.path.clone());
        }
    }
    missing.fragments = fragments.into_values().collect();
    Ok(Some(missing))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use tree::{Content, Provenance};

    use super::*;
    use crate::squashfs::{CacheAt, write};

    fn tree(files: &[(&str, usize, u8)]) -> Tree {
        let mut tree = Tree::new();
        for (name, len, byte) in files {
            let bytes: Vec<u8> = (0..*len).map(|n| (n / 100) as u8 ^ byte).collect();
            let path = TreePath::new(name).unwrap();
            tree.insert_file(path, 0o644, Content::from(bytes), Provenance::new("test")).unwrap();
        }
        tree
    }

    #[test]
    fn what_changed_is_named_and_what_did_not_is_taken() {
        let home = tempfile::tempdir().unwrap();
        let cache = Some(CacheAt { dir: home.path().into(), max: u64::MAX });
        let options = Options { cache, block_size: "4K".parse().unwrap(), ..Options::new("zstd:3".parse().unwrap()) };
        let old = tree(&[("a", 20_000, 1), ("b", 8192, 2), ("c", 100, 3), ("d", 100, 4)]);
        let before = missing(&old, &options).unwrap().unwrap();
        assert_eq!((before.blocks, before.of), (8, 8));

        let pack = |tree: &Tree, options: &Options| {
            let mut out = Cursor::new(Vec::new());
            let written = write(tree, options, &mut out).unwrap();
            (out.into_inner(), written.cache.taken, written.cache.kept)
        };
        let (cold, taken, kept) = pack(&old, &options);
        assert_eq!((taken, kept), (0, 8));
        let (warm, taken, kept) = pack(&old, &options);
        assert_eq!((taken, kept), (8, 0));
        assert!(cold == warm && cold == pack(&old, &Options { cache: None, ..options.clone() }).0);
        assert_eq!(missing(&old, &options).unwrap(), Some(Missing { of: 8, ..Missing::default() }));

        let new = tree(&[("a", 20_000, 1), ("b", 8192, 5), ("c", 100, 6), ("d", 100, 4)]);
        let path = |name| TreePath::new(name).unwrap();
        let wanted =
            Missing { blocks: 3, of: 8, files: vec![(path("b"), 2)], fragments: vec![vec![path("c"), path("d")]] };
        assert_eq!(
            wanted.to_string(),
            "/b: 2 of its blocks are not there\na block that is not there holds /c /d\n3 of 8 blocks would be packed\n"
        );
        assert_eq!(missing(&new, &options).unwrap(), Some(wanted));
        let (_, taken, kept) = pack(&new, &options);
        assert_eq!((taken, kept), (5, 3));
    }
}
