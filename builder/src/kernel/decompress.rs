//! Kmods as distributions ship them: plain, .gz, .xz or .zst.

use std::borrow::Cow;
use std::io;

use tree::Content;

/// The largest kmods are 20 MiB with their debug information; a small file
/// that unpacks to gigabytes is an attack or damage.
const MAX_KMOD: u64 = 256 << 20;

/// The kmod without its compression. Of one that has none, nothing but the
/// first bytes is read.
pub(super) fn plain(kmod: &Content) -> io::Result<Content> {
    const ELF: &[u8] = b"\x7fELF";
    if kmod.open_at()?.read(0, kmod.len().min(4))? == ELF {
        return Ok(kmod.clone());
    }
    let bytes = kmod.read_all(MAX_KMOD)?;
    match init::decompress::kmod(&bytes, MAX_KMOD as usize) {
        Ok(Cow::Owned(elf)) => Ok(elf.into()),
        Ok(Cow::Borrowed(_)) => Ok(kmod.clone()),
        Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
    }
}
