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
    let iso = ISO9660::new(Cursor::new(fs::read(&image.iso)?))?;
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
