//! The index of an .xz file, whose sums are put right by the target: each piece
//! that the file is cut into by it is a file, and no longer than it.

#![no_main]

use std::io::{Cursor, Read};

use flate2::Crc;
use libfuzzer_sys::fuzz_target;

/// Of the stream's header, and of its footer.
const HEADER: usize = 12;

fuzz_target!(|data: &[u8]| {
    let file = with_sums(data);
    for piece in init::xz::pieces(Cursor::new(&file)).unwrap_or_default() {
        let mut packed = Vec::new();
        let reader = piece.reader(Cursor::new(&file)).expect("its beginning is in memory");
        // Its own index is at most as long as that of the whole.
        reader.take(2 * file.len() as u64).read_to_end(&mut packed).expect("it is in memory");
        assert!(packed.starts_with(&file[..HEADER]) && packed.ends_with(b"YZ"), "an .xz file of its own");
    }
});

fn with_sums(data: &[u8]) -> Vec<u8> {
    let mut file = data.to_vec();
    let sum = |bytes: &[u8]| {
        let mut crc = Crc::new();
        crc.update(bytes);
        crc.sum().to_le_bytes()
    };
    if let Some(footer) = file.len().checked_sub(HEADER).filter(|&footer| footer >= HEADER) {
        let flags: [u8; 2] = file[6..8].try_into().expect("two of them");
        file[footer + 8..footer + 10].copy_from_slice(&flags);
        let backward = u32::from_le_bytes(file[footer + 4..footer + 8].try_into().expect("four of them"));
        let index = (backward as usize + 1) * 4;
        if let Some(start) = footer.checked_sub(index) {
            let list = sum(&file[start..footer - 4]);
            file[footer - 4..footer].copy_from_slice(&list);
        }
        let said = sum(&file[footer + 4..footer + 10]);
        file[footer..footer + 4].copy_from_slice(&said);
    }
    file
}
