//! Indexes of modules beside those of the system's depmod, and kmod's own
//! test cases.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Command;

use builder::deb;
use builder::elf::HostSysroot;
use builder::kernel::depmod::{Config, DepmodError, Indexes, index};
use builder::kernel::{Catalog, Kernel};
use tree::{Provenance, Tree, TreePath};

use crate::kernel::unpack;
use crate::modprobe::assert_order_of_modprobe;
use crate::{given, output, tool};

/// Another machine's kernel, from its package.
const ARM64: &str = "LIVEROOT_TEST_KERNEL_DEB_ARM64";
/// kmod's source, unpacked.
const KMOD: &str = "LIVEROOT_TEST_KMOD_SOURCE";

/// Runs depmod over `root` and holds ours to every file that it writes.
pub(crate) fn assert_equal_to_depmod(depmod: &Path, root: &Path, release: &str, ours: &Indexes) {
    output(Command::new(depmod).arg("-b").arg(root).arg(release));
    let dir = root.join("lib/modules").join(release);
    for (name, bytes) in &ours.files {
        let theirs = fs::read(dir.join(name)).unwrap_or_else(|error| panic!("depmod wrote no {name}: {error}"));
        assert!(*bytes == theirs, "{name} of {release} differs: {} bytes, and {} of depmod", bytes.len(), theirs.len());
    }
    assert_eq!(ours.files.len(), 10);
}

#[test]
fn another_machines_kernel_is_indexed_and_loaded_as_depmod_and_modprobe_do() {
    let (Some(depmod), Some(modprobe)) = (tool("depmod"), tool("modprobe")) else { return };
    let Some(package) = given(ARM64, "arm64 kernel package") else { return };
    let from = Provenance::new("package");
    let root = deb::load(&package, &from).unwrap();
    let kernel = Kernel::from_tree(&root, &from).unwrap();
    let dir = TreePath::new(format!("lib/modules/{}", kernel.release)).unwrap();
    let ours = index(&root, &dir, &Config::default()).unwrap();
    assert!(ours.kmods > 3000 && ours.warnings.is_empty(), "{} kmods, {:?}", ours.kmods, ours.warnings);
    let scratch = tempfile::tempdir().unwrap();
    unpack(&kernel, scratch.path());
    assert_equal_to_depmod(&depmod, scratch.path(), &kernel.release, &ours);
    assert_order_of_modprobe(&modprobe, scratch.path(), &Catalog::scan(&kernel).unwrap());
}

/// Its name, the index it is about, and where which kmods go.
type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);

/// A root as kmod's test-suite lays it out: case, then the kmods it wants by
/// the names they have in the playground (kmod: testsuite/populate-modules.sh).
fn case(source: &Path, name: &str, kmods: &[(&str, &str)]) -> tempfile::TempDir {
    let scratch = tempfile::tempdir().unwrap();
    let pristine = source.join("testsuite/rootfs-pristine/test-depmod").join(name);
    let tree = tree::host::load(&pristine, tree::host::Owners::Root, &Provenance::new("kmod")).unwrap();
    write(&tree, scratch.path());
    for (at, kmod) in kmods {
        let to = scratch.path().join("lib/modules").join(at);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        let plain = fs::read(source.join("testsuite/module-playground/cache").join(kmod)).unwrap();
        fs::write(&to, packed(&plain, to.extension().unwrap().to_str().unwrap())).unwrap();
    }
    scratch
}

fn packed(plain: &[u8], ending: &str) -> Vec<u8> {
    let all = |mut reader: Box<dyn Read + '_>| {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        bytes
    };
    match ending {
        "gz" => all(Box::new(flate2::read::GzEncoder::new(plain, flate2::Compression::fast()))),
        "xz" => all(Box::new(xz2::read::XzEncoder::new(plain, 1))),
        "zst" => zstd::bulk::compress(plain, 1).unwrap(),
        _ => plain.to_vec(),
    }
}

fn write(tree: &Tree, below: &Path) {
    for item in tree.walk() {
        let path = below.join(item.path.to_string().trim_start_matches('/'));
        match item.content() {
            Some(content) => fs::write(path, content.read_all(1 << 20).unwrap()).unwrap(),
            None => fs::create_dir_all(path).unwrap(),
        }
    }
}

fn indexed(root: &Path) -> Result<Indexes, DepmodError> {
    let sysroot = HostSysroot::new(root);
    let config = Config::load(&sysroot, "4.4.4").unwrap();
    index(&sysroot, &TreePath::new("lib/modules/4.4.4").unwrap(), &config)
}

#[test]
fn kmods_own_cases_come_out_as_it_says() {
    let Some(source) = given(KMOD, "source of kmod") else { return };
    let simple = "mod-simple.ko";
    let cases: &[Case<'_>] = &[
        (
            "search-order-simple",
            "modules.dep",
            &[("4.4.4/kernel/crypto/mod-simple.ko", simple), ("4.4.4/updates/mod-simple.ko", simple)],
        ),
        (
            "search-order-same-prefix",
            "modules.dep",
            &[("4.4.4/foo/mod-simple.ko", simple), ("4.4.4/foobar/mod-simple.ko", simple)],
        ),
        (
            "search-order-external-first",
            "modules.dep",
            &[
                ("4.4.4/foo/mod-simple.ko", simple),
                ("4.4.4/foobar/mod-simple.ko", simple),
                ("external/mod-simple.ko", simple),
            ],
        ),
        (
            "search-order-external-last",
            "modules.dep",
            &[
                ("4.4.4/foo/mod-simple.ko", simple),
                ("4.4.4/foobar/mod-simple.ko", simple),
                ("external/mod-simple.ko", simple),
            ],
        ),
        (
            "search-order-override",
            "modules.dep",
            &[("4.4.4/foo/mod-simple.ko", simple), ("4.4.4/override/mod-simple.ko", simple)],
        ),
        (
            "modules-order-compressed",
            "modules.alias",
            &[
                ("4.4.4/kernel/drivers/block/cciss.ko.gz", "mod-fake-cciss.ko"),
                ("4.4.4/kernel/drivers/scsi/hpsa.ko.zst", "mod-fake-hpsa.ko"),
                ("4.4.4/kernel/drivers/scsi/scsi_mod.ko.xz", "mod-fake-scsi-mod.ko"),
            ],
        ),
    ];
    for (name, file, kmods) in cases {
        let root = case(&source, name, kmods);
        let ours = indexed(root.path()).unwrap();
        let wanted = fs::read_to_string(root.path().join("lib/modules/4.4.4/correct-".to_string() + file)).unwrap();
        let (_, bytes) = ours.files.iter().find(|(name, _)| name == file).unwrap();
        assert_eq!(String::from_utf8_lossy(bytes), wanted, "{name}");
    }
    // All that kmod has, but the rings, which have a test of their own.
    let mut named: Vec<_> = cases.iter().map(|(name, ..)| *name).chain(["detect-loop"]).collect();
    named.sort_unstable();
    let all = fs::read_dir(source.join("testsuite/rootfs-pristine/test-depmod")).unwrap();
    let mut all: Vec<_> = all.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    all.sort_unstable();
    assert_eq!(named, all);
}

/// kmod prints four rings; one is enough to refuse them all.
#[test]
fn the_rings_of_kmods_own_case_are_found() {
    let Some(source) = given(KMOD, "source of kmod") else { return };
    let names: Vec<_> =
        ('a'..='k').map(|c| (format!("4.4.4/kernel/mod-loop-{c}.ko"), format!("mod-loop-{c}.ko"))).collect();
    let kmods: Vec<_> = names.iter().map(|(at, kmod)| (at.as_str(), kmod.as_str())).collect();
    let root = case(&source, "detect-loop", &kmods);
    let DepmodError::Cycle(ring) = indexed(root.path()).unwrap_err() else { panic!("no ring was found") };
    let told = fs::read_to_string(root.path().join("correct.txt")).unwrap();
    let mut doubled = ring.clone();
    doubled.extend_from_within(..);
    let is_told =
        |from: usize| told.contains(&format!("{} -> {}\n", doubled[from..from + ring.len()].join(" -> "), ring[from]));
    assert!((0..ring.len()).any(is_told), "{ring:?} is none of\n{told}");
}

#[test]
fn prebuilt_modules_of_every_machine_are_indexed_as_depmod_does() {
    let (Some(depmod), Some(source)) = (tool("depmod"), given(KMOD, "source of kmod")) else { return };
    let playground = source.join("testsuite/module-playground");
    let mut machines = 0;
    for entry in fs::read_dir(&playground).unwrap() {
        let kmod = entry.unwrap().path();
        if kmod.extension().is_none_or(|ending| ending != "ko") {
            continue;
        }
        let root = case(&source, "search-order-simple", &[("4.4.4/kernel/mod-foo.ko", "mod-foo.ko")]);
        fs::copy(&kmod, root.path().join("lib/modules/4.4.4/kernel/mod-simple.ko")).unwrap();
        assert_equal_to_depmod(&depmod, root.path(), "4.4.4", &indexed(root.path()).unwrap());
        machines += 1;
    }
    assert!(machines >= 3, "{machines} machines");
}
