//! What is legal and will still surprise somebody.

use tree::Item;

use crate::el_torito::CatalogEntry;
use crate::{EfiImage, Image, boot_image};

/// Linux drops the second half of a name that is longer (fs/isofs/rock.c,
/// `get_rock_ridge_filename`), and two such names may become one.
const LINUX_NAME_MAX: usize = 253;

/// FAT has 32 bits for a file's length.
const FAT_FILE_MAX: u64 = u32::MAX as u64;

/// One sentence for each thing that some system will not take as it is: the
/// image is written all the same.
pub fn advice(image: &Image<'_>) -> Vec<String> {
    let mut sentences: Vec<String> = image.volume_id.advice().into_iter().collect();
    sentences.extend(image.tree.walk().flat_map(|item| about_entry(&item)));
    let esp_len = match image.boot.as_ref().and_then(|boot| boot.efi.as_ref()) {
        Some(EfiImage::File(path)) => image.tree.get(path).and_then(|item| Some(item.content()?.len())),
        Some(EfiImage::Appended(content)) => Some(content.len()),
        Some(EfiImage::Fat { layout, .. }) => Some(layout.len()),
        None => None,
    };
    if esp_len.is_some_and(|len| boot_image::efi_load_sectors(len) == CatalogEntry::TO_THE_END) {
        sentences
            .push("the ESP has 32 MiB or more, which El Torito cannot count; some firmware will not load it".into());
    }
    sentences
}

fn about_entry(item: &Item<'_>) -> Vec<String> {
    let mut sentences = Vec::new();
    let length = item.path.name().len();
    if length > LINUX_NAME_MAX {
        sentences.push(format!("{}: Linux will cut its name of {length} bytes; it reads {LINUX_NAME_MAX}", item.path));
    }
    if item.content().is_some_and(|content| content.len() > FAT_FILE_MAX) {
        sentences.push(format!("{}: has 4 GiB or more, and a stick formatted as FAT cannot hold it", item.path));
    }
    sentences
}

#[cfg(test)]
mod tests {
    use tree::{Content, Provenance, Tree, TreePath};

    use super::*;
    use crate::{Boot, VolumeId};

    #[test]
    fn what_every_system_takes_needs_no_advice() {
        let mut tree = Tree::new();
        let path = TreePath::new("n".repeat(LINUX_NAME_MAX)).unwrap();
        tree.insert_file(path, 0o644, Content::host(std::path::Path::new("x"), FAT_FILE_MAX), Provenance::new("t"))
            .unwrap();
        assert_eq!(advice(&Image::new(&tree, VolumeId::new("SHORT").unwrap(), 0)), [""; 0]);
    }

    #[test]
    fn each_surprise_has_its_sentence() {
        let mut tree = Tree::new();
        let add = |tree: &mut Tree, name: &str, len| {
            let content = Content::host(std::path::Path::new("x"), len);
            tree.insert_file(TreePath::new(name).unwrap(), 0o644, content, Provenance::new("t")).unwrap();
        };
        add(&mut tree, "big", FAT_FILE_MAX + 1);
        add(&mut tree, &"n".repeat(254), 0);
        let esp = Content::host(std::path::Path::new("x"), 32 << 20);
        let boot = Some(Boot { bios: None, efi: Some(EfiImage::Appended(esp)) });
        let image = Image { boot, ..Image::new(&tree, VolumeId::new("TWELVE_CHARS").unwrap(), 0) };
        let sentences = advice(&image);
        for (sentence, part) in sentences.iter().zip(["TWELVE_CHAR\"", "/big", "254", "ESP"]) {
            assert!(sentence.contains(part), "{sentence}");
        }
        assert_eq!(sentences.len(), 4);
    }
}
