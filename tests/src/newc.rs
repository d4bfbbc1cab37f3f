//! newc archives by hand: also such as no writer should make.

/// One entry; its header says what the fields say, right or wrong.
#[derive(Debug, Clone)]
pub struct Entry {
    pub magic: &'static str,
    pub inode: u32,
    pub mode: u32,
    pub owner: (u32, u32),
    pub links: u32,
    pub mtime: u32,
    pub device: (u32, u32),
    /// With what ends it: a NUL, or several, or none.
    pub name: Vec<u8>,
    pub check: u32,
    pub data: Vec<u8>,
}

impl Entry {
    pub fn new(name: impl AsRef<[u8]>, mode: u32) -> Self {
        Self {
            magic: "070701",
            inode: 0,
            mode,
            owner: (0, 0),
            links: 1,
            mtime: 0,
            device: (0, 0),
            name: [name.as_ref(), b"\0"].concat(),
            check: 0,
            data: Vec::new(),
        }
    }

    #[must_use]
    pub fn owned_by(self, uid: u32, gid: u32) -> Self {
        Self { owner: (uid, gid), ..self }
    }

    #[must_use]
    pub fn dated(self, mtime: u32) -> Self {
        Self { mtime, ..self }
    }

    #[must_use]
    pub fn with(self, data: impl AsRef<[u8]>) -> Self {
        Self { data: data.as_ref().to_vec(), ..self }
    }

    #[must_use]
    pub fn linked(self, inode: u32, links: u32) -> Self {
        Self { inode, links, ..self }
    }

    #[must_use]
    pub fn numbered(self, major: u32, minor: u32) -> Self {
        Self { device: (major, minor), ..self }
    }

    /// With the sum of its bytes, and `off` more than that.
    #[must_use]
    pub fn summed(self, off: u32) -> Self {
        let sum = self.data.iter().fold(off, |sum, byte| sum.wrapping_add(u32::from(*byte)));
        Self { magic: "070702", check: sum, ..self }
    }
}

/// An archive of them, with its trailer.
pub fn archive(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let trailer = Entry::new("TRAILER!!!", 0);
    for entry in entries.iter().chain([&trailer]) {
        let Entry { magic, inode, mode, owner, links, mtime, device, name, check, data } = entry;
        let (len, name_len) = (data.len() as u32, name.len() as u32);
        bytes.extend(magic.as_bytes());
        for field in [*inode, *mode, owner.0, owner.1, *links, *mtime, len, 0, 0, device.0, device.1, name_len, *check]
        {
            bytes.extend(format!("{field:08X}").bytes());
        }
        for part in [name, data] {
            bytes.extend(part);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
    }
    bytes
}
