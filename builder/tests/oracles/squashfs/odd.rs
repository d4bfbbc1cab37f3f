//! A tree with one of everything.

use tree::{Kind, Leaf, Meta, Provenance, Tree, TreePath};

struct Entry {
    path: Vec<u8>,
    meta: Meta,
    what: What,
}

enum What {
    Dir,
    Leaf(Kind),
    Link(&'static str),
}

pub(super) fn tree() -> Tree {
    insert(entries())
}

/// The same tree, made in another order.
pub(super) fn tree_from_last_to_first() -> Tree {
    let mut entries = entries();
    entries.reverse();
    // A link can only be made to what is there.
    entries.sort_by_key(|entry| matches!(entry.what, What::Link(_)));
    insert(entries)
}

fn insert(entries: Vec<Entry>) -> Tree {
    let mut tree = Tree::new();
    let from = Provenance::new("test");
    // A parent that is only implied would be as old as its first child.
    let mut parents: Vec<TreePath> =
        entries.iter().filter_map(|entry| TreePath::new(&entry.path).unwrap().parent()).collect();
    parents.retain(|dir| entries.iter().all(|entry| entry.path != dir.as_bytes()));
    parents.sort();
    parents.dedup();
    for dir in parents {
        tree.insert_dir(dir, Meta::new(0o755), from.clone()).unwrap();
    }
    for Entry { path, meta, what } in entries {
        let path = TreePath::new(path).unwrap();
        match what {
            What::Dir => tree.insert_dir(path, meta, from.clone()).unwrap(),
            What::Leaf(kind) => drop(tree.insert_leaf(path, Leaf { meta, kind }, from.clone()).unwrap()),
            What::Link(to) => tree.insert_link(path, &TreePath::new(to).unwrap(), from.clone()).unwrap(),
        }
    }
    tree
}

/// Bytes that no codec makes smaller.
pub(super) fn noise(len: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(|_| next()).collect()
}

fn text(len: usize) -> Vec<u8> {
    (0..).flat_map(|n: u32| format!("line {} of {}\n", n, n / 7).into_bytes()).take(len).collect()
}

fn entries() -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut add = |path: &[u8], mode: u32, what: What| {
        // A date and an owner of its own for each.
        let n = entries.len() as u32;
        let meta =
            Meta { uid: n % 5 * 1000, gid: 70_000 + n % 3, mtime: 1_600_000_000 + i64::from(n), ..Meta::new(mode) };
        entries.push(Entry { path: path.to_vec(), meta, what });
    };
    let file = |bytes: Vec<u8>| What::Leaf(Kind::File(bytes.into()));

    add(b"", 0o1755, What::Dir);
    add(b"empty-dir", 0o700, What::Dir);
    for len in [0, 1, 4095, 4096, 4097, 65_536, 131_071, 131_072, 131_073, 1_048_577] {
        add(format!("sizes/{len}").as_bytes(), 0o644, file(text(len)));
        add(format!("noise/{len}").as_bytes(), 0o600, file(noise(len)));
        add(format!("zeros/{len}").as_bytes(), 0o444, file(vec![0; len]));
    }
    let holes = [&text(200_000)[..], &vec![0; 500_000], b"middle", &vec![0; 262_144], &noise(70_000)].concat();
    add(b"holes", 0o644, file(holes.clone()));
    add(b"holes-again", 0o644, file(holes));
    add(b"almost-holes", 0o644, file([vec![0; 900_000], vec![1]].concat()));

    add(b"dev/null", 0o666, What::Leaf(Kind::CharDevice { major: 1, minor: 3 }));
    add(b"dev/sda", 0o660, What::Leaf(Kind::BlockDevice { major: 8, minor: 0 }));
    add(b"dev/far", 0o600, What::Leaf(Kind::BlockDevice { major: 4095, minor: 0xf_ffff }));
    add(b"dev/fifo", 0o640, What::Leaf(Kind::Fifo));
    add(b"dev/socket", 0o755, What::Leaf(Kind::Socket));

    add(b"bin/su", 0o4755, file(text(30_000)));
    add(b"bin/ping", 0o755, file(text(20_000)));
    add(b"one/name", 0o644, file(text(300_000)));
    add(b"another/name", 0o644, What::Link("one/name"));
    add(b"another/way/to-null", 0o644, What::Link("dev/null"));
    add(b"one/link", 0o777, What::Leaf(Kind::Symlink(b"../bin/su".to_vec())));
    add(b"one/link-of-two-names", 0o777, What::Leaf(Kind::Symlink(b"nowhere".to_vec())));
    add(b"two/link-of-two-names", 0o777, What::Link("one/link-of-two-names"));
    // The most that backhand reads.
    add(b"one/long-link", 0o777, What::Leaf(Kind::Symlink(vec![b'x'; 255])));

    add(&[b'n'; 255], 0o644, file(text(10)));
    add(b"\xff\xfe not UTF-8 \x01", 0o644, file(text(11)));
    add("Grüße/日本".as_bytes(), 0o644, file(text(12)));
    for n in 0..900 {
        add(format!("many/{n:x}-{}", "y".repeat(n % 40)).as_bytes(), 0o644, file(format!("{}", n % 50).into_bytes()));
    }
    for depth in 1..60 {
        add("deep/".repeat(depth).trim_end_matches('/').as_bytes(), 0o755, What::Dir);
    }
    decorate(&mut entries);
    entries
}

/// Xattrs and dates, each where a case of the format lies.
fn decorate(entries: &mut [Entry]) {
    // VFS_CAP_REVISION_2 with cap_net_raw, as setcap writes it.
    let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let label = b"system_u:object_r:ping_exec_t:s0\0";
    let large = noise(3000);
    let xattrs: [(&[u8], &[u8], &[u8]); 10] = [
        (b"bin/ping", b"security.capability", &capability),
        (b"bin/ping", b"security.selinux", label),
        (b"bin/su", b"security.selinux", label),
        (b"bin/su", b"user.large", &large),
        (b"empty-dir", b"trusted.overlay.opaque", b"y"),
        (b"empty-dir", b"user.empty", b""),
        (b"", b"security.selinux", label),
        (b"dev/null", b"security.selinux", label),
        (b"one/link", b"security.selinux", label),
        (b"dev/fifo", b"trusted.x", b"1"),
    ];
    for (path, name, value) in xattrs {
        let entry = entries.iter_mut().find(|entry| entry.path == path).unwrap();
        entry.meta.xattrs.insert(name.to_vec(), value.to_vec());
    }
    let dates = [
        ("sizes/0", -2_177_452_800),
        ("sizes/1", -1),
        ("sizes/4095", 0),
        ("sizes/4096", i64::from(i32::MAX) + 1),
        ("sizes/4097", i64::from(u32::MAX)),
        ("noise/0", i64::from(u32::MAX) + 1),
    ];
    for (path, mtime) in dates {
        let entry = entries.iter_mut().find(|entry| entry.path == path.as_bytes()).unwrap();
        entry.meta.mtime = mtime;
    }
}
