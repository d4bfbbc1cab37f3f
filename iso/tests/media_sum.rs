//! The checksum of isomd5sum, judged by isomd5sum.

mod common;

use common::{awkward_tree, bytes, content, image, name, oracle, written};
use iso::{Image, SystemArea};

#[test]
fn checkisomd5_is_content_and_notices_a_flipped_byte() {
    let tree = awkward_tree();
    let iso = written(&Image { media_sum: true, pad_sectors: 150, ..image(&tree) });
    if content("checkisomd5", &[name(iso.path())]).is_none() {
        return;
    }
    let mut flipped = std::fs::read(iso.path()).unwrap();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    std::fs::write(iso.path(), flipped).unwrap();
    let output = oracle("checkisomd5", &[name(iso.path())]).unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

#[test]
fn the_bytes_are_those_that_implantisomd5_makes() {
    let tree = awkward_tree();
    for system_area in [SystemArea::None, SystemArea::Gpt { start: None }] {
        let image = Image { system_area, ..image(&tree) };
        let iso = written(&image);
        if content("implantisomd5", &[name(iso.path())]).is_none() {
            return;
        }
        let ours = bytes(&Image { media_sum: true, ..image });
        let theirs = std::fs::read(iso.path()).unwrap();
        let field = |image: &[u8]| String::from_utf8_lossy(&image[32768 + 883..32768 + 1395]).into_owned();
        assert_eq!(field(&ours), field(&theirs));
        assert!(ours == theirs);
    }
}

#[test]
fn the_smallest_image_has_a_sum_too() {
    let tree = tree::Tree::new();
    let iso = written(&Image { media_sum: true, ..image(&tree) });
    content("checkisomd5", &[name(iso.path())]);
}
