//! Media put together from an image's files by another tool than ours, with
//! something in them changed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::builder::{Image, succeed};
use crate::oracle::Tool;

#[derive(Debug)]
pub struct Edit {
    dir: TempDir,
    xorriso: Tool,
    /// By which /init knows its medium.
    volume_set: String,
}

impl Edit {
    pub fn of(image: &Image) -> Result<Option<Self>> {
        let Some(xorriso) = Tool::find("xorriso")? else { return Ok(None) };
        let dir = tempfile::tempdir()?;
        succeed(std::process::Command::new("cp").arg("-r").arg(image.file("live")?).arg(dir.path()))?;
        let about = succeed(xorriso.command().arg("-indev").arg(&image.iso).arg("-pvd_info"))?;
        let about = String::from_utf8(about.stdout)?;
        let volume_set = about.lines().find_map(|line| line.trim().strip_prefix("Volume Set Id:"));
        let volume_set = volume_set.with_context(|| format!("xorriso tells no volume set: {about}"))?.trim().to_owned();
        ensure!(!volume_set.is_empty(), "our volume set is empty");
        Ok(Some(Self { dir, xorriso, volume_set }))
    }

    /// A file of the medium's `live` directory.
    pub fn file(&self, path: &str) -> PathBuf {
        self.dir.path().join("live").join(path)
    }

    /// Makes the manifest say of a part what it is now.
    pub fn sign(&self, part: &str) -> Result<()> {
        let bytes = fs::read(self.file(part))?;
        let (size, digest) = (format!("size={}", bytes.len()), format!("sha256={}", digest(&bytes)));
        self.manifest(|line| {
            if !line.starts_with(&format!("part {part} ")) {
                return line.to_owned();
            }
            let word = |word: &str| match word.split_once('=') {
                Some(("size", _)) => size.clone(),
                Some(("sha256", _)) => digest.clone(),
                _ => word.to_owned(),
            };
            line.split(' ').map(word).collect::<Vec<_>>().join(" ")
        })
    }

    /// Changes the manifest line by line, and gives it the digest of what it is now.
    pub fn manifest(&self, change: impl Fn(&str) -> String) -> Result<()> {
        let path = self.file("manifest");
        let text = fs::read_to_string(&path)?;
        let mut changed = String::new();
        for line in text.lines().filter(|line| !line.starts_with("digest ")) {
            let line = change(line);
            if !line.is_empty() {
                changed += &line;
                changed.push('\n');
            }
        }
        let digest = digest(changed.as_bytes());
        Ok(fs::write(path, format!("{changed}digest {digest}\n"))?)
    }

    /// With that label, and the image's boot-id if it is `ours`.
    pub fn iso(&self, label: &[u8], is_ours: bool, iso: &Path) -> Result<()> {
        let mut make = self.xorriso.command();
        make.args(["-as", "mkisofs", "-quiet", "-R", "-V", "LABEL"]);
        if is_ours {
            make.args(["-volset", &self.volume_set]);
        }
        succeed(make.arg("-o").arg(iso).arg("-graft-points").arg(format!("/live={}", self.file("").display())))?;
        // ECMA-119, 8.4.7: where no tool would put such bytes.
        let mut bytes = fs::read(iso)?;
        let field = bytes.get_mut(32_768 + 40..32_768 + 72).context("an ISO that is too short")?;
        field.fill(b' ');
        field[..label.len()].copy_from_slice(label);
        Ok(fs::write(iso, bytes)?)
    }
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}
