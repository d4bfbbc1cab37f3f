//! Boot from a disc and from a disk, as other tools see it.

mod common;

use common::{asset, bytes, content, file, image, name, noise, path, written};
use iso::{BiosImage, Boot, EfiImage, Image, StartCode, SystemArea};
use tree::{Content, Tree};

const SECTOR: usize = 2048;

/// A stand-in for isolinux.bin: as long, and with its magic at 64.
fn isolinux() -> Vec<u8> {
    let mut image = noise(1, 38_912);
    image[64..68].copy_from_slice(&[0xFB, 0xC0, 0x78, 0x70]);
    image
}

fn bootable_tree() -> Tree {
    let mut tree = Tree::new();
    file(&mut tree, "isolinux/isolinux.bin", 0o644, isolinux());
    file(&mut tree, "isolinux/isolinux.cfg", 0o644, b"DEFAULT linux\n".to_vec());
    // The same bytes under another name must not be patched with it.
    file(&mut tree, "isolinux/copy.bin", 0o644, isolinux());
    file(&mut tree, "boot/esp.img", 0o644, noise(2, 100_000));
    tree
}

fn bootable(tree: &Tree) -> Image<'_> {
    Image {
        boot: Some(Boot { bios: Some(BiosImage::isolinux(path("isolinux/isolinux.bin"))), efi: None }),
        system_area: SystemArea::Isohybrid { start: StartCode::Isohdpfx(vec![0x90; 432]) },
        ..image(tree)
    }
}

#[test]
fn xorriso_finds_the_boot_image_and_the_partition() {
    // libisofs knows an isohybrid MBR by its code.
    let Some(mbr_code) = asset("/usr/lib/ISOLINUX/isohdpfx.bin") else { return };
    let tree = bootable_tree();
    let image =
        Image { system_area: SystemArea::Isohybrid { start: StartCode::Isohdpfx(mbr_code) }, ..bootable(&tree) };
    let lba = iso::layout(&image).unwrap().extent(&path("isolinux/isolinux.bin")).unwrap().lba;
    let iso = written(&image);
    let args = ["-indev", name(iso.path()), "-report_el_torito", "plain", "-report_system_area", "plain"];
    let Some(text) = content("xorriso", &args) else { return };
    let sectors = iso.as_file().metadata().unwrap().len() / 512;
    let squeezed: Vec<String> = text.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for expected in [
        format!("El Torito boot img : 1 BIOS y none 0x0000 0x00 4 {lba}"),
        "El Torito img path : 1 /isolinux/isolinux.bin".to_owned(),
        "El Torito img opts : 1 boot-info-table isohybrid-suitable".to_owned(),
        format!("MBR partition : 1 0x80 0x17 0 {sectors}"),
        "System area summary: MBR isohybrid cyl-align-on".to_owned(),
    ] {
        assert!(squeezed.contains(&expected), "{expected}\n{text}");
    }
    assert!(!text.contains("img path :   1  /boot.cat"), "the catalog is hidden");
}

#[test]
fn only_the_boot_image_itself_is_patched() {
    let tree = bootable_tree();
    let image = bootable(&tree);
    let layout = iso::layout(&image).unwrap();
    let disc = bytes(&image);
    let at = |name: &str| {
        let extent = layout.extent(&path(name)).unwrap();
        let start = extent.lba as usize * SECTOR;
        (extent.lba, &disc[start..start + extent.len as usize])
    };
    let (_, copy) = at("isolinux/copy.bin");
    assert!(copy == isolinux());
    let (lba, patched) = at("isolinux/isolinux.bin");
    let word = |at: usize| u32::from_le_bytes(patched[at..at + 4].try_into().unwrap());
    assert_eq!([word(8), word(12), word(16)], [16, lba, 38_912]);
    assert!(patched[..8] == isolinux()[..8] && patched[64..] == isolinux()[64..]);
    assert_eq!(disc[432..440], (u64::from(lba) * 4).to_le_bytes(), "the MBR leads to it");
    assert_eq!(disc.len() % (1 << 20), 0, "whole cylinders");
}

#[test]
fn an_esp_is_named_in_the_tree_or_appended() {
    let tree = bootable_tree();
    for efi in [EfiImage::File(path("boot/esp.img")), EfiImage::Appended(Content::from(noise(3, 300_000)))] {
        let appended = matches!(efi, EfiImage::Appended(_));
        let expected = if appended { noise(3, 300_000) } else { noise(2, 100_000) };
        let bios = Some(BiosImage::isolinux(path("isolinux/isolinux.bin")));
        let image = Image { boot: Some(Boot { bios, efi: Some(efi) }), ..bootable(&tree) };
        let disc = bytes(&image);
        let catalog = u32::from_le_bytes(disc[17 * SECTOR + 71..][..4].try_into().unwrap()) as usize * SECTOR;
        let entry = &disc[catalog + 96..catalog + 128];
        assert_eq!(disc[catalog + 64..catalog + 66], [0x91, 0xEF]);
        let lba = u32::from_le_bytes(entry[8..12].try_into().unwrap()) as usize;
        assert!(disc[lba * SECTOR..][..expected.len()] == expected);
        assert_eq!(u16::from_le_bytes([entry[6], entry[7]]) as usize, expected.len().div_ceil(512));
        assert!(!appended || lba.is_multiple_of(512), "at a multiple of 1 MiB");
        let partition = &disc[462..478];
        assert_eq!((partition[0], partition[4]), (0, 0xEF), "the MBR names it too");
        let [start, sectors] = [8, 12].map(|at| u32::from_le_bytes(partition[at..at + 4].try_into().unwrap()) as usize);
        assert_eq!((start, sectors), (lba * 4, expected.len().div_ceil(512)));
    }
}

#[test]
fn what_cannot_boot_is_refused_with_the_path() {
    let mut tree = bootable_tree();
    file(&mut tree, "short", 0o644, vec![0; 63]);
    let bios = |p: &str| Some(Boot { bios: Some(BiosImage::isolinux(path(p))), efi: None });
    let cases: [(Image<'_>, &str); 6] = [
        (Image { boot: bios("nowhere"), ..bootable(&tree) }, "/nowhere is not in the tree"),
        (Image { boot: bios("isolinux"), ..bootable(&tree) }, "/isolinux is not a regular file"),
        (Image { boot: bios("short"), ..bootable(&tree) }, "/short has 63 bytes and at least 64"),
        (Image { boot: None, ..bootable(&tree) }, "there is none"),
        (
            Image {
                system_area: SystemArea::Isohybrid { start: StartCode::Isohdpfx(vec![0; 512]) },
                ..bootable(&tree)
            },
            "isohdpfx.bin is meant",
        ),
        (
            Image { boot: Some(Boot { bios: None, efi: Some(EfiImage::File(path("x"))) }), ..image(&tree) },
            "/x is not in the tree",
        ),
    ];
    for (image, part) in cases {
        let error = iso::layout(&image).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn padding_is_part_of_the_volume() {
    let tree = Tree::new();
    let plain = bytes(&image(&tree));
    let padded = bytes(&Image { pad_sectors: 150, ..image(&tree) });
    assert_eq!(padded.len(), plain.len() + 150 * SECTOR);
    let sectors = u32::from_le_bytes(padded[16 * SECTOR + 80..][..4].try_into().unwrap());
    assert_eq!(sectors as usize * SECTOR, padded.len());
}
