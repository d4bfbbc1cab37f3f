//! Boot loaders' files: out of fetched packages, or where this system has them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tree::{Content, Item, Provenance, Tree};

use super::cache::{Cache, Wanted};
use super::{SourceError, bad};
use crate::arch::Arch;
use crate::deb;
use crate::profile::Located;

/// A file that a boot loader is made of, or a folder with all files in it.
#[derive(Debug)]
pub struct Need {
    /// What the loader asks for it by; `name/FILE` for those of a folder.
    pub name: &'static str,
    /// Who has it; several where releases call the package differently.
    pub packages: &'static [&'static str],
    /// How its path ends, here and in other distributions: whole components.
    pub paths: &'static [&'static str],
}

/// What [`Need::paths`] are relative to on a running system.
const HOST_DIRS: [&str; 4] = ["/usr/lib", "/usr/lib/syslinux", "/usr/share", "/boot"];

impl Need {
    fn wanted(&self, arch: Arch) -> Wanted {
        Wanted::Package { names: self.packages.iter().map(|name| (*name).to_owned()).collect(), arch }
    }

    fn on_host(&self) -> Option<PathBuf> {
        let candidates = self.paths.iter().flat_map(|path| HOST_DIRS.map(|dir| Path::new(dir).join(path)));
        candidates.into_iter().find(|path| path.exists())
    }

    /// The files of a package that it means, with their names.
    fn in_package(&self, tree: &Tree) -> Vec<(String, Content)> {
        self.ending(tree, self.paths.iter().copied())
    }

    /// The same in a folder of the user's, where no package's paths have to be.
    fn in_folder(&self, tree: &Tree) -> Vec<(String, Content)> {
        let bare = self.paths.iter().filter_map(|path| path.rsplit('/').next());
        self.ending(tree, self.paths.iter().copied().chain(bare))
    }

    fn ending<'e>(&self, tree: &Tree, mut ends: impl Iterator<Item = &'e str>) -> Vec<(String, Content)> {
        let found = |end: &str| tree.walk().filter_map(|item| self.named(&item, end)).collect::<Vec<_>>();
        ends.find_map(|end| Some(found(end)).filter(|found| !found.is_empty())).unwrap_or_default()
    }

    fn named(&self, item: &Item<'_>, end: &str) -> Option<(String, Content)> {
        let path = item.path.to_string();
        let at = |path: &str| path == end || path.strip_suffix(end).is_some_and(|before| before.ends_with('/'));
        let name = match path.rsplit_once('/') {
            _ if at(&path) => self.name.to_owned(),
            Some((dir, file)) if at(dir) => format!("{}/{file}", self.name),
            _ => return None,
        };
        Some((name, item.content()?.clone()))
    }
}

/// What has to be fetched for `needs`, each package once.
pub(super) fn wanted(needs: &[&Need], arch: Arch, own: Option<&Located<PathBuf>>) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    // A folder that cannot be read is told when it is loaded.
    let own = own.and_then(|dir| load_folder(dir).ok()).unwrap_or_default();
    for need in needs.iter().filter(|need| need.in_folder(&own).is_empty() && need.on_host().is_none()) {
        if !wanted.contains(&need.wanted(arch)) {
            wanted.push(need.wanted(arch));
        }
    }
    wanted
}

/// The boot loaders' files, by [`Need::name`].
#[derive(Debug, Default)]
pub struct LoaderFiles {
    files: BTreeMap<String, (Content, Provenance)>,
}

impl LoaderFiles {
    /// The cache before this system's folders: what was fetched stays what is
    /// used. The user's own folder is before both.
    pub(super) fn load(
        needs: &[&Need],
        arch: Arch,
        own: Option<&Located<PathBuf>>,
        cache: &Cache,
    ) -> Result<Self, SourceError> {
        let mut packages: BTreeMap<PathBuf, Tree> = BTreeMap::new();
        let mut loaded = Self::default();
        let own = own.map(load_folder).transpose()?.unwrap_or_default();
        for need in needs {
            let package = cache.path(&need.wanted(arch));
            let from = Provenance::new(format!("boot loader file {}", need.name)).because("boot");
            let given = need.in_folder(&own);
            let (path, found) = if !given.is_empty() {
                (PathBuf::new(), given)
            } else if package.is_file() {
                if !packages.contains_key(&package) {
                    packages.insert(package.clone(), deb::load(&package, &from)?);
                }
                let found = need.in_package(&packages[&package]);
                (package, found)
            } else {
                let path = need.on_host().expect("it would be missing otherwise");
                let found = host_files(need.name, &path)
                    .map_err(|source| SourceError::LoaderFile { path: path.clone(), source })?;
                (path, found)
            };
            if found.is_empty() {
                return Err(SourceError::NoLoaderFile { file: need.name, path });
            }
            loaded.files.extend(found.into_iter().map(|(name, content)| (name, (content, from.clone()))));
        }
        Ok(loaded)
    }

    pub(crate) fn insert(&mut self, name: &str, content: Content, from: Provenance) {
        self.files.insert(name.to_owned(), (content, from));
    }

    pub fn get(&self, name: &str) -> Option<(&Content, &Provenance)> {
        self.files.get(name).map(|(content, from)| (content, from))
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Content)> {
        self.files.iter().map(|(name, (content, _))| (name.as_str(), content))
    }
}

fn load_folder(dir: &Located<PathBuf>) -> Result<Tree, SourceError> {
    let from =
        Provenance::new("the boot loaders' folder").because(format!("profile {}: boot.files", dir.place.short()));
    tree::host::load(&dir.value, tree::host::Owners::Root, &from)
        .map_err(|e| bad(&dir.place, "the boot loaders' folder cannot be read", e))
}

fn host_files(name: &str, path: &Path) -> std::io::Result<Vec<(String, Content)>> {
    if !path.is_dir() {
        return Ok(vec![(name.to_owned(), Content::host(path, path.metadata()?.len()))]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let path = entry?.path();
        let meta = path.metadata()?;
        if let (true, Some(file)) = (meta.is_file(), path.file_name().and_then(|file| file.to_str())) {
            files.push((format!("{name}/{file}"), Content::host(path.as_path(), meta.len())));
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tree::TreePath;

    const NEED: Need = Need { name: "menu.c32", packages: &["p"], paths: &["bios/menu.c32", "syslinux/menu.c32"] };
    const FOLDER: Need = Need { name: "i386-pc", packages: &["p"], paths: &["grub/i386-pc"] };

    fn found(need: &Need, paths: &[&str]) -> Vec<(String, String)> {
        let mut tree = Tree::new();
        for path in paths {
            let content = Content::from((*path).to_owned());
            tree.insert_file(TreePath::new(path).unwrap(), 0o644, content, Provenance::default()).unwrap();
        }
        let text = |content: Content| String::from_utf8(content.read_all(99).unwrap()).unwrap();
        need.in_package(&tree).into_iter().map(|(name, content)| (name, text(content))).collect()
    }

    #[test]
    fn a_file_is_found_by_the_end_of_its_path() {
        for (paths, wanted) in [
            (&["usr/lib/bios/menu.c32", "usr/lib/efi/menu.c32"][..], Some("usr/lib/bios/menu.c32")),
            (&["usr/share/syslinux/menu.c32"], Some("usr/share/syslinux/menu.c32")),
            (&["a/syslinux/menu.c32", "b/bios/menu.c32"], Some("b/bios/menu.c32")),
            (&["usr/lib/xbios/menu.c32", "bios/menu.c32.old"], None),
        ] {
            let found = found(&NEED, paths);
            assert_eq!(found.first().map(|(_, from)| from.as_str()), wanted, "{paths:?}");
        }
    }

    #[test]
    fn a_folder_of_the_users_needs_no_packages_paths() {
        let mut tree = Tree::new();
        let path = TreePath::new("mine/menu.c32").unwrap();
        tree.insert_file(path, 0o644, Content::from(Vec::new()), Provenance::default()).unwrap();
        assert!(NEED.in_package(&tree).is_empty());
        assert_eq!(NEED.in_folder(&tree).len(), 1);
    }

    #[test]
    fn a_folder_brings_its_files_and_not_those_below() {
        let found = found(&FOLDER, &["usr/lib/grub/i386-pc/a.mod", "usr/lib/grub/i386-pc/b/c.mod", "x/i386-pc/d.mod"]);
        assert_eq!(found, [("i386-pc/a.mod".to_owned(), "usr/lib/grub/i386-pc/a.mod".to_owned())]);
    }
}
