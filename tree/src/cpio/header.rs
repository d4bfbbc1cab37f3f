//! The newc header: six bytes of magic, thirteen fields of eight hexadecimal
//! digits (buffer-format.rst, "cpio archive").

pub(super) const HEADER_LEN: usize = 110;

/// The types in `mode`, as in `st_mode`.
pub(super) const SOCKET: u32 = 0o140_000;
pub(super) const SYMLINK: u32 = 0o120_000;
pub(super) const FILE: u32 = 0o100_000;
pub(super) const BLOCK: u32 = 0o060_000;
pub(super) const DIR: u32 = 0o040_000;
pub(super) const CHAR: u32 = 0o020_000;
pub(super) const FIFO: u32 = 0o010_000;
const TYPE: u32 = 0o170_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// 070701
    Plain,
    /// 070702: `check` is the sum of the body's bytes.
    Checked,
}

pub(super) struct Header {
    pub(super) format: Format,
    pub(super) ino: u32,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) links: u32,
    pub(super) mtime: u32,
    pub(super) body_len: u32,
    pub(super) dev_major: u32,
    pub(super) dev_minor: u32,
    pub(super) rdev_major: u32,
    pub(super) rdev_minor: u32,
    /// With the NUL at its end.
    pub(super) name_len: u32,
    pub(super) check: u32,
}

impl Header {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        let (magic, fields) = bytes.split_at_checked(6).ok_or("a header is cut off")?;
        let format = match magic {
            b"070701" => Format::Plain,
            b"070702" => Format::Checked,
            b"070707" => return Err("this is an old cpio archive; make it with --format=newc"),
            _ => return Err("no newc header stands there; the archive is damaged"),
        };
        let mut values = [0; 13];
        let mut texts = fields.chunks_exact(8);
        for value in &mut values {
            *value = texts.next().and_then(hex).ok_or("a header field is not hexadecimal")?;
        }
        let [
            ino,
            mode,
            uid,
            gid,
            links,
            mtime,
            body_len,
            dev_major,
            dev_minor,
            rdev_major,
            rdev_minor,
            name_len,
            check,
        ] = values;
        Ok(Self {
            format,
            ino,
            mode,
            uid,
            gid,
            links,
            mtime,
            body_len,
            dev_major,
            dev_minor,
            rdev_major,
            rdev_minor,
            name_len,
            check,
        })
    }

    pub(super) fn kind(&self) -> u32 {
        self.mode & TYPE
    }
}

fn hex(text: &[u8]) -> Option<u32> {
    // `from_str_radix` alone would take a sign.
    text.iter().all(u8::is_ascii_hexdigit).then(|| u32::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok())?
}

/// Names and bodies end at multiples of four bytes.
pub(super) fn padded(at: u64) -> u64 {
    at.next_multiple_of(4)
}
