//! The ISO image, by cdfs. It reads images like ours; docs/decisions says why
//! it is an oracle here and not the reader that we ship.

use std::fs;
use std::io::{Cursor, Read};

use anyhow::{Context, Result, bail};
use cdfs::{DirectoryEntry, ISO9660};
use harness::builder::Image;

#[test]
fn cdfs_reads_the_files_that_bsdtar_unpacked() -> Result<()> {
    let Some(image) = Image::of("ram")? else { return Ok(()) };
    let iso = ISO9660::new(Cursor::new(respelled(fs::read(&image.iso)?)))?;
    assert!(iso.is_rr(), "cdfs finds no Rock Ridge");
    for path in ["live/manifest", "live/packages/03-second.tar.xz", "boot/vmlinuz"] {
        let found = iso.open(path)?.with_context(|| format!("cdfs finds no {path}"))?;
        let DirectoryEntry::File(file) = found else { bail!("cdfs takes {path} for something else than a file") };
        let mut bytes = Vec::new();
        file.read().read_to_end(&mut bytes)?;
        assert!(bytes == fs::read(image.file(path)?)?, "cdfs and bsdtar read {path} differently");
    }
    assert!(iso.open("live/nothing")?.is_none());
    Ok(())
}

/// Rock Ridge's name, in the ER entry (SUSP 5.5), as cdfs knows it: IEEE_P1282,
/// as in the draft. The final name that we write makes it panic. One letter more
/// in the name is one fewer in the description that follows it.
fn respelled(mut iso: Vec<u8>) -> Vec<u8> {
    const OURS: &[u8] = b"IEEE_1282";
    const THEIRS: &[u8] = b"IEEE_P1282";
    let is_name = |at: &usize| iso[*at..].starts_with(OURS) && usize::from(iso[at - 4]) == OURS.len();
    let names: Vec<usize> = (4..iso.len() - THEIRS.len()).filter(is_name).collect();
    for at in names {
        iso[at - 4] += 1;
        iso[at - 3] -= 1;
        iso[at..at + THEIRS.len()].copy_from_slice(THEIRS);
    }
    iso
}
