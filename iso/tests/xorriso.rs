//! libisofs reads what we write: every entry's type, mode, owner,
//! size, target and content.

mod common;

use std::collections::BTreeMap;

use common::{SECTION, awkward_tree, content, image, metadata_of, name, path, tree_with_a_file_of, written};
use tree::{Item, Kind, Node, Tree};

/// A line of `-exec lsdl` by path, without its date and without the number of
/// links, which xorriso does not take from the image.
fn listed(text: &str) -> BTreeMap<String, String> {
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let [mode, _, uid, gid, size] = std::array::from_fn(|_| words.next().unwrap_or_default());
        let (_, rest) = line.split_once(" '")?;
        let (path, target) = rest.split_once("' -> '").unwrap_or((rest.strip_suffix('\'')?, "'"));
        let target = target.trim_end_matches('\'');
        let is_listing = mode.len() == 10 && path.starts_with('/');
        is_listing.then(|| (path.to_owned(), format!("{mode} {uid}:{gid} {size} {target}")))
    };
    text.lines().filter_map(line).collect()
}

fn mode_text(kind: char, mode: u32) -> String {
    let mut text = String::from(kind);
    for shift in [6, 3, 0] {
        let bits = mode >> shift;
        text.push(if bits & 4 == 4 { 'r' } else { '-' });
        text.push(if bits & 2 == 2 { 'w' } else { '-' });
        text.push(match (bits & 1 == 1, shift == 6 && mode & 0o4000 != 0, shift == 0 && mode & 0o1000 != 0) {
            (true, true, _) => 's',
            (true, _, true) => 't',
            (true, ..) => 'x',
            (false, ..) => '-',
        });
    }
    text
}

fn expected(tree: &Tree) -> BTreeMap<String, String> {
    let line = |item: Item<'_>| {
        let (kind, size, target) = match item.node {
            Node::Dir => ('d', "0".to_owned(), ""),
            Node::Leaf { kind, .. } => match kind {
                Kind::File(content) => ('-', content.len().to_string(), ""),
                Kind::Symlink(target) => ('l', "0".to_owned(), std::str::from_utf8(target).unwrap()),
                Kind::CharDevice { major, minor } => ('c', format!("{major},{minor}"), ""),
                Kind::BlockDevice { major, minor } => ('b', format!("{major},{minor}"), ""),
                Kind::Fifo => ('p', "0".to_owned(), ""),
                Kind::Socket => ('s', "0".to_owned(), ""),
            },
        };
        let mode = mode_text(kind, item.meta.mode);
        let path = format!("/{}", String::from_utf8_lossy(item.path.as_bytes()));
        (path, format!("{mode} {}:{} {size} {target}", item.meta.uid, item.meta.gid))
    };
    tree.walk().map(line).collect()
}

#[test]
fn every_entry_comes_back_as_it_was() {
    let tree = awkward_tree();
    let iso = written(&image(&tree));
    let args = [
        "-return_with",
        "SORRY",
        "32",
        "-hardlinks",
        "on",
        "-indev",
        name(iso.path()),
        "-find",
        "/",
        "-exec",
        "lsdl",
        "--",
    ];
    let Some(text) = content("xorriso", &args) else { return };
    assert!(text.contains("Volume id    : 'TEST_IMAGE'"), "{text}");
    let (found, expected) = (listed(&text), expected(&tree));
    for (path, line) in &expected {
        assert_eq!(found.get(path), Some(line), "{path}");
    }
    assert_eq!(found.len(), expected.len());
}

#[test]
fn every_byte_and_time_comes_back() {
    use std::os::unix::fs::MetadataExt;
    let tree = awkward_tree();
    let iso = written(&image(&tree));
    let out = tempfile::tempdir().unwrap();
    let to = out.path().join("x");
    let args = ["-return_with", "FAILURE", "32", "-osirrox", "on:auto_chmod_on", "-indev", name(iso.path())];
    let extract = ["-extract", "/", name(&to), "-rollback_end"];
    let Some(_) = content("xorriso", &[&args[..], &extract].concat()) else { return };
    for item in tree.walk() {
        let host = to.join(std::str::from_utf8(item.path.as_bytes()).unwrap());
        if let Some(target) = item.symlink_target() {
            assert_eq!(std::fs::read_link(host).unwrap().to_str().unwrap().as_bytes(), target);
        } else if let Some(content) = item.content() {
            assert_eq!(std::fs::metadata(&host).unwrap().mtime(), item.meta.mtime, "{}", item.path);
            assert!(std::fs::read(host).unwrap() == content.read_all(1 << 30).unwrap(), "{}", item.path);
        }
    }
}

#[test]
fn the_media_check_finds_every_block_readable() {
    let tree = awkward_tree();
    let iso = written(&image(&tree));
    let Some(text) = content("xorriso", &["-indev", name(iso.path()), "-check_media", "--"]) else { return };
    assert!(text.contains("+ good"), "{text}");
    assert!(!text.contains("SORRY") && !text.contains("FAILURE"), "{text}");
}

#[test]
fn hard_links_share_one_extent() {
    let tree = awkward_tree();
    let layout = iso::layout(&image(&tree)).unwrap();
    let [su, sudo] = ["bin/su", "bin/sudo"].map(|p| layout.extent(&path(p)).unwrap());
    assert_eq!(su, sudo);
    assert_eq!(layout.extent(&path("nowhere")), None);
}

#[test]
fn a_file_over_4_gib_is_one_file_in_two_sections() {
    let len = SECTION + 5000;
    let (tree, _sparse) = tree_with_a_file_of(len);
    let lba = iso::layout(&image(&tree)).unwrap().extent(&path("big")).unwrap().lba;
    let iso = metadata_of(&image(&tree));
    let args = ["-indev", name(iso.path()), "-find", "/big", "-exec", "report_lba", "--"];
    let Some(text) = content("xorriso", &args) else { return };
    let squeezed: Vec<String> = text.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let blocks = (SECTION / 2048) as u32;
    for expected in [
        format!("File data lba: 0 , {lba} , {blocks} , {len} , '/big'"),
        format!("File data lba: 1 , {} , 3 , {len} , '/big'", lba + blocks),
    ] {
        assert!(squeezed.contains(&expected), "{expected}\n{text}");
    }
}
