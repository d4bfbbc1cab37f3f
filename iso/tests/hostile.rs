//! Images that want to hurt: each ends soon, with a tree or an error.

mod common;

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use common::{add, bytes, file, from, image, noise, path};
use iso::read::{Iso, Names, ReadError};
use iso::{BiosImage, Boot, Image, SystemArea};
use proptest::prelude::*;
use tree::{Content, Kind, Meta, Tree};

const SECTOR: usize = 2048;

/// Made once: thousands of cases damage it.
static SMALL_IMAGE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut tree = Tree::new();
    file(&mut tree, "isolinux.bin", 0o644, noise(1, 3000));
    file(&mut tree, &format!("a/b/{}", "n".repeat(200)), 0o644, noise(2, 100));
    tree.insert_link(path("a/link"), &path("isolinux.bin"), from()).unwrap();
    tree.insert_symlink(path("long"), ["component"; 60].join("/"), from()).unwrap();
    add(&mut tree, "null", Meta::new(0o666), Kind::CharDevice { major: 1, minor: 3 });
    let boot = Some(Boot { bios: Some(BiosImage::isolinux(path("isolinux.bin"))), efi: None });
    let system_area = SystemArea::Gpt { start: None };
    bytes(&Image { joliet: true, boot, system_area, ..image(&tree) })
});

fn small_image() -> Vec<u8> {
    SMALL_IMAGE.clone()
}

/// Does everything that a reader can be asked for.
fn read(image: Vec<u8>) -> Result<Tree, ReadError> {
    let start = Instant::now();
    let result = (|| {
        let iso = Iso::open(Content::from(image))?;
        // Each is judged by not panicking and by its end.
        let _ = iso.boot_entries();
        let _ = iso.partitions();
        let _ = iso.tree_with(Names::Joliet);
        let _ = iso.tree_with(Names::Plain);
        let tree = iso.tree()?;
        for item in tree.walk() {
            if let Some(content) = item.content() {
                let _ = content.read_all(1 << 20);
            }
        }
        Ok(tree)
    })();
    assert!(start.elapsed() < Duration::from_secs(30), "it did not end soon");
    result
}

#[test]
fn the_image_that_is_damaged_below_is_sound() {
    assert_eq!(read(small_image()).unwrap().len(), 8);
}

#[test]
fn every_truncation_ends() {
    let image = small_image();
    for length in (0..image.len()).step_by(97) {
        let cut = read(image[..length].to_vec());
        // Padding and the backup GPT may be missing from a tree that is whole.
        assert!(cut.is_err() || length + 64 * 1024 > image.len(), "{length} of {} bytes", image.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn flipped_bytes_end(flips in prop::collection::vec((0..80 * SECTOR, any::<u8>()), 1..4)) {
        let mut image = small_image();
        for (at, byte) in flips {
            let at = at % image.len();
            image[at] = byte;
        }
        let _ = read(image);
    }
}

/// The offset of the record or entry that begins with `needle`.
fn find(image: &[u8], needle: &[u8]) -> usize {
    image.windows(needle.len()).position(|window| window == needle).unwrap()
}

/// The start of the directory record whose identifier is `identifier`.
fn record(image: &[u8], identifier: &[u8]) -> usize {
    // The volume's number, 1 in both orders, stands before the length.
    find(image, &[&[1, 0, 0, 1, identifier.len() as u8], identifier].concat()) - 28
}

#[test]
fn a_directory_within_itself_is_refused() {
    let mut image = small_image();
    let (a, b) = (record(&image, b"A"), record(&image, b"B"));
    image.copy_within(a + 2..a + 10, b + 2);
    let error = read(image).unwrap_err().to_string();
    assert!(error.contains("/a/b: ") && error.contains("twice"), "{error}");
}

#[test]
fn continuation_areas_in_a_circle_are_refused() {
    let mut image = small_image();
    let ce = find(&image, b"CE\x1c\x01");
    let target = |image: &[u8], at: usize| u32::from_le_bytes(image[at..at + 4].try_into().unwrap()) as usize;
    let area = target(&image, ce + 4) * SECTOR + target(&image, ce + 12);
    image[ce + 20..ce + 24].copy_from_slice(&28_u32.to_le_bytes());
    let entry = image[ce..ce + 28].to_vec();
    image[area..area + 28].copy_from_slice(&entry);
    let error = read(image).unwrap_err().to_string();
    assert!(error.contains("do not end"), "{error}");
}

#[test]
fn lengths_past_the_image_are_told_and_not_allocated() {
    for (identifier, name) in [(&b"A"[..], "/a "), (b"ISOLINUX.BIN;1", "/isolinux.bin")] {
        let mut image = small_image();
        let at = record(&image, identifier);
        image[at + 10..at + 14].fill(0xFF);
        let error = read(image).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("the image has"), "{error}");
    }
}

#[test]
fn names_that_leave_their_directory_are_refused() {
    for name in [&b"../../../x"[..], b"..", b"/etc/pass", b"nul\0nul"] {
        let mut image = small_image();
        let nm = find(&image, b"NM\x11\x01\0isolinux.bin");
        image[nm + 2] = 5 + name.len() as u8;
        image[nm + 5..nm + 5 + name.len()].copy_from_slice(name);
        // What is left of the old name is no entry.
        image[nm + 5 + name.len()..nm + 17].fill(0);
        assert!(read(image).is_err(), "{}", String::from_utf8_lossy(name));
    }
}

#[test]
fn overlapping_directories_run_out_of_budget() {
    // A thousand directories, each said to be as long as the image.
    let mut tree = Tree::new();
    for n in 0..1000 {
        tree.insert_dir(path(&format!("d{n}")), Meta::new(0o755), from()).unwrap();
    }
    let mut image = bytes(&image(&tree));
    let first = record(&image, b"D0");
    let mut at = first;
    let sectors = (image.len() / SECTOR) as u32;
    while image[at] != 0 {
        let lba = u32::from_le_bytes(image[at + 2..at + 6].try_into().unwrap());
        let len = (sectors - lba) * SECTOR as u32;
        image[at + 10..at + 14].copy_from_slice(&len.to_le_bytes());
        at += image[at] as usize;
    }
    assert!(read(image).is_err());
}
