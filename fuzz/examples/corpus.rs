//! Writes the seeds that our own writers make: `cargo run --example corpus`,
//! in this folder. The other files of `corpus/` are other tools' work, or were
//! findings.

use std::io;
use std::path::Path;

use iso::{BiosImage, Boot, EfiImage, Image, SECTOR, StartCode, SystemArea, VolumeId};
use tree::{Content, Kind, Leaf, Meta, Provenance, Tree, TreePath};

fn main() -> io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let put = |target: &str, name: &str, bytes: &[u8]| {
        std::fs::create_dir_all(corpus.join(target))?;
        std::fs::write(corpus.join(target).join(name), bytes)
    };
    let tree = awkward();
    let plain = image(&tree);
    put("iso", "rock-ridge", &written(&plain)[16 * SECTOR..])?;
    put("iso", "joliet", &written(&Image { joliet: true, ..plain.clone() })[16 * SECTOR..])?;

    let esp = Some(EfiImage::Appended(Content::from(vec![0; SECTOR])));
    let bios = Some(BiosImage::isolinux(path("boot/loader.bin")));
    let boot = Some(Boot { bios, efi: esp });
    let disc = written(&Image { boot: boot.clone(), ..plain.clone() });
    let field = 17 * SECTOR + 0x47;
    let catalog = u32::from_le_bytes(disc[field..field + 4].try_into().expect("four bytes")) as usize * SECTOR;
    put("el_torito", "bios-and-uefi", &disc[catalog..catalog + 128])?;

    let start = StartCode::Isohdpfx(vec![0; 432]);
    for (name, system_area) in [
        ("gpt", SystemArea::Gpt { start: Some(start.clone()) }),
        ("isohybrid", SystemArea::Isohybrid { start: start.clone() }),
        ("mbr", SystemArea::Mbr { start: Some(start) }),
    ] {
        put("partitions", name, &written(&Image { boot: boot.clone(), system_area, ..plain.clone() })[..1536])?;
    }
    Ok(())
}

fn path(written: &str) -> TreePath {
    TreePath::new(written).expect("a plain path")
}

fn insert(tree: &mut Tree, at: &str, kind: Kind) {
    let leaf = Leaf { meta: Meta::new(0o644), kind };
    tree.insert_leaf(path(at), leaf, Provenance::new("a seed")).expect("each path is new");
}

/// One of everything that a record can tell.
fn awkward() -> Tree {
    let mut tree = Tree::new();
    insert(&mut tree, "boot/loader.bin", Kind::File(Content::from(vec![b'x'; 64])));
    tree.insert_link(path("link"), &path("boot/loader.bin"), Provenance::new("a seed")).expect("the path is new");
    insert(&mut tree, &"n".repeat(240), Kind::Fifo);
    insert(&mut tree, "null", Kind::CharDevice { major: 1, minor: 3 });
    insert(&mut tree, "target", Kind::Symlink(["component"; 30].join("/").into_bytes()));
    tree
}

fn image(tree: &Tree) -> Image<'_> {
    Image::new(tree, VolumeId::new("SEED").expect("a plain label"), 0)
}

fn written(image: &Image<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    iso::layout(image).expect("it is small").write(&mut bytes, &mut |_| {}).expect("into memory");
    bytes
}
