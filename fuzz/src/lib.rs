//! What the targets have in common.

use std::sync::LazyLock;

use iso::{BiosImage, Boot, Image, SECTOR, VolumeId};
use tree::{Content, Provenance, Tree, TreePath};

/// Contents are read so far: enough to run through every layer below them.
const READ_MAX: u64 = 1 << 20;

/// Everything a reader of a tree can be asked for. That it ends is what is
/// tested; what it says is not.
pub fn exhaust(tree: &Tree) {
    for item in tree.walk() {
        let Some(content) = item.content() else { continue };
        let head = content.slice(0, content.len().min(READ_MAX)).expect("it is within");
        let _ = head.read_all(READ_MAX);
    }
}

/// A sound, bootable image to put fuzzed parts into: its bytes, and where its
/// boot catalog stands.
pub static SOUND: LazyLock<(Vec<u8>, usize)> = LazyLock::new(|| {
    let mut tree = Tree::new();
    let path = TreePath::new("boot.bin").expect("a plain name");
    let content = Content::from(vec![0; SECTOR]);
    tree.insert_file(path.clone(), 0o644, content, Provenance::new("fuzzing")).expect("the tree is empty");
    let boot = Some(Boot { bios: Some(BiosImage::isolinux(path)), efi: None });
    let image = Image { boot, ..Image::new(&tree, VolumeId::new("FUZZ").expect("a plain label"), 0) };
    let mut bytes = Vec::new();
    iso::layout(&image).expect("it is small").write(&mut bytes, &mut |_| {}).expect("into memory");
    let field = 17 * SECTOR + 0x47;
    let catalog = u32::from_le_bytes(bytes[field..field + 4].try_into().expect("four bytes"));
    (bytes, catalog as usize * SECTOR)
});
