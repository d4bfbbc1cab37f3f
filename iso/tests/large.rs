//! A file of more than 4 GiB, in sections. Neither the content nor the image
//! takes room on the host's disk: both are sparse.

mod common;

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

use common::{content, file, from, image, name, path};
use tree::{Content, Tree};

const SECTION: u64 = 0xFFFF_F800;

/// Leaves a hole where zeros are written.
struct Sparse(File);

impl Write for Sparse {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        static ZEROS: [u8; 1 << 20] = [0; 1 << 20];
        if bytes.len() <= ZEROS.len() && *bytes == ZEROS[..bytes.len()] {
            let end = self.0.seek(SeekFrom::Current(i64::try_from(bytes.len()).unwrap()))?;
            if end > self.0.metadata()?.len() {
                self.0.set_len(end)?;
            }
            return Ok(bytes.len());
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[test]
fn a_file_over_4_gib_is_one_file_in_two_sections() {
    let big = tempfile::NamedTempFile::new().unwrap();
    let len = SECTION + 5000;
    big.as_file().set_len(len).unwrap();
    big.as_file().write_all_at(b"across", SECTION - 3).unwrap();
    big.as_file().write_all_at(b"end", len - 3).unwrap();
    let mut tree = Tree::new();
    tree.insert_file(path("big"), 0o644, Content::host(big.path(), len), from()).unwrap();
    file(&mut tree, "zlast", 0o644, b"behind it".to_vec());

    let image = image(&tree);
    let layout = iso::layout(&image).unwrap();
    let iso = tempfile::Builder::new().suffix(".iso").tempfile().unwrap();
    layout.write(&mut Sparse(iso.reopen().unwrap()), &mut |_| {}).unwrap();

    let lba = layout.extent(&path("big")).unwrap().lba;
    let at = |offset: u64, expected: &[u8]| {
        let mut found = vec![0; expected.len()];
        iso.as_file().read_exact_at(&mut found, u64::from(lba) * 2048 + offset).unwrap();
        assert_eq!(found, expected, "at {offset}");
    };
    at(SECTION - 3, b"across");
    at(len - 3, b"end");
    let args = ["-indev", name(iso.path()), "-find", "/big", "-exec", "report_lba", "--"];
    let Some(text) = content("xorriso", &args) else { return };
    let squeezed: Vec<String> = text.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let second = lba + (SECTION / 2048) as u32;
    for expected in [
        format!("File data lba: 0 , {lba} , {} , {len} , '/big'", SECTION / 2048),
        format!("File data lba: 1 , {second} , 3 , {len} , '/big'"),
    ] {
        assert!(squeezed.contains(&expected), "{expected}\n{text}");
    }
}
