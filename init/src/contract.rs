//! What an image and its `/init` agree on: the names of the command-line
//! parameters, the medium's layout and the initramfs's layout.
//!
//! These names exist here and nowhere else; `cargo xtask tidy` looks for them
//! in every other file. The builder imports this module, so that a change of
//! the contract cannot reach one side alone.

use std::fmt;
use std::str::FromStr;

pub mod params;

/// Where things stand on the medium, relative to its root.
pub mod medium {
    /// Manifest, marker and images. The native parameter for another place is
    /// [`super::params::DIR`].
    pub const DIR: &str = "live";
    /// In [`DIR`]: see [`crate::manifest`].
    pub const MANIFEST: &str = "manifest";
    /// The lowest layer of overlay mode. In [`DIR`] each layer is its name with
    /// one of the two endings behind it.
    pub const ROOT_LAYER: &str = "root";
    /// Its squashfs.
    pub const LAYER_IMAGE: &str = ".squashfs";
    /// Its hash tree, in a verified image; see [`crate::verity`].
    pub const LAYER_HASHES: &str = ".verity";
    /// In [`DIR`]: the packages of ram mode.
    pub const PACKAGES: &str = "packages";
    /// What a package's name ends in, the builder's own first: archives, and
    /// squashfs images. /init goes by what is in the file.
    pub const PACKAGE_ENDINGS: [&str; 7] = [".tar.xz", ".tar.zst", ".tar.gz", ".tar", ".tcz", ".sfs", ".squashfs"];
    /// In [`DIR`]: where every file came from, for the builder's `explain`.
    pub const PROVENANCE: &str = "provenance.zst";
    pub const KERNEL: &str = "boot/vmlinuz";
    pub const INITRAMFS: &str = "boot/initramfs.img";
    /// The volume set identifier of our ISO 9660 media is this and the boot-id
    /// in capitals (d-characters): the probe that reads the label reads the
    /// boot-id with it, and no candidate needs mounting to be told apart.
    pub const VOLUME_SET_PREFIX: &str = "LIVEROOT_";
    /// In [`DIR`] of the partition that saves are on: the last one, see [`crate::save`].
    pub const SAVE: &str = "save.tar.gz";
    /// The one before it.
    pub const SAVE_BEFORE: &str = "save.tar.gz.1";
    /// One that was found damaged when the next was made.
    pub const SAVE_BAD: &str = "save.tar.gz.bad";
    /// What is saved, in the place of the system's own [`super::system::SAVE_LIST`].
    pub const SAVE_LIST: &str = "save.list";
    /// The name in the stick's GPT of the partition for what is to be kept.
    pub const PERSIST_PARTLABEL: &str = "live-persist";
    /// The file with a file system in it, on a partition whose own cannot keep
    /// what a system changes.
    pub const PERSIST_FILE: &str = "live-persist.img";
}

/// Where things stand in the initramfs, as absolute paths.
pub mod initramfs {
    use crate::superblock::Fs;

    pub const INIT: &str = "/init";
    /// See [`crate::facts`].
    pub const FACTS: &str = "/etc/live/image";
    /// Last in the archive: see [`crate::contents`].
    pub const CONTENTS: &str = "/etc/live/contents";
    /// See [`crate::kmods`]; its paths are relative to [`MODULES`] and the release.
    pub const KMODS: &str = "/etc/live/kmods";
    pub const MODULES: &str = "/lib/modules";
    /// modprobe.d(5): blacklists and options.
    pub const MODPROBE: &str = "/etc/modprobe.d";
    /// Programs to run at the end of a state, in a directory of its name.
    pub const HOOKS: &str = "/lib/live/hooks";
    /// What hooks are given, and where [`checker`]s are looked for.
    pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    /// Names or aliases of what every overlay is mounted with.
    pub const ROOT_KMODS: &[&str] = &["fs-iso9660", "loop", "fs-squashfs", "fs-overlay"];
    /// The rescue shell, if the image has one.
    pub const SHELL: &str = "/bin/sh";
    /// What the prompt asks for before it: see [`crate::password`].
    pub const SHELL_PASSWORD: &str = "/etc/live/shell-password";

    /// fsck(8)'s program for a file system. XFS and Btrfs have none that does anything.
    pub fn checker(fs: Fs) -> Option<&'static str> {
        Some(match fs {
            Fs::Ext2 => "fsck.ext2",
            Fs::Ext3 => "fsck.ext3",
            Fs::Ext4 => "fsck.ext4",
            Fs::Vfat => "fsck.vfat",
            Fs::Exfat => "fsck.exfat",
            Fs::F2fs => "fsck.f2fs",
            _ => return None,
        })
    }
}

/// Where things stand in a system that /init boots, relative to its root.
pub mod system {
    /// What is saved of it: see [`crate::save`].
    pub const SAVE_LIST: &str = "etc/live/save.list";
    /// Saves when it is called: /init by another name.
    pub const SAVE_PROGRAM: &str = "usr/sbin/live-save";
}

/// What `/init` leaves in the running system, as absolute paths.
pub mod run {
    pub const DIR: &str = "/run/live";
    pub const MEDIUM: &str = "/run/live/medium";
    /// The partition that the medium is an ISO file on.
    pub const HOLDER: &str = "/run/live/holder";
    /// The tmpfs that the medium's parts are copied to, where that is asked for.
    pub const COPY: &str = "/run/live/copy";
    /// Each layer of overlay mode is mounted below here by its number.
    pub const LAYERS: &str = "/run/live/layers";
    /// The second medium that packages are taken from.
    pub const SET: &str = "/run/live/set";
    /// Where a package that is an image is mounted while it is copied.
    pub const PACKAGE: &str = "/run/live/package";
    /// The upper's own tmpfs.
    pub const UPPER: &str = "/run/live/upper";
    /// What changes are kept on.
    pub const KEPT: &str = "/run/live/persist";
    /// The partition that [`KEPT`] is a file on.
    pub const KEPT_HOLDER: &str = "/run/live/persist-holder";
    /// A root in memory for a system's last moments, where systemd looks for one.
    pub const EXIT: &str = "/run/initramfs";
    /// /init itself, in there: see [`crate::shutdown`].
    pub const SHUTDOWN: &str = "/run/initramfs/shutdown";
    /// Where saves go, for the program that makes them.
    pub const SAVE: &str = "/run/live/save";
    /// The partition that saves are on, while one is read or made.
    pub const SAVED: &str = "/run/live/saved";
    /// The program, where the root has no /init.
    pub const SAVE_PROGRAM: &str = "/run/live/live-save";
    /// JSON: how each state ended and how long it took.
    pub const STATUS: &str = "/run/live/status";
    pub const LOG: &str = "/run/live/init.log";
}

/// How the root comes to be: boot.md's two modes of a medium.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Packages extracted over the initramfs's own root; no switch_root.
    Ram,
    /// The rootfs image under an overlayfs, then switch_root.
    Overlay,
}

impl Mode {
    pub fn name(self) -> &'static str {
        match self {
            Self::Ram => "ram",
            Self::Overlay => "overlay",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Mode {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "ram" => Ok(Self::Ram),
            "overlay" => Ok(Self::Overlay),
            _ => Err(()),
        }
    }
}

/// Which build a medium belongs to: 128 bits of digest over its inputs, made
/// by the builder, baked into the initramfs and put on the medium, so that a
/// kernel never boots another build's root because the labels are alike.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct BootId([u8; 16]);

impl BootId {
    pub const fn new(digest: [u8; 16]) -> Self {
        Self(digest)
    }

    /// The [`medium::VOLUME_SET_PREFIX`] form.
    pub fn volume_set(self) -> String {
        format!("{}{}", medium::VOLUME_SET_PREFIX, self.to_string().to_ascii_uppercase())
    }

    pub fn from_volume_set(id: &str) -> Option<Self> {
        id.trim_end().strip_prefix(medium::VOLUME_SET_PREFIX)?.to_ascii_lowercase().parse().ok()
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for BootId {
    type Err = ();

    /// 32 lower-case hexadecimal digits, nothing else: it is a file name too.
    fn from_str(text: &str) -> Result<Self, ()> {
        let mut digest = [0; 16];
        hex(text, &mut digest).map(|()| Self(digest)).ok_or(())
    }
}

/// Reads exactly as many lower-case hexadecimal digits as `out` holds.
pub(crate) fn hex(text: &str, out: &mut [u8]) -> Option<()> {
    let digit = |d: u8| match d {
        b'0'..=b'9' => Some(d - b'0'),
        b'a'..=b'f' => Some(d - b'a' + 10),
        _ => None,
    };
    if text.len() != out.len() * 2 {
        return None;
    }
    for (pair, byte) in text.as_bytes().chunks_exact(2).zip(out) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(())
}

/// The first line of each text format of ours: `NAME MAJOR.MINOR`. A reader
/// takes any minor version of its major one, and refuses other majors.
pub(crate) fn check_header<'a>(line: Option<&'a str>, name: &str, major: u32) -> Result<&'a str, FormatError> {
    let line = line.unwrap_or_default();
    let rest = line.strip_prefix(name).and_then(|rest| rest.strip_prefix(' '));
    let Some(rest) = rest else {
        return Err(FormatError { line: 1, problem: format!("it should begin with `{name} {major}.`") });
    };
    let (version, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    match version.split_once('.').map(|(major, minor)| (major.parse::<u32>(), minor.parse::<u32>())) {
        Some((Ok(found), Ok(_))) if found == major => Ok(rest),
        _ => {
            let problem =
                format!("format version {version} is not {major}.x: this /init and this medium are of different ages");
            Err(FormatError { line: 1, problem })
        }
    }
}

/// A text of ours that does not read as what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatError {
    /// Counted from 1.
    pub line: usize,
    pub problem: String,
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.problem)
    }
}

impl std::error::Error for FormatError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_id_comes_back_from_both_its_forms() {
        let id = BootId::new(*b"0123456789abcdef");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(BootId::from_volume_set(&format!("{:128}", id.volume_set())), Some(id));
        for bad in ["", "30", "3031323334353637383961626364656G", "30313233343536373839616263646566 "] {
            assert!(bad.parse::<BootId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn another_major_version_is_refused_in_words() {
        assert_eq!(check_header(Some("liveroot-x 1.7 rest here"), "liveroot-x", 1), Ok("rest here"));
        let error = check_header(Some("liveroot-x 2.0"), "liveroot-x", 1).unwrap_err();
        assert!(error.problem.contains("2.0"), "{error}");
        assert!(check_header(None, "liveroot-x", 1).is_err());
    }
}
