use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use tree::listing::{self, Difference, With};
use tree::{Content, Kind, Leaf, Meta, Node, Provenance, Tree, TreePath};

/// Few names, so that trees meet.
fn path() -> impl Strategy<Value = TreePath> {
    vec(prop::sample::select(&["a", "b", "c", "a-b"]), 1..4).prop_map(|names| TreePath::new(names.join("/")).unwrap())
}

fn any_path() -> impl Strategy<Value = TreePath> {
    vec(any::<u8>(), 1..20).prop_filter_map("no path", |bytes| TreePath::new(bytes).ok())
}

fn meta() -> impl Strategy<Value = Meta> {
    let xattrs = btree_map(vec(any::<u8>(), 1..9), vec(any::<u8>(), 0..9), 0..3);
    (0..0o10_000u32, any::<u32>(), any::<u32>(), any::<i64>(), xattrs)
        .prop_map(|(mode, uid, gid, mtime, xattrs)| Meta { mode, uid, gid, mtime, xattrs })
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        vec(any::<u8>(), 0..9).prop_map(|bytes| Kind::File(Content::from(bytes))),
        vec(any::<u8>(), 1..9).prop_map(Kind::Symlink),
        any::<(u32, u32)>().prop_map(|(major, minor)| Kind::CharDevice { major, minor }),
        any::<(u32, u32)>().prop_map(|(major, minor)| Kind::BlockDevice { major, minor }),
        Just(Kind::Fifo),
        Just(Kind::Socket),
    ]
}

#[derive(Debug, Clone)]
enum Step {
    Dir(TreePath, Meta),
    Leaf(TreePath, Meta, Kind),
    Link(TreePath, usize),
}

/// A tree out of steps; those that contradict what is there are passed over,
/// which a tree survives.
fn tree(who: &'static str, path: impl Strategy<Value = TreePath>) -> impl Strategy<Value = Tree> {
    let step = (path, meta(), kind(), any::<usize>(), 0..3u8).prop_map(|(path, meta, kind, n, which)| match which {
        0 => Step::Dir(path, meta),
        1 => Step::Leaf(path, meta, kind),
        _ => Step::Link(path, n),
    });
    vec(step, 0..24).prop_map(move |steps| {
        let (mut tree, from) = (Tree::new(), Provenance::new(who));
        for step in steps {
            let before = tree.clone();
            let done = match step {
                Step::Dir(path, meta) => tree.insert_dir(path, meta, from.clone()),
                Step::Leaf(path, meta, kind) => tree.insert_leaf(path, Leaf { meta, kind }, from.clone()).map(drop),
                Step::Link(path, n) => {
                    let leaves: Vec<_> =
                        tree.walk().filter(|item| !item.is_dir()).map(|item| item.path.clone()).collect();
                    let Some(to) = leaves.get(n % leaves.len().max(1)) else { continue };
                    tree.insert_link(path, to, from.clone())
                }
            };
            assert!(done.is_ok() || same(&tree, &before), "a refused step changes nothing");
        }
        tree
    })
}

fn same(a: &Tree, b: &Tree) -> bool {
    listing::of(a, With::Digests).unwrap() == listing::of(b, With::Digests).unwrap()
}

/// What every tree holds to: each entry has its parent before it, and each
/// leaf counts its paths rightly.
fn is_sound(tree: &Tree) {
    let mut links = BTreeMap::new();
    for item in tree.walk() {
        if let Some(parent) = item.path.parent() {
            assert!(tree.get(&parent).unwrap().is_dir() && parent < *item.path);
        }
        if let Node::Leaf { id, links: n, .. } = item.node {
            links.entry(id).or_insert((n, 0)).1 += 1;
        }
    }
    assert!(links.values().all(|(said, counted)| said == counted), "{links:?}");
}

/// Changes to bytes of an archive, in the letters that its fields are made of
/// or any other.
fn edits() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    vec((any::<prop::sample::Index>(), prop_oneof![b'0'..=b'9', b'a'..=b'f', any::<u8>()]), 1..12)
}

proptest! {
    #[test]
    fn no_edited_tar_makes_its_reader_panic(edits in edits(), cut in any::<prop::sample::Index>()) {
        let mut archive = crate::tar::everything();
        for (at, byte) in edits {
            let at = at.index(archive.len());
            archive[at] = byte;
            crate::tar::forge(&mut archive, at);
        }
        for archive in [&archive[..], &archive[..cut.index(archive.len())]] {
            if let Ok(tree) = crate::tar::read(archive) {
                is_sound(&tree);
            }
        }
    }

    #[test]
    fn no_edited_cpio_makes_its_reader_panic(edits in edits(), cut in any::<prop::sample::Index>()) {
        let mut archive = crate::cpio::everything();
        for (at, byte) in edits {
            let at = at.index(archive.len());
            archive[at] = byte;
        }
        for archive in [&archive[..], &archive[..cut.index(archive.len())]] {
            if let Ok(tree) = crate::cpio::read(archive) {
                is_sound(&tree);
            }
        }
    }

    #[test]
    fn no_list_makes_its_parser_panic(text in "((dir|nod|slink|pipe|sock|#)( [/a-c.]{1,5}| [0-9]{1,4}| c| b|\\$\\{){0,7}\n){0,5}") {
        let tree = tree::spec::parse("list", text.as_bytes(), std::path::Path::new("/"), |_| None, &Provenance::new("t"));
        if let Ok(tree) = tree {
            is_sound(&tree);
        }
    }

    #[test]
    fn a_listing_comes_back_from_its_text(tree in tree("t", any_path())) {
        let listing = listing::of(&tree, With::Digests).unwrap();
        prop_assert_eq!(listing::parse(&listing.to_string()), Ok(listing));
    }

    #[test]
    fn no_text_makes_the_parser_of_listings_panic(text in "[dflcbps] 0?[0-9 :=/\\\\xa-f\u{fc}\n]*") {
        if let Ok(listing) = listing::parse(&text) {
            prop_assert_eq!(listing::parse(&listing.to_string()), Ok(listing));
        }
    }

    #[test]
    fn a_difference_is_told_exactly_where_lines_differ(a in tree("a", path()), b in tree("b", path())) {
        let (a, b) = (listing::of(&a, With::Digests).unwrap(), listing::of(&b, With::Digests).unwrap());
        prop_assert!(listing::diff(&a, &a).is_empty());
        let mut patched: BTreeMap<_, _> = a.lines.iter().map(|line| (line.path.clone(), line.clone())).collect();
        for difference in listing::diff(&a, &b) {
            match difference {
                Difference::Removed(line) => drop(patched.remove(&line.path)),
                Difference::Added(line) | Difference::Changed { new: line, .. } => drop(patched.insert(line.path.clone(), line)),
            }
        }
        prop_assert_eq!(patched.into_values().collect::<Vec<_>>(), b.lines);
    }

    #[test]
    fn laid_over_trees_hold_both_or_stay_as_they_were(under in tree("under", path()), over in tree("over", path())) {
        let mut both = under.clone();
        is_sound(&under);
        match both.lay_over(over.clone()) {
            Err(error) => {
                prop_assert!(same(&both, &under));
                for clash in error.clashes {
                    let is_dir = |tree: &Tree| tree.get(&clash.path).unwrap().is_dir();
                    prop_assert_ne!(is_dir(&under), is_dir(&over));
                }
            }
            Ok(replaced) => {
                is_sound(&both);
                for item in both.walk() {
                    let (here, there) = (over.get(item.path), under.get(item.path));
                    let gives = here.filter(|item| !item.is_dir()).or(there).or(here).unwrap();
                    prop_assert_eq!(item.is_dir(), gives.is_dir());
                    if !item.is_dir() {
                        prop_assert_eq!(item.meta, gives.meta);
                    }
                    let reported = replaced.iter().any(|replaced| replaced.path == *item.path);
                    prop_assert_eq!(reported, !item.is_dir() && here.is_some() && there.is_some());
                }
                for item in under.walk().chain(over.walk()) {
                    prop_assert!(both.contains(item.path));
                }
                // Once more changes nothing but the provenance.
                let mut again = both.clone();
                again.lay_over(over).unwrap();
                is_sound(&again);
                prop_assert!(same(&again, &both));
            }
        }
    }

    #[test]
    fn what_is_grafted_can_be_taken_out_again(mut tree in tree("t", path()), sub in tree("s", any_path())) {
        is_sound(&sub);
        let at = TreePath::new("new/home").unwrap();
        tree.graft(&at, sub.clone()).unwrap();
        is_sound(&tree);
        let out = tree.subtree(&at).unwrap();
        is_sound(&out);
        prop_assert!(same(&out, &sub));
        tree.remove(&at);
        is_sound(&tree);
    }
}
