//! Room on a disk: what is needed beside what is free, before the first byte
//! where that can be known, and in words where it cannot.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;

use crate::progress::bytes;
use crate::squashfs::SquashfsError;

#[derive(Debug, thiserror::Error)]
pub enum SpaceError {
    #[error("{}: {} are needed for {what}, and {} are free; what stands there is as it was", dir.display(), bytes(*need), bytes(*free))]
    TooLittle { dir: PathBuf, what: &'static str, need: u64, free: u64 },
    #[error("{}: the disk is full ({} are free now); what stands there is as it was", dir.display(), bytes(*free))]
    Full { dir: PathBuf, free: u64, source: SquashfsError },
    #[error("{}: cannot be asked how much is free", dir.display())]
    Unknown { dir: PathBuf, source: io::Error },
}

/// Bytes that a file in `dir` can take, without those kept for root.
pub fn free(dir: &Path) -> Result<u64, SpaceError> {
    let told = statvfs(dir).map_err(|errno| SpaceError::Unknown { dir: dir.into(), source: errno.into() })?;
    Ok(told.blocks_available().saturating_mul(told.fragment_size()))
}

pub fn check(dir: &Path, need: u64, what: &'static str) -> Result<(), SpaceError> {
    let free = free(dir)?;
    if need > free {
        return Err(SpaceError::TooLittle { dir: dir.into(), what, need, free });
    }
    Ok(())
}

/// How large a squashfs gets is only known at its end: says so beforehand where
/// it might not fit.
pub fn warning(dir: &Path, most: u64) -> Option<String> {
    // Who cannot be asked will say it when the disk is full.
    let free = free(dir).ok().filter(|free| *free < most)?;
    let (free, most) = (bytes(free), bytes(most));
    Some(format!("{}: {free} are free; what does not get smaller needs up to {most}", dir.display()))
}

/// The error with what it means, where the disk is full.
pub fn told(error: SquashfsError, dir: &Path) -> anyhow::Error {
    let full = |error: &io::Error| matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
    match error {
        SquashfsError::Write(ref source) if full(source) => {
            let free = free(dir).unwrap_or_default();
            SpaceError::Full { dir: dir.into(), free, source: error }.into()
        }
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_is_free_is_refused_with_both_numbers() {
        let dir = tempfile::tempdir().unwrap();
        assert!(check(dir.path(), 1, "the test").is_ok() && warning(dir.path(), 1).is_none());
        let refused = check(dir.path(), 1 << 60, "the test").unwrap_err().to_string();
        assert!(refused.contains(&format!("{} are needed for the test, and ", bytes(1 << 60))), "{refused}");
        assert!(warning(dir.path(), 1 << 60).unwrap().ends_with(&bytes(1 << 60)));
    }

    #[test]
    fn a_full_disk_is_told_from_other_faults() {
        let dir = tempfile::tempdir().unwrap();
        for (kind, is_full) in
            [(ErrorKind::StorageFull, true), (ErrorKind::QuotaExceeded, true), (ErrorKind::PermissionDenied, false)]
        {
            let error = told(SquashfsError::Write(kind.into()), dir.path());
            assert_eq!(error.to_string().contains("the disk is full ("), is_full, "{kind}: {error}");
        }
    }
}
