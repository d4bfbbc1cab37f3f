//! What readers that are not libisofs make of our images.

mod common;

use common::{awkward_tree, bytes, content, from, image, name, path, written};
use iso::Image;

#[test]
fn isoinfo_lists_every_name() {
    let tree = awkward_tree();
    let iso = written(&image(&tree));
    let Some(text) = content("isoinfo", &["-f", "-R", "-i", name(iso.path())]) else { return };
    let found: std::collections::BTreeSet<&str> = text.lines().collect();
    for item in tree.walk().skip(1) {
        let path = format!("/{}", String::from_utf8_lossy(item.path.as_bytes()));
        // genisoimage's own reader keeps names in 256 bytes with the path.
        if item.path.name().len() < 200 {
            assert!(found.contains(&*path), "{path}");
        }
    }
}

#[test]
fn isoinfo_counts_the_links() {
    let tree = awkward_tree();
    let iso = written(&image(&tree));
    let Some(text) = content("isoinfo", &["-l", "-R", "-i", name(iso.path())]) else { return };
    let links = |name: &str| {
        let line =
            text.lines().find(|line| line.ends_with(&format!(" {name} "))).unwrap_or_else(|| panic!("{name}: {text}"));
        line.split_whitespace().nth(1).map(str::to_owned)
    };
    for (name, expected) in [("sudo", "2"), ("blob", "1"), ("many", "2"), ("d1", "3"), ("null", "1")] {
        assert_eq!(links(name).as_deref(), Some(expected), "{name}");
    }
}

#[test]
fn isoinfo_walks_the_plain_names_and_the_path_table() {
    let tree = awkward_tree();
    let iso = written(&image(&tree));
    let Some(text) = content("isoinfo", &["-f", "-i", name(iso.path())]) else { return };
    assert!(text.lines().any(|line| line == "/MANY/SOME_FILE_NAME_007.CONF;1"), "{text}");
    assert_eq!(text.lines().count(), tree.len() - 1, "every identifier is unique");
    let Some(table) = content("isoinfo", &["-p", "-i", name(iso.path())]) else { return };
    let directories = tree.walk().filter(tree::Item::is_dir).count();
    assert_eq!(table.lines().filter(|line| line.contains(": ")).count(), directories, "{table}");
}

#[test]
fn isoinfo_walks_the_joliet_names() {
    let tree = awkward_tree();
    let iso = written(&Image { joliet: true, ..image(&tree) });
    let Some(text) = content("isoinfo", &["-J", "-f", "-i", name(iso.path())]) else { return };
    let found: std::collections::BTreeSet<&str> = text.lines().collect();
    for item in tree.walk().filter(|item| item.is_dir() || item.content().is_some()).skip(1) {
        let path = format!("/{}", String::from_utf8_lossy(item.path.as_bytes()));
        let version = if item.is_dir() { "" } else { ";1" };
        // isoinfo prints what is not ASCII in a character set of its own.
        if item.path.name().len() <= 103 && path.is_ascii() {
            assert!(found.contains(&*(path.replace(';', "_") + version)), "{path}: {text}");
        }
    }
    assert!(!text.contains("/links/short"), "symlinks have no place in Joliet");
}

#[test]
fn seven_zip_finds_nothing_wrong() {
    let tree = awkward_tree();
    let iso = written(&Image { joliet: true, ..image(&tree) });
    let Some(text) = content("7z", &["t", name(iso.path())]) else { return };
    assert!(text.contains("Everything is Ok") && !text.contains("WARNING"), "{text}");
}

#[test]
fn the_same_tree_gives_the_same_bytes() {
    let made = || bytes(&Image { joliet: true, ..image(&awkward_tree()) });
    assert!(made() == made());
}

#[test]
fn more_directories_than_a_path_table_counts_are_refused() {
    let mut tree = tree::Tree::new();
    let mut add = |n| tree.insert_dir(path(&format!("d{n}")), tree::Meta::new(0o755), from()).unwrap();
    (0..65_534).for_each(&mut add);
    assert!(iso::layout(&image(&tree)).is_ok(), "65,535 with the root");
    tree.insert_dir(path("one-more"), tree::Meta::new(0o755), from()).unwrap();
    let error = iso::layout(&image(&tree)).unwrap_err().to_string();
    assert!(error.starts_with("65536 directories"), "{error}");
}
