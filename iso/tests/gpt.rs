//! The GPT layout: partition tools have nothing to say against it, and the
//! first partition is an image by itself.

mod common;

use common::{asset, awkward_tree, bytes, content, file, image, name, noise, path, written};
use iso::read::{Iso, MbrPartition, Names, Partitions};
use iso::{BiosImage, Boot, EfiImage, Image, StartCode, SystemArea};
use tree::listing::{self, With};
use tree::{Content, Tree};

fn bootable_tree() -> Tree {
    let mut tree = awkward_tree();
    file(&mut tree, "isolinux.bin", 0o644, noise(1, 38_912));
    tree
}

fn gpt(tree: &Tree) -> Image<'_> {
    let boot = Boot {
        bios: Some(BiosImage::isolinux(path("isolinux.bin"))),
        efi: Some(EfiImage::Appended(Content::from(noise(2, 3 << 19)))),
    };
    let start = Some(StartCode::Isohdpfx(vec![0x90; 432]));
    Image { joliet: true, boot: Some(boot), system_area: SystemArea::Gpt { start }, ..image(tree) }
}

fn mbr(tree: &Tree) -> Image<'_> {
    Image { system_area: SystemArea::Mbr { start: Some(StartCode::Isohdpfx(vec![0x90; 432])) }, ..gpt(tree) }
}

fn partitions(disk: Vec<u8>) -> Partitions {
    Iso::open(Content::from(disk)).unwrap().partitions().unwrap()
}

#[test]
fn sgdisk_and_sfdisk_find_no_problem() {
    let tree = bootable_tree();
    let mut uefi_only = gpt(&tree);
    uefi_only.system_area = SystemArea::Gpt { start: None };
    uefi_only.boot.as_mut().unwrap().bios = None;
    let without_esp = Image { boot: None, system_area: SystemArea::Gpt { start: None }, ..image(&tree) };
    let padded = Image { pad_sectors: 150, ..gpt(&tree) };
    for image in [gpt(&tree), uefi_only, without_esp, padded] {
        let iso = written(&image);
        if let Some(text) = content("sgdisk", &["-v", name(iso.path())]) {
            assert!(text.contains("No problems found"), "{text}");
            assert!(!text.to_lowercase().contains("warning") && !text.contains("Caution"), "{text}");
        }
        if let Some(text) = content("sfdisk", &["-V", name(iso.path())]) {
            assert!(text.contains("No errors detected"), "{text}");
        }
    }
}

#[test]
fn xorriso_reports_each_partition() {
    let Some(mbr_code) = asset("/usr/lib/ISOLINUX/isohdpfx.bin") else { return };
    let tree = bootable_tree();
    let start = Some(StartCode::Isohdpfx(mbr_code));
    let iso = written(&Image { system_area: SystemArea::Gpt { start }, ..gpt(&tree) });
    let args = ["-indev", name(iso.path()), "-report_system_area", "plain", "-report_el_torito", "plain"];
    let Some(text) = content("xorriso", &args) else { return };
    let squeezed: Vec<String> = text.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let starting =
        |start: &str| squeezed.iter().find_map(|line| line.strip_prefix(start)).unwrap_or_else(|| panic!("{text}"));
    assert_eq!(starting("Partition offset : "), "16");
    assert!(starting("MBR partition : 1 ").starts_with("0x00 0xee 1 "));
    assert_eq!(starting("MBR partition : 2 "), "0x80 0x00 0 1");
    assert!(starting("GPT start and size : 1 ").starts_with("64 "));
    let esp: u64 = starting("GPT start and size : 2 ").split(' ').next().unwrap().parse().unwrap();
    assert_eq!(esp % 2048, 0, "at a multiple of 1 MiB");
    assert!(starting("El Torito boot img : 2 ").ends_with(&(esp / 4).to_string()), "the same one for El Torito");
    assert!(starting("System area summary: ").contains("GPT"), "{text}");
    assert!(!text.contains("SORRY") && !text.contains("FAILURE"), "{text}");
}

#[test]
fn the_reader_finds_both_tables() {
    let tree = bootable_tree();
    let disk = bytes(&gpt(&tree));
    let sectors = disk.len() as u64 / 512;
    let found = partitions(disk.clone());
    let mbr = |number, active, kind, start, sectors| MbrPartition { number, active, kind, start, sectors };
    assert_eq!(found.mbr, [mbr(1, false, 0xEE, 1, sectors - 1), mbr(2, true, 0, 0, 1)]);
    let gpt = found.gpt.unwrap();
    assert_eq!(gpt.problems, [""; 0]);
    let [iso, esp] = &gpt.partitions[..] else { panic!("{gpt:?}") };
    assert_eq!((iso.number, iso.first, &*iso.name, iso.attributes), (1, 64, "ISO9660", 0x1000_0000_0000_0001));
    assert_eq!((esp.number, esp.last - esp.first + 1, &*esp.name), (2, 3 << 10, "ESP"));
    assert_eq!(iso.kind.to_string(), "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7");
    assert_eq!(esp.kind.to_string(), "c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
    assert!(iso.last < esp.first);

    let longer = [disk.clone(), vec![0; 2048]].concat();
    assert_eq!(partitions(longer).gpt.unwrap().problems, ["the backup header is not at the end"]);
    let mut flipped = disk;
    flipped[1024 + 32] ^= 1;
    assert_eq!(partitions(flipped).gpt.unwrap().problems, ["the entries' checksum is wrong"]);
}

#[test]
fn the_first_partition_is_the_same_tree_by_itself() {
    let tree = bootable_tree();
    for image in [gpt(&tree), mbr(&tree)] {
        let disk = bytes(&image);
        let (first, last) = match partitions(disk.clone()) {
            Partitions { gpt: Some(gpt), .. } => (gpt.partitions[0].first, gpt.partitions[0].last),
            Partitions { mbr, .. } => (mbr[0].start, mbr[0].start + mbr[0].sectors - 1),
        };
        assert_eq!(first, 64);
        let partition = Content::from(disk[first as usize * 512..(last as usize + 1) * 512].to_vec());
        let (whole, part) = (Iso::open(Content::from(disk)).unwrap(), Iso::open(partition.clone()).unwrap());
        assert_eq!(part.volume_len(), partition.len());
        for names in [Names::RockRidge, Names::Joliet, Names::Plain] {
            let listed = |iso: &Iso| listing::print(&iso.tree_with(names).unwrap(), With::Digests).unwrap();
            assert!(listed(&whole) == listed(&part), "{names:?}");
        }
    }
}

#[test]
fn an_mbr_alone_names_the_same_partitions() {
    let tree = bootable_tree();
    let iso = written(&mbr(&tree));
    let found = partitions(std::fs::read(iso.path()).unwrap());
    assert_eq!(found.gpt, None);
    let [first, esp] = &found.mbr[..] else { panic!("{found:?}") };
    assert_eq!((first.active, first.kind, first.start), (true, 0x17, 64));
    assert_eq!((esp.active, esp.kind, esp.start, esp.sectors), (false, 0xEF, first.start + first.sectors, 3 << 10));
    if let Some(text) = content("sfdisk", &["-V", name(iso.path())]) {
        assert!(text.contains("No errors detected"), "{text}");
    }
}

#[test]
fn without_a_bios_image_the_catalog_is_for_uefi_alone() {
    let tree = bootable_tree();
    let boot = Boot { bios: None, ..gpt(&tree).boot.unwrap() };
    let image = Image { boot: Some(boot), system_area: SystemArea::Gpt { start: None }, ..gpt(&tree) };
    let disk = bytes(&image);
    let catalog = u32::from_le_bytes(disk[17 * 2048 + 71..][..4].try_into().unwrap()) as usize * 2048;
    assert_eq!(disk[catalog..catalog + 2], [1, 0xEF]);
    let entries = Iso::open(Content::from(disk)).unwrap().boot_entries().unwrap();
    assert_eq!(entries.iter().map(|entry| entry.platform).collect::<Vec<_>>(), [0xEF]);
    let iso = written(&image);
    let Some(text) = content("xorriso", &["-indev", name(iso.path()), "-report_el_torito", "plain"]) else { return };
    assert!(text.contains("El Torito boot img :   1  UEFI  y   none"), "{text}");
}

#[test]
fn the_load_size_of_an_esp_that_is_too_large_is_left_open_with_advice() {
    let tree = bootable_tree();
    for (len, load_sectors, advised) in [((32 << 20) - 512, 0xFFFF, 0), (32 << 20, 0, 1)] {
        let efi = Some(EfiImage::Appended(Content::from(vec![0; len])));
        let boot = Some(Boot { efi, ..gpt(&tree).boot.unwrap() });
        let image = Image { boot, ..gpt(&tree) };
        let entries = Iso::open(Content::from(bytes(&image))).unwrap().boot_entries().unwrap();
        assert_eq!(entries[1].load_sectors, load_sectors);
        let about_the_esp = iso::advice(&image).into_iter().filter(|sentence| sentence.contains("ESP"));
        assert_eq!(about_the_esp.count(), advised);
    }
}

#[test]
fn xorriso_has_nothing_to_say_against_any_layout() {
    let tree = bootable_tree();
    let start = StartCode::Isohdpfx(vec![0x90; 432]);
    let uefi_only = Boot { bios: None, ..gpt(&tree).boot.unwrap() };
    let isohybrid = Image { system_area: SystemArea::Isohybrid { start }, ..gpt(&tree) };
    let uefi = Image { boot: Some(uefi_only), system_area: SystemArea::Mbr { start: None }, ..gpt(&tree) };
    for image in [gpt(&tree), mbr(&tree), isohybrid, uefi] {
        let iso = written(&image);
        let report = ["-report_el_torito", "plain", "-report_system_area", "plain", "-check_media", "--"];
        let Some(text) = content("xorriso", &[&["-indev", name(iso.path())][..], &report].concat()) else { return };
        assert!(text.contains("+ good"), "{text}");
        let complaints = ["SORRY", "FAILURE", "WARNING", "HINT"];
        assert!(!complaints.iter().any(|word| text.contains(word)), "{text}");
    }
}

#[test]
fn the_first_partition_is_sound_to_xorriso_and_isoinfo() {
    let tree = bootable_tree();
    let disk = bytes(&gpt(&tree));
    let partition = tempfile::Builder::new().suffix(".iso").tempfile().unwrap();
    std::fs::write(partition.path(), &disk[64 * 512..]).unwrap();
    if let Some(text) = content("xorriso", &["-indev", name(partition.path()), "-find", "/home", "-exec", "lsdl", "--"])
    {
        assert!(text.contains("1000") && text.contains("'/home/owned'"), "{text}");
    }
    if let Some(text) = content("isoinfo", &["-J", "-f", "-i", name(partition.path())]) {
        assert!(text.contains("/home/owned"), "{text}");
    }
}

#[test]
fn an_esp_within_the_first_partition_is_refused() {
    let mut tree = bootable_tree();
    file(&mut tree, "esp.img", 0o644, noise(3, 1000));
    let boot = Some(Boot { bios: None, efi: Some(EfiImage::File(path("esp.img"))) });
    let image = Image { boot, system_area: SystemArea::Gpt { start: None }, ..image(&tree) };
    let error = iso::layout(&image).unwrap_err().to_string();
    assert!(error.contains("append it instead"), "{error}");
}

#[test]
fn grubs_start_code_has_another_length() {
    let tree = bootable_tree();
    let start = Some(StartCode::BootHybrid(vec![0; 432]));
    let error = iso::layout(&Image { system_area: SystemArea::Gpt { start }, ..gpt(&tree) }).unwrap_err().to_string();
    assert!(error.contains("432") && error.contains("512") && error.contains("boot_hybrid.img"), "{error}");
}
