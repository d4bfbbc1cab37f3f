//! FAT images read: ours, mkfs.fat's with mtools', and damaged ones.

mod common;

use std::io::Write;
use std::sync::LazyLock;

use common::{EPOCH, content, file, from, name, noise, path};
use iso::fat::{self, FatImage, FatReadError};
use proptest::prelude::*;
use tree::listing::{self, With};
use tree::{Content, Meta, Tree};

fn tree() -> Tree {
    let mut tree = Tree::new();
    // FAT counts in two seconds.
    let mut add = |at: &str, bytes| {
        file(&mut tree, at, 0o644, bytes);
        tree.meta_mut(&path(at)).unwrap().mtime = EPOCH;
    };
    add("EFI/BOOT/BOOTX64.EFI", noise(1, 90_000));
    add("EFI/BOOT/grubx64.efi", noise(2, 2048));
    add("loader/entries/grün-日本語-\u{1F427} and a long name.conf", b"x".to_vec());
    add("empty", Vec::new());
    for n in 0..300 {
        add(&format!("many/some-file-name-{n:04}.conf"), noise(n, n as usize));
    }
    tree.insert_dir(path("nothing"), Meta::new(0o755), from()).unwrap();
    tree.for_each_meta(|meta| meta.mtime = EPOCH);
    tree
}

fn image(tree: &Tree, min_len: u64) -> Vec<u8> {
    let mut out = Vec::new();
    let image = FatImage { label: "ESP".into(), min_len, ..FatImage::new(tree, EPOCH) };
    fat::layout(&image).unwrap().write(&mut out, &mut |_| {}).unwrap();
    out
}

fn read(image: Vec<u8>) -> Result<Tree, FatReadError> {
    let tree = fat::read(&Content::from(image))?;
    for item in tree.walk() {
        if let Some(content) = item.content() {
            // It may be an error; it must end.
            let _ = content.read_all(1 << 20);
        }
    }
    Ok(tree)
}

#[test]
fn what_was_written_is_read() {
    let mut tree = tree();
    for min_len in [0, 9 << 20, 40 << 20] {
        let read = fat::read(&Content::from(image(&tree, min_len))).unwrap();
        // The root has no time of its own on FAT.
        tree.meta_mut(&path("")).unwrap().mtime = 0;
        let listed = |tree| listing::print(tree, With::Digests).unwrap();
        assert!(listed(&read) == listed(&tree), "{}", listed(&read));
    }
}

#[test]
fn what_mtools_wrote_is_read_in_parts_too() {
    let host = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| std::fs::write(host.path().join(name), bytes).unwrap();
    let third = noise(3, 800_000);
    put("first", &noise(1, 500_000));
    put("second", &noise(2, 500_000));
    put("A Long Name.txt", &third);
    put("lower.txt", b"lower");
    for (kib, kind) in [("1440", "12"), ("9000", "16"), ("40000", "32")] {
        let image = host.path().join(format!("{kind}.img"));
        let from = |name: &str| host.path().join(name).to_str().unwrap().to_owned();
        for (program, args) in [
            ("mkfs.fat", vec!["-F", kind, "-n", "THEIRS", "-C", name(&image), kib]),
            ("mcopy", vec!["-i", name(&image), &from("first"), &from("second"), "::"]),
            ("mmd", vec!["-i", name(&image), "::/sub"]),
            ("mcopy", vec!["-i", name(&image), &from("lower.txt"), "::/sub"]),
            ("mdel", vec!["-i", name(&image), "::/first"]),
            ("mcopy", vec!["-i", name(&image), &from("A Long Name.txt"), "::/sub"]),
        ] {
            if content(program, &args).is_none() {
                return;
            }
        }
        let read = fat::read(&Content::host(&*image, std::fs::metadata(&image).unwrap().len())).unwrap();
        let bytes = |at: &str| read.get(&path(at)).unwrap().content().unwrap().read_all(1 << 20).unwrap();
        assert!(bytes("second") == noise(2, 500_000) && bytes("sub/lower.txt") == b"lower");
        assert!(bytes("sub/A Long Name.txt") == third, "FAT{kind}");
        assert_eq!(read.len(), 5);
    }
}

/// A small one: thousands of cases damage it.
static SMALL: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut tree = Tree::new();
    file(&mut tree, "EFI/BOOT/BOOTX64.EFI", 0o644, noise(1, 5000));
    file(&mut tree, "a rather long name.conf", 0o644, noise(2, 100));
    image(&tree, 0)
});

/// Where the structures of [`SMALL`] end.
const STRUCTURES: usize = (4 + 2 * 2 + 32 + 3 * 4) * 512;

/// The table's entry `cluster`, of 12 bits.
fn set_entry(image: &mut [u8], cluster: usize, value: u16) {
    let at = 4 * 512 + cluster * 3 / 2;
    let pair = u16::from_le_bytes([image[at], image[at + 1]]);
    let pair = if cluster.is_multiple_of(2) { pair & 0xF000 | value } else { pair & 0x000F | value << 4 };
    image[at..at + 2].copy_from_slice(&pair.to_le_bytes());
}

#[test]
fn chains_that_loop_cross_or_leave_are_damage() {
    assert_eq!(read(SMALL.clone()).unwrap().len(), 5);
    // Clusters: 2 is EFI, 3 is EFI/BOOT, 4 to 6 the loader, 7 the other file.
    for (cluster, value, part) in [
        (2, 2, "/EFI: damaged: its chain leads to a cluster that is used already"),
        (2, 3, "/EFI/BOOT: damaged: its chain leads to a cluster that is used already"),
        (4, 4, "used already"),
        (5, 3, "used already"),
        (5, 7, "used already"),
        (4, 1000, "a cluster that there is not"),
        (4, 0, "a cluster that there is not"),
        (5, 0xFFF, "its chain is shorter than the file"),
    ] {
        let mut image = SMALL.clone();
        set_entry(&mut image, cluster, value);
        let error = read(image).unwrap_err().to_string();
        assert!(error.contains(part), "{cluster} → {value}: {error}");
    }
}

#[test]
fn boot_sectors_that_cannot_be_are_refused() {
    for (at, bytes, part) in [
        (510, &[0, 0][..], "does not begin with a boot sector"),
        (11, &[0, 0], "no possible size"),
        (13, &[0], "no possible size"),
        (13, &[3], "no possible size"),
        (14, &[0, 0], "no place in it"),
        (16, &[0], "no place in it"),
        (22, &[0xFF, 0xFF], "no place in it"),
        (19, &[0xFF, 0xFF], "cut short or damaged"),
    ] {
        let mut image = SMALL.clone();
        image[at..at + bytes.len()].copy_from_slice(bytes);
        let error = read(image).unwrap_err().to_string();
        assert!(error.contains(part), "{at}: {error}");
    }
    for length in (0..SMALL.len()).step_by(97) {
        assert!(read(SMALL[..length].to_vec()).is_err(), "{length} bytes");
    }
}

#[test]
fn a_table_nobody_has_memory_for_is_refused() {
    let mut file = tempfile::tempfile().unwrap();
    let mut boot = [0; 512];
    boot[0] = 0xEB;
    boot[11..17].copy_from_slice(&[0, 2, 1, 1, 0, 1]);
    boot[32..40].copy_from_slice(&[0xFF, 0xFF, 0xFF, 0x0F, 0, 0, 0x20, 0]);
    boot[510..].copy_from_slice(&[0x55, 0xAA]);
    file.write_all(&boot).unwrap();
    file.set_len(1 << 38).unwrap();
    let error = fat::read(&Content::span(file.into(), "sparse", 0, 1 << 38)).unwrap_err().to_string();
    assert!(error.contains("its table is larger"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn flipped_bytes_end(flips in prop::collection::vec((0..STRUCTURES, any::<u8>()), 1..5)) {
        let mut image = SMALL.clone();
        for (at, byte) in flips {
            image[at] = byte;
        }
        let _ = read(image);
    }
}
