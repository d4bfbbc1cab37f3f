//! GRUB's core image beside grub-mkimage's.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use builder::bootloader::grub;
use builder::deb;
use tree::Provenance;
use xz2::stream::{Filters, LzmaOptions, Stream};

use crate::{or_skip, output, tool};

/// GRUB's files for BIOS: installed here, or out of the cache.
fn grub_files(scratch: &Path) -> Option<PathBuf> {
    let installed = PathBuf::from("/usr/lib/grub/i386-pc");
    if installed.join("moddep.lst").is_file() {
        return Some(installed);
    }
    let cache = std::env::var_os("LIVEROOT_CACHE").map(PathBuf::from)?;
    let package = deb::load(&cache.join("packages/grub-pc-bin.deb"), &Provenance::default()).ok()?;
    for item in package.walk() {
        let inside = item.path.parent().is_some_and(|dir| dir.name() == b"i386-pc");
        if let (true, Some(content)) = (inside, item.content()) {
            let name = String::from_utf8_lossy(item.path.name()).into_owned();
            std::fs::write(scratch.join(name), content.read_all(1 << 24).unwrap()).unwrap();
        }
    }
    Some(scratch.to_owned())
}

/// What the decompressor of an El Torito image leaves in memory.
fn payload(image: &[u8]) -> Vec<u8> {
    const DECOMPRESSOR: usize = 2048 + 512;
    let word = |at: usize| u32::from_le_bytes(image[at..at + 4].try_into().unwrap()) as usize;
    let (compressed, whole) = (word(DECOMPRESSOR + 0x08), word(DECOMPRESSOR + 0x0c));
    let mut options = LzmaOptions::new_preset(6).unwrap();
    options.dict_size(1 << 16).literal_context_bits(3).literal_position_bits(0).position_bits(2);
    let mut filters = Filters::new();
    filters.lzma1(&options);
    let data = &image[image.len() - compressed..];
    let decoder = xz2::read::XzDecoder::new_stream(data, Stream::new_raw_decoder(&filters).unwrap());
    let mut out = Vec::new();
    decoder.take(whole as u64).read_to_end(&mut out).unwrap();
    assert_eq!(out.len(), whole);
    out
}

#[test]
fn the_core_image_holds_what_grub_mkimage_puts_there() {
    let scratch = tempfile::tempdir().unwrap();
    let Some(mkimage) = tool("grub-mkimage") else { return };
    let Some(dir) = or_skip(grub_files(scratch.path()), "GRUB for BIOS (grub-pc-bin)") else { return };
    let config = "search --set=root --file /live/x\nset prefix=($root)/boot/grub\n";
    let read = |name: &str| Ok(std::fs::read(dir.join(name)).unwrap());
    let ours = grub::eltorito(&read, config).unwrap();

    let (theirs, early) = (scratch.path().join("theirs.img"), scratch.path().join("early.cfg"));
    std::fs::write(&early, config).unwrap();
    let mut ask = Command::new(mkimage);
    ask.args(["-O", "i386-pc-eltorito", "-p", "/boot/grub", "-d"]).arg(&dir).arg("-c").arg(&early);
    output(ask.arg("-o").arg(&theirs).args(grub::CORE_MODULES));
    let theirs = std::fs::read(theirs).unwrap();

    assert!(payload(&ours) == payload(&theirs), "the payloads differ");
    let start = |image: &[u8]| image[..2048 + 500].to_vec();
    assert!(start(&ours) == start(&theirs), "the start codes differ");
    // Another encoder of the same format.
    assert!(ours.len().abs_diff(theirs.len()) < 2048, "{} bytes, and grub-mkimage's has {}", ours.len(), theirs.len());
}
