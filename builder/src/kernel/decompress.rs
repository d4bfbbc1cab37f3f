//! Kmods and firmware as distributions ship them: plain, .gz, .xz or .zst,
//! told apart by their magic and not by their names.

use std::io::{self, BufReader, Read};

use tree::Content;

/// The largest kmods are 20 MiB with their debug information; a small file
/// that unpacks to gigabytes is an attack or damage.
const MAX_PLAIN: u64 = 256 << 20;

/// The same content without its compression. What is not compressed comes
/// back as it is, and nothing but its first bytes is read.
pub(super) fn to_plain(content: &Content) -> io::Result<Content> {
    let magic = content.open_at()?.read(0, content.len().min(6))?;
    let input = || content.open().map(BufReader::new);
    match magic.as_slice() {
        [0x1f, 0x8b, ..] => unpack(flate2::bufread::MultiGzDecoder::new(input()?)),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => unpack(xz2::bufread::XzDecoder::new_multi_decoder(input()?)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => unpack(zstd::stream::read::Decoder::with_buffer(input()?)?),
        _ => Ok(content.clone()),
    }
}

fn unpack(decoder: impl Read) -> io::Result<Content> {
    let mut plain = Vec::new();
    decoder.take(MAX_PLAIN + 1).read_to_end(&mut plain)?;
    if plain.len() as u64 > MAX_PLAIN {
        let text = format!("it unpacks to more than {MAX_PLAIN} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(plain.into())
}
