//! One way of naming the medium.

use std::fmt;

use crate::contract::BootId;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Spec {
    Id(BootId),
    /// Bytes: a label's encoding is its file system's affair.
    Label(Vec<u8>),
    Uuid(String),
    PartUuid(String),
    PartLabel(Vec<u8>),
    /// Whatever can be taken out and has a manifest.
    Removable,
    /// Below /dev.
    Device(String),
    /// Whatever holds this file, relative to its root.
    File(String),
}

impl Spec {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        // live-boot has a second one, for USB alone.
        if matches!(text, "removable" | "removable-usb") {
            return Some(Self::Removable);
        }
        let (key, value) = match text.strip_prefix("/dev/") {
            Some(name) => match name.strip_prefix("disk/by-") {
                Some(link) => link.split_once('/')?,
                None => ("device", name),
            },
            None => text.split_once('=')?,
        };
        if value.is_empty() {
            return None;
        }
        Some(match key {
            "device" => Self::Device(value.into()),
            "ID" => Self::Id(value.parse().ok()?),
            "LABEL" | "label" => Self::Label(unescape(value)),
            "UUID" | "uuid" => Self::Uuid(value.into()),
            "PARTUUID" | "partuuid" => Self::PartUuid(value.into()),
            "PARTLABEL" | "partlabel" => Self::PartLabel(unescape(value)),
            "FILE" => Self::File(inside(value).filter(|path| !path.is_empty())?),
            _ => return None,
        })
    }
}

/// Relative to a medium's root, and not above it.
pub(crate) fn inside(path: &str) -> Option<String> {
    let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty() && *name != ".").collect();
    (!names.contains(&"..")).then(|| names.join("/"))
}

/// `\x20` is a blank, as udev and dracut write it.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = rest.strip_prefix(br"\x").and_then(|digits| {
            let digits = std::str::from_utf8(digits.get(..2)?).ok()?;
            u8::from_str_radix(digits, 16).ok()
        });
        bytes.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() { &rest[4..] } else { after };
    }
    bytes
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "ID={id}"),
            Self::Label(label) => write!(f, "LABEL={}", label.escape_ascii()),
            Self::Uuid(uuid) => write!(f, "UUID={uuid}"),
            Self::PartUuid(uuid) => write!(f, "PARTUUID={uuid}"),
            Self::PartLabel(label) => write!(f, "PARTLABEL={}", label.escape_ascii()),
            Self::Removable => f.write_str("removable"),
            Self::Device(name) => write!(f, "/dev/{name}"),
            Self::File(path) => write!(f, "FILE=/{path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_and_printed() {
        let label = |label: &str| Some(Spec::Label(label.into()));
        for (text, spec) in [
            ("LABEL=AURORA", label("AURORA")),
            (r"LABEL=My\x20Disk\x", label("My Disk\\x")),
            ("/dev/disk/by-label/AURORA", label("AURORA")),
            ("/dev/disk/by-uuid/ab-CD", Some(Spec::Uuid("ab-CD".into()))),
            ("UUID=2026", Some(Spec::Uuid("2026".into()))),
            ("/dev/sr0", Some(Spec::Device("sr0".into()))),
            ("/dev/cciss/c0d0", Some(Spec::Device("cciss/c0d0".into()))),
            ("FILE=/arch//boot/x", Some(Spec::File("arch/boot/x".into()))),
            ("FILE=/../x", None),
            ("FILE=/", None),
            ("ID=01", None),
            ("LABEL=", None),
            ("/dev/", None),
            ("/dev/disk/by-path/x", None),
            ("PARTUUID=1234abcd-01", Some(Spec::PartUuid("1234abcd-01".into()))),
            (r"PARTLABEL=my\x20part", Some(Spec::PartLabel(b"my part".into()))),
            ("/dev/disk/by-partlabel/a", Some(Spec::PartLabel(b"a".into()))),
            ("removable", Some(Spec::Removable)),
            ("PARTUUID=", None),
            ("", None),
        ] {
            assert_eq!(Spec::parse(text), spec, "{text}");
        }
        assert_eq!(Spec::parse("/dev/sr0").unwrap().to_string(), "/dev/sr0");
    }
}
