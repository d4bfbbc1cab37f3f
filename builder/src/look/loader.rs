//! Boot entries as the loaders' own configuration files have them: isolinux,
//! GRUB and the Boot Loader Specification's.

use std::collections::BTreeSet;

use tree::{Item, Tree, TreePath};

/// What stands in a configuration that is worth reading: menus have a few KB.
const CONFIG_MAX: u64 = 1 << 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootEntry {
    pub config: TreePath,
    pub title: String,
    /// Kernel and initramfs, where they stand in the same image; one that the
    /// loader works out itself is left out.
    pub files: Vec<TreePath>,
    pub cmdline: String,
}

/// The entries of every configuration in the tree.
pub fn entries(tree: &Tree) -> std::io::Result<Vec<BootEntry>> {
    let mut entries = Vec::new();
    for item in tree.walk() {
        let (Some(parse), Some(content)) = (parser(&item), item.content()) else { continue };
        if content.len() <= CONFIG_MAX {
            let text = String::from_utf8_lossy(&content.read_all(CONFIG_MAX)?).into_owned();
            entries.extend(parse(item.path, &text));
        }
    }
    Ok(entries)
}

/// The command lines there are, each once.
pub fn cmdlines(entries: &[BootEntry]) -> BTreeSet<&str> {
    entries.iter().map(|entry| entry.cmdline.as_str()).collect()
}

type Parser = fn(&TreePath, &str) -> Vec<BootEntry>;

fn parser(item: &Item<'_>) -> Option<Parser> {
    let name = item.path.name();
    let dir = item.path.parent().unwrap_or_default();
    match name {
        b"isolinux.cfg" | b"syslinux.cfg" | b"txt.cfg" | b"extlinux.conf" => Some(syslinux),
        b"grub.cfg" | b"loopback.cfg" => Some(grub),
        _ if dir.as_bytes().ends_with(b"loader/entries") && name.ends_with(b".conf") => Some(loader_spec),
        _ => None,
    }
}

/// `LABEL` begins an entry; keywords have no case.
fn syslinux(config: &TreePath, text: &str) -> Vec<BootEntry> {
    let mut entries: Vec<BootEntry> = Vec::new();
    for line in text.lines() {
        let (key, value) = split(line);
        let key = key.to_ascii_lowercase();
        if key == "label" {
            entries.push(empty(config, value));
            continue;
        }
        let Some(entry) = entries.last_mut() else { continue };
        match key.as_str() {
            "menu" => {
                if let ("label", title) = (split(value).0.to_ascii_lowercase().as_str(), split(value).1) {
                    entry.title = title.replace('^', "");
                }
            }
            "kernel" | "linux" => entry.files.extend(beside(config, value)),
            "initrd" => entry.files.extend(value.split(',').filter_map(|file| beside(config, file))),
            "append" => {
                let initrds = value.split_whitespace().filter_map(|word| word.strip_prefix("initrd="));
                entry.files.extend(initrds.flat_map(|files| files.split(',')).filter_map(|file| beside(config, file)));
                entry.cmdline = words(value.split_whitespace().filter(|word| !word.starts_with("initrd=")));
            }
            _ => {}
        }
    }
    entries
}

/// Commands may be conditions: `if linux FILE ARGUMENTS; then`.
fn grub(config: &TreePath, text: &str) -> Vec<BootEntry> {
    let mut entries: Vec<BootEntry> = Vec::new();
    for line in text.lines().map(str::trim) {
        let line = line.strip_prefix("if ").unwrap_or(line);
        let (key, value) = split(line);
        if key == "menuentry" {
            entries.push(empty(config, &quoted(value)));
            continue;
        }
        let Some(entry) = entries.last_mut() else { continue };
        let mut arguments = arguments(value);
        match key {
            "linux" | "linux16" | "linuxefi" => {
                entry.files.extend(arguments.next().and_then(absolute));
                entry.cmdline = words(arguments);
            }
            "initrd" | "initrd16" | "initrdefi" => entry.files.extend(arguments.filter_map(absolute)),
            _ => {}
        }
    }
    entries
}

/// The words up to the end of the command.
fn arguments(text: &str) -> impl Iterator<Item = &str> {
    let mut ended = false;
    text.split_whitespace().map_while(move |word| {
        if ended || word.starts_with(['|', '&', ';']) {
            return None;
        }
        ended = word.ends_with(';');
        Some(word.trim_end_matches(';'))
    })
}

fn loader_spec(config: &TreePath, text: &str) -> Vec<BootEntry> {
    let mut entry = empty(config, "");
    for line in text.lines() {
        let (key, value) = split(line);
        match key {
            "title" => entry.title = value.into(),
            "linux" | "initrd" | "efi" | "uki" => entry.files.extend(absolute(value)),
            "options" => {
                entry.cmdline = words([entry.cmdline.as_str(), value].into_iter().flat_map(str::split_whitespace));
            }
            _ => {}
        }
    }
    vec![entry]
}

fn empty(config: &TreePath, title: &str) -> BootEntry {
    BootEntry { config: config.clone(), title: title.into(), files: Vec::new(), cmdline: String::new() }
}

fn split(line: &str) -> (&str, &str) {
    let line = line.trim();
    let (key, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    (key, value.trim())
}

/// The first word, with blanks in it if it is quoted.
fn quoted(text: &str) -> String {
    match text.chars().next() {
        Some(quote @ ('"' | '\'')) => text[1..].split(quote).next().unwrap_or_default().into(),
        _ => text.split([' ', '{']).next().unwrap_or_default().into(),
    }
}

fn words<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.collect::<Vec<_>>().join(" ")
}

/// A path that begins at the image's root; `($root)` before it is GRUB's word
/// for that. One with a variable in it is known to the loader alone.
fn absolute(written: &str) -> Option<TreePath> {
    let written = written.trim_matches(['"', '\'']);
    let path = written.strip_prefix("($root)").unwrap_or(written);
    let known = path.starts_with(['/', '\\']) && !path.contains('$');
    known.then(|| TreePath::new(path.replace('\\', "/")).ok()).flatten()
}

/// syslinux looks beside its configuration.
fn beside(config: &TreePath, written: &str) -> Option<TreePath> {
    if written.is_empty() {
        return None;
    }
    let dir = if written.starts_with('/') { TreePath::root() } else { config.parent()? };
    dir.join(written).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tree::{Content, Provenance};

    #[test]
    fn every_loaders_entries_are_read() {
        let mut tree = Tree::new();
        let mut add = |path: &str, text: &str| {
            let content = Content::from(text.to_owned());
            tree.insert_file(TreePath::new(path).unwrap(), 0o644, content, Provenance::new("test")).unwrap();
        };
        add(
            "isolinux/isolinux.cfg",
            "default a\nLABEL a\n  MENU LABEL ^Start it\n  KERNEL ../k\n  kernel vmlinuz\n  append initrd=/i,extra  quiet  splash\n",
        );
        add(
            "boot/grub/grub.cfg",
            "linux /not-an-entry\nmenuentry 'Start it' --class x {\n linux ($root)/boot/vmlinuz quiet\n\
             if initrd /boot/initramfs.img; then\n boot\n fi\n}\nmenuentry \"Other\" {\n linux ${prefix}/k a b\n}\n",
        );
        add("loader/entries/one.conf", "title One\nlinux \\k\ninitrd /i\noptions a  b\noptions c\n");
        add("etc/other.conf", "title No\n");
        let shown: Vec<_> =
            entries(&tree).unwrap().into_iter().map(|e| format!("{} {:?} {}", e.title, e.files, e.cmdline)).collect();
        assert_eq!(
            shown,
            [
                "Start it [/boot/vmlinuz, /boot/initramfs.img] quiet",
                "Other [] a b",
                "Start it [/isolinux/vmlinuz, /i, /isolinux/extra] quiet splash",
                "One [/k, /i] a b c",
            ]
        );
    }
}
