//! What is left out of a root: globs over whole paths, and the ones that hold
//! without being written anywhere.

use tree::{Tree, TreePath};

/// [`USUAL`] in a plan.
pub const NAME: &str = "/boot and package caches";

/// What a live system never reads: kernel and initramfs stand on the medium, and
/// package managers fetch these again.
pub const USUAL: &[&str] = &[
    "boot/*",
    "var/cache/apk/*",
    "var/cache/apt/*.bin",
    "var/cache/apt/archives/*.deb",
    "var/cache/debconf/*-old",
    "var/cache/dnf/*",
    "var/cache/libdnf5/*",
    "var/cache/pacman/pkg/*",
    "var/cache/xbps/*",
    "var/cache/yum/*",
    "var/cache/zypp/*",
    "var/lib/apt/lists/*_*",
    "var/lib/dpkg/*-old",
    "var/lib/pacman/sync/*",
];

/// `boot/initrd.img*` or `var/cache/apt/*`: in a glob, `*` stops at no slash.
pub fn exclude(tree: &mut Tree, glob: &str) {
    let glob = glob.trim_start_matches('/');
    let doomed: Vec<TreePath> = tree
        .walk()
        .filter(|item| std::str::from_utf8(item.path.as_bytes()).is_ok_and(|path| init::glob::matches(glob, path)))
        .map(|item| item.path.clone())
        .collect();
    for path in doomed {
        tree.remove(&path);
    }
}

pub fn exclude_usual(tree: &mut Tree) {
    for glob in USUAL {
        exclude(tree, glob);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tree::Provenance;

    #[test]
    fn caches_go_and_what_stands_beside_them_stays() {
        let mut tree = Tree::new();
        let stays = [
            "etc/apt/sources.list",
            "usr/lib/modules/6.1/vmlinuz",
            "var/cache/fontconfig/x",
            "var/lib/apt/extended_states",
            "var/lib/apt/lists/auxfiles/README",
            "var/lib/dpkg/status",
        ];
        let goes = [
            "boot/grub/grub.cfg",
            "boot/vmlinuz-6.1",
            "var/cache/apt/archives/bash_5.2_amd64.deb",
            "var/cache/apt/pkgcache.bin",
            "var/cache/dnf/x/repodata/y",
            "var/lib/apt/lists/deb.example_dists_bookworm_InRelease",
            "var/lib/dpkg/status-old",
        ];
        for path in stays.iter().chain(&goes) {
            let path = TreePath::new(path).unwrap();
            tree.insert_file(path, 0o644, Vec::new().into(), Provenance::new("test")).unwrap();
        }
        exclude_usual(&mut tree);
        let left: Vec<String> = tree.walk().filter(|item| !item.is_dir()).map(|item| item.path.to_string()).collect();
        assert_eq!(left, stays.map(|path| format!("/{path}")));
        assert!(tree.contains(&TreePath::new("boot").unwrap()), "a place to mount things at");
    }
}
