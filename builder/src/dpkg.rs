//! Which packages of a Debian system files belong to, by dpkg's own lists.

use std::collections::BTreeMap;

use tree::TreePath;

use crate::elf::ElfError;
use crate::elf::sysroot::{Found, Sysroot};

/// The largest of Debian has 5 MB.
const LIST_MAX: u64 = 64 << 20;
const INFO: &str = "var/lib/dpkg/info";

/// Those of `paths` that belong to a package of the system in `sysroot`; none
/// where there is no dpkg.
pub(crate) fn owners(sysroot: &dyn Sysroot, paths: &[TreePath]) -> Result<BTreeMap<TreePath, String>, ElfError> {
    let wanted: BTreeMap<&[u8], &TreePath> = paths.iter().map(|path| (unmerged(path.as_bytes()), path)).collect();
    let info = TreePath::new(INFO).expect("a plain path");
    let failed = |path: &TreePath, source| ElfError::Read { path: path.clone(), source };
    let mut names = sysroot.list(&info).map_err(|source| failed(&info, source))?;
    // Whoever comes first is told: in any order of the directory, the same.
    names.sort_unstable();
    let mut owners = BTreeMap::new();
    for name in names {
        let (Some(package), Ok(path)) = (name.strip_suffix(b".list"), info.join(&name)) else { continue };
        let Some(Found::File(_, content)) = sysroot.lookup(&path).map_err(|source| failed(&path, source))? else {
            continue;
        };
        let list = content.read_all(LIST_MAX).map_err(|source| failed(&path, source))?;
        let lines = list.split(|&b| b == b'\n').filter_map(|line| line.strip_prefix(b"/"));
        for path in lines.filter_map(|line| wanted.get(unmerged(line))) {
            owners.entry((*path).clone()).or_insert_with(|| String::from_utf8_lossy(package).into_owned());
        }
    }
    Ok(owners)
}

/// A list may say /bin/sh where a merged /usr has /usr/bin/sh, and the other
/// way round.
fn unmerged(path: &[u8]) -> &[u8] {
    let below = path.strip_prefix(b"usr/").unwrap_or(path);
    let moved = [&b"bin/"[..], b"sbin/", b"lib"].iter().any(|dir| below.starts_with(dir));
    if moved { below } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tree::{Provenance, Tree};

    #[test]
    fn files_are_found_in_the_lists_of_both_kinds_of_usr() {
        let mut root = Tree::new();
        for (name, list) in [
            ("bash.list", "/.\n/bin\n/bin/bash\n"),
            ("libc6:amd64.list", "/usr/lib/x86_64-linux-gnu/libc.so.6\n"),
            ("libc6:amd64.md5sums", "0 usr/bin/none\n"),
        ] {
            let path = TreePath::new(format!("{INFO}/{name}")).unwrap();
            root.insert_file(path, 0o644, list.to_owned().into(), Provenance::new("test")).unwrap();
        }
        let path = |written: &str| TreePath::new(written).unwrap();
        let paths = ["usr/bin/bash", "lib/x86_64-linux-gnu/libc.so.6", "usr/bin/none", "etc/motd"].map(path);
        let owners = owners(&root, &paths).unwrap();
        let owners: Vec<_> = owners.iter().map(|(path, package)| (path.to_string(), package.as_str())).collect();
        let wanted = [("/lib/x86_64-linux-gnu/libc.so.6", "libc6:amd64"), ("/usr/bin/bash", "bash")];
        assert_eq!(owners, wanted.map(|(path, package)| (path.to_owned(), package)));
        assert!(super::owners(&Tree::new(), &paths).unwrap().is_empty());
    }
}
