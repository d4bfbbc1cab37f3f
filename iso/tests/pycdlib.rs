//! pycdlib opens our images, walks them, and reads the same bytes.

mod common;

use std::collections::BTreeSet;

use common::{awkward_tree, content, file, image, name, noise, path, written};
use iso::{BiosImage, Boot, EfiImage, Image, StartCode, SystemArea};
use md5::{Digest, Md5};
use tree::{Content, Item, Kind, Node};

/// `cargo xtask setup` puts it there: Debian's takes images with continued
/// entries for inconsistent, which later versions mended.
const LIBRARY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/python");

fn listed(image: &Image<'_>) -> Option<BTreeSet<String>> {
    common::asset(&format!("{LIBRARY}/pycdlib/__init__.py"))?;
    let iso = written(image);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/walk.py");
    let text = content("python3", &["-B", script, LIBRARY, name(iso.path())])?;
    Some(text.lines().map(str::to_owned).collect())
}

fn line(names: &str, item: &Item<'_>) -> String {
    let path = format!("/{}", String::from_utf8_lossy(item.path.as_bytes()));
    match item.node {
        Node::Dir => format!("{names} dir {path}"),
        Node::Leaf { kind: Kind::Symlink(target), .. } => {
            format!("{names} symlink {path} -> {}", String::from_utf8_lossy(target))
        }
        Node::Leaf { kind: Kind::File(content), .. } => {
            let digest = Md5::digest(content.read_all(1 << 30).unwrap());
            let digest = u128::from_be_bytes(digest.into());
            format!("{names} file {path} {} {digest:032x}", content.len())
        }
        // To pycdlib what has no content is an empty file.
        Node::Leaf { .. } => format!("{names} file {path} 0 d41d8cd98f00b204e9800998ecf8427e"),
    }
}

#[test]
fn every_byte_is_read_by_either_kind_of_names() {
    let mut tree = awkward_tree();
    file(&mut tree, "isolinux.bin", 0o644, noise(1, 38_912));
    // It cannot read a target that is the root alone.
    tree.remove(&path("links/root"));
    let boot = Boot {
        bios: Some(BiosImage::isolinux(path("isolinux.bin"))),
        efi: Some(EfiImage::Appended(Content::from(noise(2, 1 << 20)))),
    };
    let plain = Image { joliet: true, boot: Some(boot), ..image(&tree) };
    let start = StartCode::Isohdpfx(vec![0x90; 432]);
    for system_area in [SystemArea::Gpt { start: Some(start.clone()) }, SystemArea::Isohybrid { start }] {
        let Some(found) = listed(&Image { system_area, ..plain.clone() }) else { return };
        for item in tree.walk().skip(1).filter(|item| *item.path != path("isolinux.bin")) {
            let expected = line("rr_path", &item);
            assert!(found.contains(&expected), "{expected}");
            // Longer names are cut in Joliet, and some letters changed.
            let is_plain = item.path.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || b"/-._ ".contains(b));
            if (item.is_dir() || item.content().is_some()) && item.path.name().len() <= 103 && is_plain {
                let expected = line("joliet_path", &item);
                assert!(found.contains(&expected), "{expected}");
            }
        }
        let count = |names: &str| found.iter().filter(|line| line.starts_with(names)).count();
        let in_joliet = tree.walk().filter(|item| item.is_dir() || item.content().is_some()).count();
        assert_eq!((count("rr_path"), count("joliet_path")), (tree.len() - 1, in_joliet - 1));
    }
}
