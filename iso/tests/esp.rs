//! An ESP that is laid out and written with the image, and files that the
//! image and the ESP have in common.

mod common;

use std::collections::BTreeMap;

use common::{EPOCH, bytes, content, file, image, name, noise, path, written};
use iso::fat::{self, FatImage, FatLayout};
use iso::read::{Iso, Names};
use iso::{BiosImage, Boot, EfiImage, Image, InEsp, StartCode, SystemArea};
use tree::{Content, Tree, TreePath};

const KERNEL: &str = "boot/vmlinuz";
const INITRAMFS: &str = "boot/initramfs.img";

fn kernel() -> Vec<u8> {
    noise(10, 300_001)
}

fn initramfs() -> Vec<u8> {
    noise(11, 2_000_003)
}

fn medium() -> Tree {
    let mut tree = Tree::new();
    file(&mut tree, KERNEL, 0o644, kernel());
    file(&mut tree, INITRAMFS, 0o644, initramfs());
    file(&mut tree, "boot/empty", 0o644, Vec::new());
    file(&mut tree, "live/root.squashfs", 0o644, noise(12, 700_000));
    file(&mut tree, "isolinux.bin", 0o644, noise(1, 38_912));
    tree.insert_link(path("vmlinuz"), &path(KERNEL), common::from()).unwrap();
    tree
}

fn esp() -> FatLayout {
    let mut tree = Tree::new();
    file(&mut tree, "EFI/BOOT/BOOTX64.EFI", 0o644, noise(13, 90_000));
    file(&mut tree, "liveroot/vmlinuz", 0o644, kernel());
    file(&mut tree, "liveroot/initramfs.img", 0o644, initramfs());
    file(&mut tree, "liveroot/empty", 0o644, Vec::new());
    fat::layout(&FatImage { label: "LIVE_ESP".into(), ..FatImage::new(&tree, EPOCH) }).unwrap()
}

fn shared() -> BTreeMap<TreePath, InEsp> {
    let pairs = [(KERNEL, "liveroot/vmlinuz"), (INITRAMFS, "liveroot/initramfs.img"), ("boot/empty", "liveroot/empty")];
    pairs.into_iter().map(|(at, in_esp)| (path(at), InEsp::File(path(in_esp)))).collect()
}

fn hybrid(tree: &Tree, shared: BTreeMap<TreePath, InEsp>, system_area: SystemArea) -> Image<'_> {
    let bios = Some(BiosImage::isolinux(path("isolinux.bin")));
    let boot = Some(Boot { bios, efi: Some(EfiImage::Fat { layout: esp(), shared }) });
    Image { joliet: true, boot, system_area, ..image(tree) }
}

fn start() -> StartCode {
    StartCode::Isohdpfx(vec![0x90; 432])
}

fn every_system_area() -> [SystemArea; 4] {
    let start = Some(start());
    [
        SystemArea::None,
        SystemArea::Isohybrid { start: self::start() },
        SystemArea::Gpt { start: start.clone() },
        SystemArea::Mbr { start },
    ]
}

fn occurrences(image: &[u8], needle: &[u8]) -> usize {
    image.windows(needle.len()).filter(|window| *window == needle).count()
}

#[test]
fn what_both_have_is_in_the_image_once() {
    let tree = medium();
    for system_area in every_system_area() {
        let once = bytes(&hybrid(&tree, shared(), system_area.clone()));
        for content in [kernel(), initramfs()] {
            // A stretch from the middle is as telling as the whole and found sooner.
            assert_eq!(occurrences(&once, &content[100_000..100_064]), 1, "{system_area:?}");
        }
        let twice = bytes(&hybrid(&tree, BTreeMap::new(), system_area));
        let saved = twice.len() - once.len();
        assert!(saved.abs_diff(kernel().len() + initramfs().len()) < 1 << 20, "{saved} bytes saved");
    }
}

#[test]
fn all_readers_of_the_disc_find_it_there() {
    let tree = medium();
    for system_area in every_system_area() {
        let image = hybrid(&tree, shared(), system_area);
        let disc = Iso::open(Content::from(bytes(&image))).unwrap();
        for names in [Names::RockRidge, Names::Joliet] {
            let read = disc.tree_with(names).unwrap();
            for (at, expected) in [(KERNEL, kernel()), ("vmlinuz", kernel()), (INITRAMFS, initramfs())] {
                let content = read.get(&path(at)).unwrap().content().unwrap().read_all(1 << 30).unwrap();
                assert!(content == expected, "{at} by {names:?}");
            }
        }
        let iso = written(&image);
        for (at, expected) in [(KERNEL, kernel()), (INITRAMFS, initramfs())] {
            let at = format!("/{at}");
            for names in ["-R", "-J"] {
                let wide = if names == "-J" { format!("{at};1") } else { at.clone() };
                let Some(output) = common::oracle("isoinfo", &[names, "-x", &wide, "-i", name(iso.path())]) else {
                    return;
                };
                assert!(output.stdout == expected, "{wide} by isoinfo {names}: {output:?}");
            }
        }
        let out = tempfile::tempdir().unwrap();
        let to = out.path().join("x");
        let args = ["-return_with", "FAILURE", "32", "-osirrox", "on", "-indev", name(iso.path())];
        let extract = ["-extract", "/boot", name(&to), "-rollback_end"];
        if content("xorriso", &[&args[..], &extract].concat()).is_some() {
            assert!(std::fs::read(to.join("vmlinuz")).unwrap() == kernel());
            assert!(std::fs::read(to.join("initramfs.img")).unwrap() == initramfs());
        }
    }
}

#[test]
fn the_esp_in_the_image_is_the_one_that_was_laid_out() {
    let tree = medium();
    let mut expected = Vec::new();
    esp().write(&mut expected, &mut |_| {}).unwrap();
    let disc = bytes(&hybrid(&tree, shared(), SystemArea::Gpt { start: None }));
    let iso = Iso::open(Content::from(disc.clone())).unwrap();
    let entry = iso.boot_entries().unwrap().into_iter().find(|entry| entry.platform == 0xEF).unwrap();
    assert_eq!(u64::from(entry.load_sectors) * 512, esp().len());
    let start = entry.lba as usize * iso::SECTOR;
    assert!(disc[start..start + expected.len()] == expected);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut file, &expected).unwrap();
    if let Some(text) = content("fsck.fat", &["-n", name(file.path())]) {
        assert_eq!(text.lines().count(), 2, "{text}");
    }
}

#[test]
fn a_first_partition_shows_only_what_is_in_it() {
    let tree = medium();
    for system_area in [SystemArea::Gpt { start: None }, SystemArea::Mbr { start: None }] {
        let disc = Content::from(bytes(&hybrid(&tree, shared(), system_area)));
        let partitions = Iso::open(disc.clone()).unwrap().partitions().unwrap();
        let sectors = match partitions.gpt {
            Some(gpt) => gpt.partitions[0].last + 1 - gpt.partitions[0].first,
            None => partitions.mbr[0].sectors,
        };
        let first = Iso::open(disc.slice(64 * 512, sectors * 512).unwrap()).unwrap();
        for names in [Names::RockRidge, Names::Joliet] {
            let read = first.tree_with(names).unwrap();
            for item in read.walk() {
                if let Some(content) = item.content() {
                    let whole = tree.get(item.path).unwrap().content().unwrap();
                    let stays = *item.path != path("isolinux.bin");
                    let (read, whole) = (content.read_all(1 << 30).unwrap(), whole.read_all(1 << 30).unwrap());
                    assert!(!stays || read == whole, "{}", item.path);
                }
            }
            assert!(read.contains(&path("live/root.squashfs")) && read.contains(&path("boot/empty")));
            assert!(!read.contains(&path(KERNEL)) && !read.contains(&path("vmlinuz")));
        }
    }
}

#[test]
fn a_stretch_of_a_file_is_found_where_it_stands() {
    let tree = medium();
    let mut joined = noise(14, 3 * 2048);
    joined.extend(kernel());
    joined.resize(joined.len().next_multiple_of(2048), 0);
    let initramfs_at = joined.len() as u64;
    joined.extend(initramfs());
    let mut esp = Tree::new();
    file(&mut esp, "EFI/BOOT/BOOTX64.EFI", 0o644, joined);
    let layout = fat::layout(&FatImage::new(&esp, EPOCH)).unwrap();
    let image = |kernel_at| {
        let stretch = |at| InEsp::Stretch { of: path("EFI/BOOT/BOOTX64.EFI"), at };
        let shared = BTreeMap::from([(path(KERNEL), stretch(kernel_at)), (path(INITRAMFS), stretch(initramfs_at))]);
        let boot = Some(Boot { bios: None, efi: Some(EfiImage::Fat { layout: layout.clone(), shared }) });
        Image { boot, system_area: SystemArea::Gpt { start: None }, ..image(&tree) }
    };
    let read = Iso::open(Content::from(bytes(&image(3 * 2048)))).unwrap().tree().unwrap();
    for (at, expected) in [(KERNEL, kernel()), (INITRAMFS, initramfs())] {
        let content = read.get(&path(at)).unwrap().content().unwrap().read_all(1 << 30).unwrap();
        assert!(content == expected, "{at}");
    }
    for kernel_at in [3 * 2048 + 512, initramfs_at + 2_000_000 / 2048 * 2048, u64::MAX / 2048 * 2048] {
        let error = iso::layout(&image(kernel_at)).unwrap_err().to_string();
        assert!(error.contains("begins at no sector, or reaches past its end"), "{kernel_at}: {error}");
    }
}

#[test]
fn what_is_not_the_same_is_refused() {
    let tree = medium();
    for (at, in_esp, part) in [
        ("nowhere", "liveroot/vmlinuz", "/nowhere cannot be the ESP's /liveroot/vmlinuz: it is no regular file"),
        ("boot", "liveroot/vmlinuz", "it is no regular file"),
        (KERNEL, "liveroot", "that is no file of the ESP"),
        (KERNEL, "liveroot/initramfs.img", "their lengths differ"),
    ] {
        let shared = BTreeMap::from([(path(at), InEsp::File(path(in_esp)))]);
        let error = iso::layout(&hybrid(&tree, shared, SystemArea::None)).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}
