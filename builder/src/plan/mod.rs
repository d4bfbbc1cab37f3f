//! The plan: a profile resolved. Every setting has its value, every source is
//! named, and everything that can be known to be wrong before work starts has
//! been said.

mod boot;
mod firmware;
mod print;
mod resolve;
mod root;

use std::fmt;
use std::path::PathBuf;

use init::contract::{Mode, params};
use init::manifest::Hex;
use init::password::PasswordHash;
use iso::VolumeId;

use crate::arch::Arch;
use crate::compress::Codec;
use crate::kernel::KmodForm;
use crate::profile::{Located, Place};
use crate::squashfs::{BlockSize, Compression};
use crate::verity::RootHash;

pub use boot::{BootEntry, BootPlan, ProgramFile};
pub use resolve::parse_size;

/// Seconds since 1970 that stand for "no date": 1980-01-01, where FAT begins,
/// so that every format of an image can hold it.
pub const DEFAULT_EPOCH: i64 = 315_532_800;

/// What does not come from the profile.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Goes to the end of every boot entry's command line.
    pub append: String,
    /// SOURCE_DATE_EPOCH, where it is set.
    pub epoch: Option<i64>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub name: String,
    pub label: VolumeId,
    pub mode: Mode,
    pub arch: Arch,
    /// The date of everything that has none of its own.
    pub epoch: i64,
    /// SOURCE_DATE_EPOCH was set: no date is later than it.
    pub clamp: bool,
    pub kernel: Located<KernelSource>,
    pub modules: Vec<Located<String>>,
    /// Beside what the kernel's source has; the first that has a file gives it.
    pub firmware: Vec<Located<FirmwareSource>>,
    pub initramfs: InitramfsPlan,
    pub payload: Payload,
    pub boot: BootPlan,
    /// isomd5sum's checksum in the image, for `checkisomd5`.
    pub media_sum: bool,
    /// What is allowed and yet worth saying.
    pub advice: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KernelSource {
    /// A tree with `boot/vmlinuz-*` and `lib/modules/*`.
    Dir(PathBuf),
    /// The running system's.
    Host,
    /// The one in the root.
    Root,
    DebFile(PathBuf),
    /// By name, from the distribution, through the cache.
    Deb(String),
}

#[derive(Debug, Clone, PartialEq)]
pub struct InitramfsPlan {
    pub compress: Codec,
    pub kmods: KmodForm,
    pub strip: bool,
    /// Of the finished archive, in bytes.
    pub max_size: Option<u64>,
    /// What the rescue prompt asks for before a shell and `continue`.
    pub shell_password: Option<Located<PasswordHash>>,
    /// What processors' microcode is put together from.
    pub microcode: Vec<Located<FirmwareSource>>,
    pub parts: Parts,
}

/// A tree with lib/firmware in it, or a folder that is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FirmwareSource {
    Root,
    Host,
    Dir(PathBuf),
    DebFile(PathBuf),
}

/// What a tree of ours is put together from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parts {
    pub userland: Option<Located<Userland>>,
    /// Paths in the root, or `host:` paths.
    pub programs: Vec<Located<ProgramSource>>,
    /// Later ones lie over earlier ones.
    pub overlays: Vec<Located<OverlaySource>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Userland {
    BuiltinToybox,
    /// A static toybox, with its `--long` list of applets beside it.
    Toybox(PathBuf),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProgramSource {
    Root(String),
    Host(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OverlaySource {
    Builtin(String),
    Dir(PathBuf),
}

/// What the medium carries besides the kernel.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant)] // a build has one
pub enum Payload {
    Root(RootPlan),
    Packages(Vec<PackagePlan>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct RootPlan {
    pub from: Located<RootSource>,
    pub exclude: Vec<Located<String>>,
    /// Also what no live system needs.
    pub exclude_usual: bool,
    pub compress: Compression,
    /// Its blocks and those of the layers.
    pub block: BlockSize,
    /// Ends of long files go into fragments, here and in the layers.
    pub tail_packing: bool,
    /// A list of what a boot reads, which is stored first.
    pub order: Option<Located<PathBuf>>,
    pub overlays: Vec<Located<OverlaySource>>,
    /// Over it, the lowest first.
    pub layers: Vec<LayerPlan>,
    /// /init reads all of them through dm-verity, and boot entries name their root hashes.
    pub verity: bool,
}

/// A squashfs that lies over the root.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerPlan {
    /// Its file's name on the medium, without the ending.
    pub name: Located<String>,
    /// `None` is what is below it.
    pub from: Option<Located<RootSource>>,
    pub exclude: Vec<Located<String>>,
    pub compress: Compression,
    pub overlays: Vec<Located<OverlaySource>>,
    /// Used only where the command line names it.
    pub extra: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootSource {
    Dir(PathBuf),
    Tar(PathBuf),
    Mmdebstrap { suite: String, include: Vec<String> },
}

#[derive(Debug, Clone, PartialEq)]
pub struct PackagePlan {
    pub place: Place,
    pub name: String,
    /// Of [`medium::PACKAGE_ENDINGS`].
    pub ending: &'static str,
    pub source: PackageSource,
    pub required: bool,
    pub privileged: bool,
    pub extra: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum PackageSource {
    /// Taken as it is.
    Archive(PathBuf),
    Parts(Parts),
}

impl Plan {
    /// The same without a boot loader on the medium.
    #[must_use]
    pub fn without_loader(&self) -> Self {
        Self { boot: self.boot.without_loader(), ..self.clone() }
    }
}

impl Plan {
    /// The same, its boot entries taking no other root than this one, with the
    /// hashes of all layers. In front: what follows a `--` is for the
    /// distribution's init.
    #[must_use]
    pub fn with_root_hashes(&self, root_hashes: &[RootHash]) -> Self {
        let mut plan = self.clone();
        let hashes: Vec<String> = root_hashes.iter().map(|hash| Hex(hash).to_string()).collect();
        for entry in &mut plan.boot.entries {
            entry.cmdline = format!("{}={} {}", params::VERITY, hashes.join(","), entry.cmdline).trim_end().into();
        }
        plan
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print::plan(self, f)
    }
}
