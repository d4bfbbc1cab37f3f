//! Mounts that are undone unless they are kept, so that a state that fails
//! half way leaves nothing behind for its retry.

use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// See [`crate::reading`].
const RETRIES: u32 = 3;

#[derive(Debug)]
pub(crate) struct Mounted {
    target: Option<PathBuf>,
}

impl Mounted {
    /// The error names both ends and what the kernel's word may mean.
    pub(crate) fn new(
        source: &str,
        target: impl AsRef<Path>,
        fs: &str,
        flags: MsFlags,
        data: &str,
    ) -> Result<Self, String> {
        let target = target.as_ref();
        let options = (!data.is_empty()).then_some(data);
        let once = || mount(Some(source), target, Some(fs), flags, options);
        let mut mounted = once();
        for _ in 0..RETRIES {
            if mounted == Err(Errno::EIO) {
                mounted = once();
            }
        }
        match mounted {
            Ok(()) => Ok(Self { target: Some(target.into()) }),
            Err(e) => {
                let hint = match e {
                    Errno::ENODEV => ": the kernel does not know this file system, and the image has no kmod for it",
                    Errno::EINVAL => ": its superblock is damaged, or an option is wrong",
                    _ => "",
                };
                Err(format!("{source} ({fs}) on {}: {}{hint}", target.display(), e.desc()))
            }
        }
    }

    /// From now on nobody undoes it.
    pub(crate) fn keep(mut self) -> PathBuf {
        self.target.take().unwrap_or_default()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Some(target) = &self.target {
            // Detached, since what holds it may hang with a dead disk.
            let _ = umount2(target.as_path(), MntFlags::MNT_DETACH);
        }
    }
}
