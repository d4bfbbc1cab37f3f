//! Writes tar archives that no tar would write.

use std::io::Write;

use tar::{EntryType, Header};

#[derive(Clone)]
pub(crate) struct Entry<'a> {
    pub(crate) kind: u8,
    pub(crate) name: &'a [u8],
    pub(crate) link: &'a [u8],
    pub(crate) mode: u32,
    pub(crate) data: &'a [u8],
    /// What the header says, where that is not the length of the data.
    pub(crate) size: Option<u64>,
}

pub(crate) fn entry(kind: u8, name: &str) -> Entry<'_> {
    let mode = if kind == b'5' { 0o755 } else { 0o644 };
    Entry { kind, name: name.as_bytes(), link: b"", mode, data: b"", size: None }
}

pub(crate) fn file<'a>(name: &'a str, data: &'a str) -> Entry<'a> {
    Entry { data: data.as_bytes(), ..entry(b'0', name) }
}

pub(crate) fn dir(name: &str) -> Entry<'_> {
    entry(b'5', name)
}

pub(crate) fn symlink<'a>(name: &'a str, target: &'a str) -> Entry<'a> {
    Entry { link: target.as_bytes(), ..entry(b'2', name) }
}

pub(crate) fn hard_link<'a>(name: &'a str, target: &'a str) -> Entry<'a> {
    Entry { link: target.as_bytes(), ..entry(b'1', name) }
}

/// Extended header with the given records; the entry that follows is its own.
pub(crate) fn pax(records: &[u8]) -> Entry<'_> {
    Entry { data: records, ..entry(b'x', "pax") }
}

/// `LENGTH KEY=VALUE\n`.
pub(crate) fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let len = (rest + 1..rest + 9).find(|len| len.to_string().len() + rest == *len).unwrap();
    [format!("{len} {key}=").as_bytes(), value, b"\n"].concat()
}

impl Entry<'_> {
    pub(crate) fn mode(self, mode: u32) -> Self {
        Self { mode, ..self }
    }

    pub(crate) fn size(self, size: u64) -> Self {
        Self { size: Some(size), ..self }
    }

    pub(crate) fn header(&self) -> Header {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::new(self.kind));
        let field = &mut header.as_old_mut().name;
        field[..self.name.len()].copy_from_slice(self.name);
        header.as_old_mut().linkname[..self.link.len()].copy_from_slice(self.link);
        header.set_mode(self.mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_700_000_000);
        header.set_size(self.size.unwrap_or(self.data.len() as u64));
        header.set_device_major(1).unwrap();
        header.set_device_minor(3).unwrap();
        header.set_cksum();
        header
    }
}

/// Without the two blocks of zeros that end an archive.
pub(crate) fn members(entries: &[Entry]) -> Vec<u8> {
    let mut tar = Vec::new();
    for entry in entries {
        tar.extend_from_slice(entry.header().as_bytes());
        tar.extend_from_slice(entry.data);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar
}

pub(crate) fn archive(entries: &[Entry]) -> Vec<u8> {
    let mut tar = members(entries);
    tar.resize(tar.len() + 1024, 0);
    tar
}

pub(crate) fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut out = xz2::write::XzEncoder::new(Vec::new(), 1);
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}
