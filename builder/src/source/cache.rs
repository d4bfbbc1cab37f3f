//! The folder of what was fetched, one file for each thing that can be wanted.

use std::fmt;
use std::path::{Path, PathBuf};

use init::manifest::Hex;
use sha2::{Digest, Sha256};

use crate::arch::Arch;
use crate::deb::Keep;

/// A folder that only [`super::fetch`] writes to, but for what the squashfs
/// keeps in [`Cache::blocks`] and packages that are [kept](Cache::keep) unpacked.
#[derive(Debug, Clone)]
pub struct Cache {
    dir: PathBuf,
}

/// Something a plan needs from the distribution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// A Debian package, by name; the first that the distribution has, where
    /// releases call it differently.
    Package { names: Vec<String>, arch: Arch },
    /// A Debian package with a kernel in it, or one that depends on such.
    Kernel { package: String, arch: Arch },
    /// A Debian root.
    Root { suite: String, include: Vec<String>, arch: Arch },
}

/// Told apart as dpkg does it: most images are for x86_64.
fn of(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "",
        Arch::Aarch64 => ":arm64",
    }
}

impl Wanted {
    pub fn arch(&self) -> Arch {
        match self {
            Self::Package { arch, .. } | Self::Kernel { arch, .. } | Self::Root { arch, .. } => *arch,
        }
    }
}

impl Cache {
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// `$LIVEROOT_CACHE`, else where the desktop's rules put caches.
    pub fn from_env() -> Self {
        let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let home = || var("HOME").unwrap_or_else(|| "/".into()).join(".cache");
        let dir = var("LIVEROOT_CACHE").unwrap_or_else(|| var("XDG_CACHE_HOME").unwrap_or_else(home).join("liveroot"));
        Self::new(dir)
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where blocks are kept that were packed for a squashfs.
    pub fn blocks(&self) -> PathBuf {
        self.dir.join("blocks")
    }

    /// Where the data tar of a package with that file name is kept unpacked.
    pub fn keep(&self, package: &Path) -> Keep {
        Keep::new(self.dir.join("unpacked").join(package.file_name().unwrap_or_default()))
    }

    /// Where it stands once it was fetched.
    pub fn path(&self, wanted: &Wanted) -> PathBuf {
        match wanted {
            Wanted::Package { names, arch } => self.dir.join("packages").join(format!("{}{}.deb", names[0], of(*arch))),
            Wanted::Kernel { package, arch } => self.dir.join("kernels").join(format!("{package}{}.deb", of(*arch))),
            Wanted::Root { suite, include, arch } => {
                let digest = Sha256::digest(include.join("\0"));
                self.dir.join("roots").join(format!("{suite}-{}{}.tar", Hex(&digest[..6]), of(*arch)))
            }
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Package { names, arch } => write!(f, "Debian package {}{}", names.join(" or "), of(*arch)),
            Self::Kernel { package, arch } => write!(f, "Debian kernel package {package}{}", of(*arch)),
            Self::Root { suite, include, arch } => {
                write!(f, "Debian root {suite}{} with {}", of(*arch), include.join(" "))
            }
        }
    }
}
