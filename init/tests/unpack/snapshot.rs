//! A file tree as lines of text, for comparing.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// Path below `root` to everything about it but inode numbers; contents by
/// their bytes. The root itself is the empty path.
pub(crate) fn snapshot(root: &Path) -> BTreeMap<String, String> {
    let mut lines = BTreeMap::new();
    walk(root, root, &mut lines);
    lines
}

fn walk(root: &Path, path: &Path, lines: &mut BTreeMap<String, String>) {
    let about = fs::symlink_metadata(path).unwrap();
    let kind = about.file_type();
    let contents = if kind.is_symlink() {
        format!("-> {}", fs::read_link(path).unwrap().display())
    } else if kind.is_file() {
        format!("{}", fs::read(path).unwrap().escape_ascii())
    } else if kind.is_char_device() || kind.is_block_device() {
        format!("{}", about.rdev())
    } else {
        String::new()
    };
    let links = if kind.is_dir() { 0 } else { about.nlink() };
    let line = format!(
        "{:o} {}:{} {}.{:09} {links} {contents}",
        about.mode(),
        about.uid(),
        about.gid(),
        about.mtime(),
        about.mtime_nsec()
    );
    let name = path.strip_prefix(root).unwrap().as_os_str().as_encoded_bytes().escape_ascii().to_string();
    lines.insert(name, line);
    if kind.is_dir() {
        for child in fs::read_dir(path).unwrap() {
            walk(root, &child.unwrap().path(), lines);
        }
    }
}
