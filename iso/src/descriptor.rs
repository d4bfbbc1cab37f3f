//! Volume descriptors (ECMA-119 8).

use crate::Image;
use crate::date;
use crate::directory::Namespace;
use crate::format::{APPLICATION_USE, SECTOR, STANDARD_ID, both16, both32, descriptor_type, put};
use crate::joliet;
use crate::layout::LayoutError;

/// What the descriptors say beside where things stand.
#[derive(Debug, Clone)]
pub(crate) struct Texts {
    volume_id: String,
    volume_set: String,
    publisher: String,
    preparer: String,
    application: String,
    epoch: i64,
}

impl Texts {
    pub(crate) fn new(image: &Image<'_>) -> Result<Self, LayoutError> {
        Ok(Self {
            volume_id: image.volume_id.as_str().to_owned(),
            volume_set: checked("volume set", &image.volume_set)?,
            publisher: checked("publisher", &image.publisher)?,
            preparer: checked("preparer", &image.preparer)?,
            application: checked("application", &image.application)?,
            epoch: image.epoch,
        })
    }

    /// What the image is called and when it was made: numbers that identify
    /// it are made of this.
    pub(crate) fn seed(&self) -> Vec<u8> {
        [self.volume_id.as_bytes(), &self.epoch.to_le_bytes()].concat()
    }
}

/// ECMA-119 8.4.19 to 8.4.22 have 128 bytes each. Lower case is outside its
/// character set and in everybody's images.
fn checked(field: &'static str, text: &str) -> Result<String, LayoutError> {
    const ROOM: usize = 128;
    if text.len() > ROOM {
        return Err(LayoutError::TextTooLong { field, length: text.len(), room: ROOM });
    }
    if let Some(character) = text.chars().find(|c| !c.is_ascii_graphic() && *c != ' ') {
        return Err(LayoutError::TextCharacter { field, character });
    }
    Ok(text.to_owned())
}

/// Where the volume's own structures stand.
#[derive(Debug)]
pub(crate) struct Anchors {
    pub(crate) volume_sectors: u32,
    pub(crate) path_table_len: u32,
    pub(crate) path_table_little: u32,
    pub(crate) path_table_big: u32,
    pub(crate) root_record: Vec<u8>,
}

/// ECMA-119 8.4 and, for Joliet, 8.5.
pub(crate) fn volume(namespace: Namespace, texts: &Texts, anchors: &Anchors) -> Vec<u8> {
    let mut out = vec![0; SECTOR];
    put(&mut out, 1, STANDARD_ID);
    out[6] = 1;
    let put_text = match namespace {
        Namespace::Primary => {
            out[0] = descriptor_type::PRIMARY;
            put_plain
        }
        Namespace::Joliet => {
            out[0] = descriptor_type::SUPPLEMENTARY;
            put(&mut out, 88, joliet::ESCAPE);
            put_wide
        }
    };
    put_text(&mut out[8..40], "LINUX");
    put_text(&mut out[40..72], &texts.volume_id);
    put(&mut out, 80, &both32(anchors.volume_sectors));
    put(&mut out, 120, &both16(1));
    put(&mut out, 124, &both16(1));
    put(&mut out, 128, &both16(SECTOR as u16));
    put(&mut out, 132, &both32(anchors.path_table_len));
    put(&mut out, 140, &anchors.path_table_little.to_le_bytes());
    put(&mut out, 148, &anchors.path_table_big.to_be_bytes());
    put(&mut out, 156, &anchors.root_record);
    put_text(&mut out[190..318], &texts.volume_set);
    put_text(&mut out[318..446], &texts.publisher);
    put_text(&mut out[446..574], &texts.preparer);
    put_text(&mut out[574..702], &texts.application);
    // Names of the copyright, abstract and bibliographic files: none.
    for field in [702..739, 739..776, 776..813] {
        put_text(&mut out[field], "");
    }
    put(&mut out, 813, &date::long(texts.epoch));
    put(&mut out, 830, &date::long(texts.epoch));
    put(&mut out, 847, &date::LONG_UNSET);
    put(&mut out, 864, &date::LONG_UNSET);
    out[881] = 1;
    // isomd5sum takes spaces for "unused" and nothing else.
    out[APPLICATION_USE].fill(b' ');
    out
}

/// ECMA-119 8.3.
pub(crate) fn terminator() -> Vec<u8> {
    let mut out = vec![0; SECTOR];
    out[0] = descriptor_type::TERMINATOR;
    put(&mut out, 1, STANDARD_ID);
    out[6] = 1;
    out
}

/// Left-justified, filled with spaces (ECMA-119 7.4.3.2).
fn put_plain(field: &mut [u8], text: &str) {
    field.fill(b' ');
    field[..text.len()].copy_from_slice(text.as_bytes());
}

/// The same in UTF-16, cut where Joliet has half the room. An odd last byte
/// stays zero.
fn put_wide(field: &mut [u8], text: &str) {
    let units = text.encode_utf16().chain(std::iter::repeat(u16::from(b' ')));
    for (pair, unit) in field.chunks_exact_mut(2).zip(units) {
        pair.copy_from_slice(&unit.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::VolumeId;

    #[test]
    fn the_primary_descriptor_has_each_field_in_its_place() {
        let tree = tree::Tree::new();
        let image = Image {
            volume_set: "set".into(),
            application: "liveroot".into(),
            ..Image::new(&tree, VolumeId::new("AURORA").unwrap(), 1_709_251_199)
        };
        let anchors = Anchors {
            volume_sectors: 1000,
            path_table_len: 10,
            path_table_little: 20,
            path_table_big: 21,
            root_record: vec![34; 34],
        };
        let bytes = volume(Namespace::Primary, &Texts::new(&image).unwrap(), &anchors);
        let expected: [(usize, &[u8]); 13] = [
            (0, b"\x01CD001\x01\0"),
            (40, b"AURORA                          \0"),
            (80, &both32(1000)),
            (88, &[0; 32]),
            (120, &[1, 0, 0, 1, 1, 0, 0, 1, 0, 8, 8, 0]),
            (132, &both32(10)),
            (140, &[20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 21, 0, 0, 0, 0]),
            (156, &[34; 34]),
            (190, b"set "),
            (574, b"liveroot "),
            (813, b"2024022923595900\x002024022923595900\0"),
            (847, b"0000000000000000\x000000000000000000\0\x01\0"),
            (883, &[b' '; 512]),
        ];
        for (offset, field) in expected {
            assert_eq!(&bytes[offset..offset + field.len()], field, "at {offset}");
        }
    }

    #[test]
    fn the_joliet_descriptor_differs_in_type_escape_and_texts() {
        let tree = tree::Tree::new();
        let image = Image::new(&tree, VolumeId::new("SEVENTEEN_LETTERS").unwrap(), 0);
        let anchors = Anchors {
            volume_sectors: 1000,
            path_table_len: 10,
            path_table_little: 20,
            path_table_big: 21,
            root_record: vec![34; 34],
        };
        let texts = Texts::new(&image).unwrap();
        let (plain, wide) = (volume(Namespace::Primary, &texts, &anchors), volume(Namespace::Joliet, &texts, &anchors));
        assert_eq!((wide[0], &wide[88..91]), (2, &b"%/E"[..]));
        assert_eq!(&wide[40..72], b"\0S\0E\0V\0E\0N\0T\0E\0E\0N\0_\0L\0E\0T\0T\0E\0R");
        assert_eq!(wide[72..88], plain[72..88]);
        assert_eq!(wide[120..190], plain[120..190]);
        assert_eq!(wide[813..], plain[813..]);
    }

    #[test]
    fn texts_that_have_no_room_are_refused_by_name() {
        let tree = tree::Tree::new();
        let image = |publisher: &str| Image {
            publisher: publisher.into(),
            ..Image::new(&tree, VolumeId::new("A").unwrap(), 0)
        };
        for (publisher, part) in [("p".repeat(129), "129"), ("naïve".into(), "'ï'"), ("two\nlines".into(), "'\\n'")] {
            let error = Texts::new(&image(&publisher)).unwrap_err().to_string();
            assert!(error.contains("publisher") && error.contains(part), "{error}");
        }
    }
}
