//! Reading every kmod of a kernel: some 4,000 files, of each a few KiB.

use std::collections::BTreeMap;

use tree::{Content, Item, Kind, Node, TreePath};

use super::catalog::CatalogError;
use super::modinfo::{Modinfo, kmod_name};
use super::symbols::Symbols;
use super::{Kernel, decompress, parallel};
use crate::elf::{Malformed, Sections};

pub(super) struct Scanned {
    pub name: String,
    pub path: TreePath,
    pub content: Content,
    pub info: Modinfo,
    pub symbols: Symbols,
}

/// In the order of modules.order; what it does not list follows by path. What
/// an administrator put into `updates` comes first: depmod's default search.
pub(super) fn scan(kernel: &Kernel) -> Result<Vec<Scanned>, CatalogError> {
    const ORDER: &str = "modules.order";
    let listed =
        super::read_text(&kernel.modules, ORDER).map_err(|source| CatalogError::List { path: ORDER, source })?;
    let place: BTreeMap<&str, usize> = listed.lines().enumerate().map(|(n, line)| (line, n)).collect();
    let mut found: Vec<_> = kernel.modules.walk().filter_map(kmod_file).collect();
    found.sort_by_cached_key(|found| {
        let path = String::from_utf8_lossy(found.path.as_bytes());
        let uncompressed = path.rfind(".ko").map_or(&*path, |end| &path[..end + 3]);
        (!path.starts_with("updates/"), place.get(uncompressed).copied().unwrap_or(usize::MAX))
    });
    parallel::try_map(&found, read)
}

struct Found<'a> {
    name: String,
    path: &'a TreePath,
    content: &'a Content,
}

fn kmod_file(item: Item<'_>) -> Option<Found<'_>> {
    let Node::Leaf { kind: Kind::File(content), .. } = item.node else { return None };
    Some(Found { name: kmod_name(item.path.name())?, path: item.path, content })
}

fn read(found: &Found<'_>) -> Result<Scanned, CatalogError> {
    let (info, symbols) =
        load(found.content).map_err(|source| CatalogError::Kmod { path: found.path.clone(), source })?;
    Ok(Scanned { name: found.name.clone(), path: found.path.clone(), content: found.content.clone(), info, symbols })
}

/// Reads a kmod as it stands on disk: plain or compressed.
fn load(content: &Content) -> Result<(Modinfo, Symbols), Malformed> {
    let sections = Sections::load(&decompress::plain(content)?)?;
    if !sections.relocatable {
        return Err(Malformed::NotKmod);
    }
    let info = sections.get(".modinfo")?.map(|section| Modinfo::parse(&section)).unwrap_or_default();
    let symbols = Symbols::load(&sections, &info)?;
    Ok((info, symbols))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::elf::fake;

    #[test]
    fn every_compression_is_read_by_its_magic() {
        let plain = fake::kmod(&["depends=dep"]);
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let mut xz = xz2::write::XzEncoder::new(Vec::new(), 0);
        gz.write_all(&plain).unwrap();
        xz.write_all(&plain).unwrap();
        let zst = zstd::bulk::compress(&plain, 1).unwrap();
        for packed in [plain.clone(), gz.finish().unwrap(), xz.finish().unwrap(), zst] {
            for len in 0..packed.len() {
                assert!(load(&packed[..len].to_vec().into()).is_err(), "{len} of {} bytes", packed.len());
            }
            assert_eq!(load(&packed.into()).unwrap().0.depends, ["dep"]);
        }
    }

    #[test]
    fn a_program_is_not_a_kmod() {
        let program = fake::dynamic(&fake::Dynamic::default());
        assert!(matches!(load(&program.into()), Err(Malformed::NotKmod)));
    }
}
