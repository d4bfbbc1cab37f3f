use tree::{Provenance, Tree};

use super::*;
use crate::elf::fake;

const DIR: &str = "lib/modules/4.4.4";

/// A kmod by what it exports, what it needs, and its modinfo.
fn kmod(exported: &str, needed: &[&str], modinfo: &[&str]) -> Vec<u8> {
    let strings = |words: &mut dyn Iterator<Item = &str>| words.flat_map(|word| word.bytes().chain([0])).collect();
    let exported: Vec<u8> = strings(&mut exported.split_whitespace());
    let modinfo: Vec<u8> = strings(&mut modinfo.iter().copied());
    let mut versions = Vec::new();
    for name in needed {
        let mut entry = [&[1; 8], name.as_bytes()].concat();
        entry.resize(64, 0);
        versions.extend(entry);
    }
    fake::object(&[(".modinfo", &modinfo), ("__ksymtab_strings", &exported), ("__versions", &versions)])
}

fn root(files: &[(&str, Vec<u8>)]) -> Tree {
    let mut root = Tree::new();
    for (at, bytes) in files {
        let path = TreePath::new(at).unwrap();
        root.insert_file(path, 0o644, bytes.clone().into(), Provenance::new("test")).unwrap();
    }
    root
}

fn indexed(root: &Tree) -> Result<Indexes, DepmodError> {
    index(root, &TreePath::new(DIR).unwrap(), &Config::load(root, "4.4.4").unwrap())
}

fn text(indexes: &Indexes, name: &str) -> String {
    let file = indexes.files.iter().find(|(file, _)| *file == name);
    file.map(|(_, bytes)| String::from_utf8(bytes.clone()).unwrap()).unwrap_or_default()
}

#[test]
fn each_text_index_says_what_the_kmods_say() {
    let scsi = kmod("scsi_go", &["printk"], &["alias=devname:sg", "alias=char-major-21-*", "alias=x"]);
    let loops = kmod(
        "",
        &["scsi_go"],
        &[
            "alias=block-major-7-0",
            "alias=devname:loop-control",
            "softdep=pre: a",
            "weakdep=b",
            "alias=a-[a-b]-c",
            "alias=b[",
        ],
    );
    let files = [
        ("lib/modules/4.4.4/kernel/loop.ko", loops),
        ("lib/modules/4.4.4/kernel/scsi-mod.ko.zst", zstd::bulk::compress(&scsi, 1).unwrap()),
        ("lib/modules/4.4.4/modules.order", b"kernel/scsi-mod.ko\nkernel/loop.ko\n".to_vec()),
        ("lib/modules/4.4.4/build/left.ko", b"the build's, and no kmod".to_vec()),
    ];
    let indexes = indexed(&root(&files)).unwrap();
    for (name, wanted) in [
        ("modules.dep", "kernel/scsi-mod.ko.zst:\nkernel/loop.ko: kernel/scsi-mod.ko.zst\n"),
        (
            "modules.alias",
            "# Aliases extracted from modules themselves.\nalias devname:sg scsi_mod\nalias char-major-21-* scsi_mod\n\
             alias x scsi_mod\nalias block-major-7-0 loop\nalias devname:loop-control loop\nalias a-[a-b]-c loop\n\
             alias b[ loop\n",
        ),
        ("modules.symbols", "# Aliases for symbols, used by symbol_request().\nalias symbol:scsi_go scsi_mod\n"),
        ("modules.softdep", "# Soft dependencies extracted from modules themselves.\nsoftdep loop pre: a\n"),
        ("modules.weakdep", "# Weak dependencies extracted from modules themselves.\nweakdep loop b\n"),
        ("modules.devname", "# Device nodes to trigger on-demand module loading.\nloop loop-control b7:0\n"),
        // There was no modules.builtin to make it from.
        ("modules.builtin.bin", ""),
    ] {
        assert_eq!(text(&indexes, name), wanted, "{name}");
    }
    assert_eq!(indexes.warnings.len(), 2, "{:?}", indexes.warnings);
    let aliases = &indexes.files.iter().find(|(name, _)| *name == "modules.alias.bin").unwrap().1;
    assert!(aliases.windows(8).any(|window| window == b"_[a-b]_c"), "- is _ but in sets");
}

#[test]
fn of_several_kmods_of_a_name_the_configuration_takes_one() {
    let (inside, outside) = ("lib/modules/4.4.4", "lib/modules/external/a.ko");
    let cases: &[(&str, &[&str], &str)] = &[
        ("", &["kernel/a.ko", "updates/a.ko"], "updates/a.ko"),
        ("search built-in updates", &["kernel/a.ko", "updates/a.ko"], "kernel/a.ko"),
        ("search foobar foo built-in", &["foo/a.ko", "foobar/a.ko.xz.ko"], "foo/a.ko"),
        ("search foobar foo built-in", &["foo/a.ko", "foobar/a.ko"], "foobar/a.ko"),
        ("search foo built-in\noverride a 4.4.4 over", &["foo/a.ko", "over/a.ko"], "over/a.ko"),
        ("search external foo\nexternal * /lib/modules/external", &["foo/a.ko"], "/lib/modules/external/a.ko"),
        ("search foo external\nexternal * /lib/modules/external", &["foo/a.ko"], "foo/a.ko"),
        ("exclude updates", &["kernel/a.ko", "updates/a.ko"], "kernel/a.ko"),
    ];
    for (config, paths, winner) in cases {
        let mut files = vec![("etc/depmod.d/x.conf".to_string(), config.as_bytes().to_vec())];
        files.extend(paths.iter().map(|path| (format!("{inside}/{path}"), kmod("", &[], &[]))));
        files.push((outside.into(), kmod("", &[], &[])));
        let files: Vec<_> = files.iter().map(|(path, bytes)| (path.as_str(), bytes.clone())).collect();
        let deps = text(&indexed(&root(&files)).unwrap(), "modules.dep");
        assert!(deps.lines().any(|line| line == format!("{winner}:")), "{config}: {deps}");
        assert_eq!(deps.matches("/a.ko:").count(), 1, "{config}: {deps}");
    }
}

#[test]
fn kmods_behind_symlinks_count_and_dangling_ones_are_told() {
    let mut root = root(&[("lib/modules/4.4.3/extra/a.ko", kmod("", &[], &[]))]);
    for (at, target) in [
        ("lib/modules/4.4.4/weak-updates/a.ko", "/lib/modules/4.4.3/extra/a.ko"),
        ("lib/modules/4.4.4/weak-updates/b.ko", "/nowhere/b.ko"),
        ("lib/modules/4.4.4/round", "."),
    ] {
        root.insert_symlink(TreePath::new(at).unwrap(), target, Provenance::new("test")).unwrap();
    }
    let indexes = indexed(&root).unwrap();
    assert_eq!(text(&indexes, "modules.dep"), "weak-updates/a.ko:\n");
    assert_eq!(indexes.warnings, ["/lib/modules/4.4.4/weak-updates/b.ko leads to no file, and is passed over"]);
}

#[test]
fn a_ring_a_damaged_kmod_and_a_missing_directory_are_errors_that_name_it() {
    let ring = [
        ("lib/modules/4.4.4/a.ko", kmod("a", &["b"], &[])),
        ("lib/modules/4.4.4/b.ko", kmod("b", &["a"], &[])),
        ("lib/modules/4.4.4/c.ko", kmod("", &["a"], &[])),
    ];
    let error = indexed(&root(&ring)).unwrap_err();
    assert!(matches!(&error, DepmodError::Cycle(ring) if ring.len() == 2), "{error}");

    let cut = [("lib/modules/4.4.4/x/cut.ko", kmod("a", &[], &[])[..99].to_vec())];
    let error = indexed(&root(&cut)).unwrap_err().to_string();
    assert_eq!(error, "kmod x/cut.ko cannot be read");

    let error = indexed(&root(&[])).unwrap_err();
    assert!(matches!(error, DepmodError::NoDirectory(_)), "{error}");
}
