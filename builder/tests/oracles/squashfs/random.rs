//! Random trees through the writer and back.

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use tree::{Kind, Leaf, Meta, Provenance, Tree, TreePath};

use super::readers::{backhand_agrees, unpacked};
use super::{CODECS, held, image, options};
use builder::squashfs::Options;

fn name() -> impl Strategy<Value = Vec<u8>> {
    let byte = any::<u8>().prop_map(|byte| if matches!(byte, 0 | b'/') { b'_' } else { byte });
    let name = prop_oneof![8 => vec(byte.clone(), 1..4), 1 => vec(byte, 1..=255)];
    // `.` and `..` are not names.
    name.prop_map(|name| if matches!(&name[..], b"." | b"..") { b"dot".to_vec() } else { name })
}

/// Bytes around the edges of a 4 KiB block, often the same as another file's.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let len = prop_oneof![Just(0), 1..40_usize, 4090..4100_usize, 8180..8200_usize, 0..30_000_usize];
    (len, 0..3_u8, 0..4_u8).prop_map(|(len, kind, seed)| match kind {
        0 => vec![0; len],
        1 => (0..len).map(|n| (n / (usize::from(seed) + 3)) as u8).collect(),
        _ => super::odd::noise(len + usize::from(seed)).split_off(usize::from(seed)),
    })
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        6 => bytes().prop_map(|bytes| Kind::File(bytes.into())),
        2 => "[a-z/.]{1,200}".prop_map(|target| Kind::Symlink(target.into_bytes())),
        1 => Just(Kind::Fifo),
        1 => (0..300_u32, 0..70_000_u32).prop_map(|(major, minor)| Kind::CharDevice { major, minor }),
    ]
}

fn meta() -> impl Strategy<Value = Meta> {
    let xattrs = prop_oneof![
        5 => Just(BTreeMap::new()),
        1 => btree_map("(security|trusted)\\.[a-z]{1,9}".prop_map(String::into_bytes), vec(any::<u8>(), 0..90), 1..3),
    ];
    let mtime = prop_oneof![0..2_000_000_000_i64, any::<i32>().prop_map(i64::from)];
    // The owner may always read, so that the test may.
    (0..0o10000_u32, 0..6_u32, 0..6_u32, mtime, xattrs).prop_map(|(mode, uid, gid, mtime, xattrs)| Meta {
        uid,
        gid,
        mtime,
        xattrs,
        ..Meta::new(mode)
    })
}

#[derive(Debug, Clone)]
enum Step {
    Dir(Meta),
    Leaf(Kind, Meta),
    Link(Index),
}

fn tree() -> impl Strategy<Value = Tree> {
    let step = prop_oneof![
        2 => meta().prop_map(Step::Dir),
        6 => (kind(), meta()).prop_map(|(kind, mut meta)| {
            // Nobody can unpack a symlink with another mode.
            if matches!(kind, Kind::Symlink(_)) {
                meta.mode = 0o777;
            }
            Step::Leaf(kind, meta)
        }),
        1 => any::<Index>().prop_map(Step::Link),
    ];
    vec((vec(name(), 1..4), step), 0..60).prop_map(|steps| {
        let mut tree = Tree::new();
        let mut leaves: Vec<TreePath> = Vec::new();
        for (names, step) in steps {
            let path = TreePath::new(names.join(&b"/"[..])).unwrap();
            let from = Provenance::new("test");
            // A random path may be taken, or stand below a leaf: then it is not there.
            let _ = match step {
                Step::Dir(meta) => tree.insert_dir(path, meta, from),
                Step::Leaf(kind, meta) => {
                    tree.insert_leaf(path.clone(), Leaf { meta, kind }, from).map(|_| leaves.push(path))
                }
                Step::Link(to) if !leaves.is_empty() => tree.insert_link(path, to.get(&leaves), from),
                Step::Link(_) => Ok(()),
            };
        }
        tree
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_trees_come_back(tree in tree(), codec in select(&CODECS[..]), tail_packing: bool, jobs in 1..4_usize) {
        let image = image(&tree, &Options { tail_packing, jobs, ..options(codec, "4K") });
        backhand_agrees(&tree, &image);
        if let Some(seen) = unpacked(&image) {
            prop_assert_eq!(held(&tree), seen);
        }
    }
}
