//! Whether the medium's parts are what its manifest says.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::cmdline::Check;
use crate::contract::Mode;
use crate::fault::{Code, Fault};
use crate::log::info;
use crate::manifest::{Hex, Manifest, Part, Verity};
use crate::medium::Medium;
use crate::status::Status;

const PROGRESS: Duration = Duration::from_secs(5);

/// Those of `medium`'s parts that can be used: an optional one that is bad is
/// left out, and a required one stops the boot.
pub(crate) fn usable_parts(medium: &Medium, policy: Check, status: &mut Status) -> Result<Vec<Part>, Fault> {
    let Manifest { parts, mode, .. } = &medium.manifest;
    let mut usable = Vec::new();
    for part in parts {
        let checked = match policy {
            Check::Off => Ok(()),
            Check::Fast => sizes(medium, part),
            // A package is read whole and verified before it is unpacked.
            Check::Full if *mode == Mode::Ram => sizes(medium, part),
            Check::Full => sizes(medium, part).and_then(|()| digest(&medium.part(&part.path), part)),
        };
        match checked {
            Ok(()) => usable.push(part.clone()),
            Err(fault) if part.required => return Err(fault),
            Err(fault) => status.degrade(format!("{fault}; going on without it")),
        }
    }
    Ok(usable)
}

fn sizes(medium: &Medium, part: &Part) -> Result<(), Fault> {
    size(&medium.part(&part.path), &part.path, part.size)?;
    part.verity
        .as_ref()
        .map_or(Ok(()), |Verity { hashes, hashes_size, .. }| size(&medium.part(hashes), hashes, *hashes_size))
}

/// The size on the medium, and that its end can be read: a directory still
/// has the whole size of what a short device has half of.
fn size(path: &Path, name: &str, wanted: u64) -> Result<(), Fault> {
    let truncated = |why: String| {
        let what = format!("{name}: {why}, and should have {wanted} bytes");
        Fault::new(Code::Truncated, what).advise("the medium is cut short or damaged: write it again")
    };
    let file = File::open(path).map_err(|e| truncated(e.to_string()))?;
    let found = file.metadata().map_err(|e| truncated(e.to_string()))?.len();
    if found != wanted {
        return Err(truncated(format!("it has {found} bytes")));
    }
    if let Some(end) = wanted.checked_sub(1) {
        file.read_exact_at(&mut [0], end).map_err(|e| truncated(format!("its end cannot be read ({e})")))?;
    }
    Ok(())
}

/// Every byte, against the manifest's SHA-256.
pub(crate) fn digest(path: &Path, part: &Part) -> Result<(), Fault> {
    size(path, &part.path, part.size)?;
    let failed = |why: String| {
        Fault::new(Code::Digest, format!("{}: {why}", part.path)).advise("the medium is damaged: write it again")
    };
    let file = File::open(path).map_err(|e| failed(e.to_string()))?;
    let found = sha256(file, part).map_err(|e| failed(format!("it cannot be read: {e}")))?;
    if found != part.sha256 {
        return Err(failed(format!("its SHA-256 is {}, and should be {}", Hex(&found), Hex(&part.sha256))));
    }
    Ok(())
}

fn sha256(mut input: impl Read, part: &Part) -> io::Result<[u8; 32]> {
    let (mut hasher, mut done, mut told) = (Sha256::new(), 0, Instant::now());
    let mut buffer = vec![0; 128 << 10];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finalize().into()),
            Ok(len) => {
                hasher.update(&buffer[..len]);
                done += len as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
        if told.elapsed() >= PROGRESS {
            told = Instant::now();
            info!("checking {}: {} of {} MiB", part.path, done >> 20, part.size >> 20);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(content: &[u8]) -> Part {
        Part {
            path: "root.squashfs".into(),
            size: content.len() as u64,
            unpacked: 0,
            sha256: Sha256::digest(content).into(),
            required: true,
            privileged: false,
            verity: None,
        }
    }

    #[test]
    fn a_part_that_is_short_or_changed_is_told_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("part");
        let part = part(b"content");
        for (content, in_size, in_digest) in [
            (&b"content"[..], None, None),
            (b"conten", Some(Code::Truncated), Some(Code::Truncated)),
            (b"", Some(Code::Truncated), Some(Code::Truncated)),
            (b"c0ntent", None, Some(Code::Digest)),
        ] {
            std::fs::write(&path, content).unwrap();
            let sized = |part: &Part| size(&path, &part.path, part.size);
            assert_eq!(sized(&part).err().map(|fault| fault.code), in_size, "{content:?}");
            let fault = digest(&path, &part).err();
            assert_eq!(fault.as_ref().map(|fault| fault.code), in_digest, "{content:?}");
            assert!(fault.is_none_or(|fault| fault.what.starts_with("root.squashfs:")));
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(size(&path, &part.path, part.size).unwrap_err().code, Code::Truncated);
    }
}
