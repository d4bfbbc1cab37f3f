//! Files to pack, the same ones every time.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A folder of many small files and a few large ones.
#[derive(Debug, Clone, Copy)]
pub struct Payload {
    pub mib: u64,
    /// How much of each block of 4 KiB is noise, in percent; the rest is text
    /// that repeats.
    pub noise_percent: u64,
}

/// One part in this many is small files.
const SMALL_PART: u64 = 6;
const SMALL_MAX: u64 = 16 << 10;
const LARGE: u64 = 96 << 20;
const BLOCK: usize = 4096;

impl Payload {
    /// Makes the folder below `dir`, unless it is there from the last time.
    pub fn make(self, dir: &Path) -> Result<PathBuf> {
        let folder = dir.join(format!("payload-{}-{}", self.mib, self.noise_percent));
        let made = folder.with_extension("made");
        if made.exists() {
            return Ok(folder);
        }
        eprintln!("making {} MiB of payload in {}", self.mib, folder.display());
        let total = self.mib << 20;
        let mut noise = Noise(0x9E37_79B9_7F4A_7C15);
        let mut written = 0;
        for n in 0_u64.. {
            let left = total - written;
            if left == 0 {
                break;
            }
            let (path, len) = if written < total / SMALL_PART {
                (format!("small/{:03}/file-{n:06}.conf", n / 100), noise.next() % SMALL_MAX)
            } else {
                (format!("large/part-{n}.bin"), LARGE)
            };
            let len = len.min(left);
            self.file(&folder.join(path), len, &mut noise)?;
            written += len;
        }
        File::create(&made).with_context(|| format!("cannot create {}", made.display()))?;
        Ok(folder)
    }

    fn file(self, path: &Path, len: u64, noise: &mut Noise) -> Result<()> {
        let context = || format!("cannot write {}", path.display());
        fs::create_dir_all(path.parent().unwrap_or(path)).with_context(context)?;
        let mut out = BufWriter::new(File::create(path).with_context(context)?);
        let mut left = len;
        while left > 0 {
            let want = left.min(BLOCK as u64) as usize;
            let block = self.block(noise);
            out.write_all(&block[..want]).with_context(context)?;
            left -= want as u64;
        }
        out.flush().with_context(context)
    }

    fn block(self, noise: &mut Noise) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        let noisy = BLOCK * self.noise_percent.min(100) as usize / 100;
        for word in block[..noisy].chunks_mut(8) {
            word.copy_from_slice(&noise.next().to_le_bytes()[..word.len()]);
        }
        for (byte, text) in block[noisy..].iter_mut().zip(b"key = value # as configuration has it\n".iter().cycle()) {
            *byte = *text;
        }
        block
    }
}

/// Marsaglia's xorshift.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
