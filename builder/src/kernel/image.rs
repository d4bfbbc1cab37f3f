//! The release that a kernel image names itself.

use std::io;

use tree::Content;

/// Offsets of the x86 boot protocol's header (kernel: Documentation/arch/x86/boot.rst).
const MAGIC: (u64, &[u8]) = (0x202, b"HdrS");
/// 16-bit pointer to the version text, less 0x200.
const KERNEL_VERSION: u64 = 0x20e;
/// Where the protected-mode kernel cannot start before: the text is in the setup part.
const SETUP_BASE: u64 = 0x200;

/// `None` for an image that does not tell: every architecture but x86.
pub(super) fn release(image: &Content) -> io::Result<Option<String>> {
    let at = image.open_at()?;
    if image.len() < KERNEL_VERSION + 2 || at.read(MAGIC.0, 4)? != MAGIC.1 {
        return Ok(None);
    }
    let pointer = at.read(KERNEL_VERSION, 2)?;
    let start = SETUP_BASE + u64::from(u16::from_le_bytes([pointer[0], pointer[1]]));
    if start == SETUP_BASE || start >= image.len() {
        return Ok(None);
    }
    let text = at.read(start, (image.len() - start).min(256))?;
    let word = text.split(|&b| b == 0 || b == b' ').next().unwrap_or_default();
    Ok(std::str::from_utf8(word).ok().filter(|word| !word.is_empty()).map(String::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bzimage_tells_its_release() {
        let mut image = vec![0; 0x400];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x20e..0x210].copy_from_slice(&0x180_u16.to_le_bytes());
        image[0x380..0x396].copy_from_slice(b"6.1.0-9-x (you@here) #");
        assert_eq!(release(&image.clone().into()).unwrap().as_deref(), Some("6.1.0-9-x"));
        image[0x20e..0x210].copy_from_slice(&0xffff_u16.to_le_bytes());
        assert_eq!(release(&image.into()).unwrap(), None, "a pointer past the end");
        assert_eq!(release(&b"MZ".to_vec().into()).unwrap(), None);
    }
}
