//! Whether the medium's parts are what its manifest says.

mod keys;

use std::io::{self, Read};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::cmdline::Check;
use crate::contract::Mode;
use crate::fault::{Code, Fault};
use crate::log::info;
use crate::manifest::{Hex, Manifest, Part, Verity};
use crate::medium::Medium;
use crate::reading::Reading;
use crate::rescue;
use crate::status::Status;
use keys::Keys;

const PROGRESS: Duration = Duration::from_secs(5);

/// Those of `parts` of the medium that can be used: an optional one that is bad is
/// left out, and a required one stops the boot.
pub(crate) fn usable_parts(
    medium: &Medium,
    parts: &[Part],
    policy: Check,
    status: &mut Status,
) -> Result<Vec<Part>, Fault> {
    let Manifest { mode, .. } = &medium.manifest;
    // A package is read whole and verified before it is unpacked.
    let is_whole = matches!(policy, Check::Warn | Check::Full) && *mode == Mode::Overlay;
    // Where going on in spite of a check takes a password, so does going on without it.
    let mut keys = (is_whole && rescue::is_open()).then(Keys::listen);
    let mut usable = Vec::new();
    for part in parts {
        let mut stops = || keys.as_mut().is_some_and(Keys::enter);
        let checked = match policy {
            Check::Off => Ok(()),
            _ if is_whole => sizes(medium, part).and_then(|()| digest(medium.open(&part.path), part, &mut stops)),
            _ => sizes(medium, part),
        };
        match checked {
            Ok(()) => usable.push(part.clone()),
            Err(fault) if !part.required => status.degrade(format!("{fault}; going on without it")),
            Err(fault) if policy == Check::Warn && is_whole => {
                status.degrade(format!("{fault}; going on with it"));
                usable.push(part.clone());
            }
            Err(fault) => return Err(medium.told(fault)),
        }
    }
    if keys.is_some_and(|keys| keys.entered) {
        status.degrade("somebody skipped the check of the medium".into());
    }
    Ok(usable)
}

fn sizes(medium: &Medium, part: &Part) -> Result<(), Fault> {
    size(medium.open(&part.path), &part.path, part.size)?;
    if let Some(Verity { hashes, hashes_size, .. }) = &part.verity {
        size(medium.open(hashes), hashes, *hashes_size)?;
    }
    Ok(())
}

/// The size on the medium, and that its end can be read: a directory still
/// has the whole size of what a short device has half of.
fn size(opened: io::Result<Reading>, name: &str, wanted: u64) -> Result<Reading, Fault> {
    let truncated = |why: String| {
        let what = format!("{name}: {why}, and should have {wanted} bytes");
        Fault::new(Code::Truncated, what).advise("the medium is cut short or damaged: write it again")
    };
    let mut file = opened.map_err(|e| truncated(e.to_string()))?;
    let found = file.len().map_err(|e| truncated(e.to_string()))?;
    if found != wanted {
        return Err(truncated(format!("it has {found} bytes")));
    }
    if let Some(end) = wanted.checked_sub(1) {
        file.go_to(end);
        let read = file.read_exact(&mut [0]);
        read.map_err(|e| file.fault().unwrap_or_else(|| truncated(format!("its end cannot be read ({e})"))))?;
        file.go_to(0);
    }
    Ok(file)
}

/// Every byte, against the manifest's SHA-256; unless somebody wants it to stop.
pub(crate) fn digest(opened: io::Result<Reading>, part: &Part, stops: &mut dyn FnMut() -> bool) -> Result<(), Fault> {
    let mut file = size(opened, &part.path, part.size)?;
    let failed = |why: String| {
        Fault::new(Code::Digest, format!("{}: {why}", part.path)).advise("the medium is damaged: write it again")
    };
    let found = sha256(&mut file, part, stops)
        .map_err(|e| file.fault().unwrap_or_else(|| failed(format!("it cannot be read: {e}"))))?;
    match found {
        Some(found) if found != part.sha256 => {
            Err(failed(format!("its SHA-256 is {}, and should be {}", Hex(&found), Hex(&part.sha256))))
        }
        _ => Ok(()),
    }
}

/// None where it was stopped.
fn sha256(mut input: impl Read, part: &Part, stops: &mut dyn FnMut() -> bool) -> io::Result<Option<[u8; 32]>> {
    let (mut hasher, mut done, mut told) = (Sha256::new(), 0, Instant::now());
    let mut buffer = vec![0; 128 << 10];
    loop {
        if stops() {
            return Ok(None);
        }
        match input.read(&mut buffer) {
            Ok(0) => return Ok(Some(hasher.finalize().into())),
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
            extra: false,
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
            let open = || Reading::open(&path, &part.path, "sr0");
            assert_eq!(size(open(), &part.path, part.size).err().map(|fault| fault.code), in_size, "{content:?}");
            let fault = digest(open(), &part, &mut || false).err();
            assert_eq!(fault.as_ref().map(|fault| fault.code), in_digest, "{content:?}");
            assert!(fault.is_none_or(|fault| fault.what.starts_with("root.squashfs:")));
            let stopped = digest(open(), &part, &mut || true).err();
            assert_eq!(stopped.map(|fault| fault.code), in_size, "no byte was compared: {content:?}");
        }
        std::fs::remove_file(&path).unwrap();
        let opened = Reading::open(&path, &part.path, "sr0");
        assert_eq!(size(opened, &part.path, part.size).unwrap_err().code, Code::Truncated);
    }
}
