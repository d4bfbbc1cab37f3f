//! A tar archive, read once and forwards: ustar, pax and GNU's long names.
//!
//! The tar crate reads the fields of a header. It does not read the archive:
//! its iterator takes an extended header of any size into memory and ends
//! quietly where the input does.

use std::io::{self, Read};

use tar::Header;

use super::error::UnpackError;
use super::member::Member;
use super::pax::Pax;

const BLOCK: usize = 512;
/// For one extended header: the longest path and attributes of 64 KiB fit
/// several times over.
const EXTENSION_MAX: u64 = 1 << 20;
/// How much of zeros may follow the end: GNU tar's largest usual record.
const TRAILER_MAX: u64 = 1 << 20;

pub(super) struct Archive<'a> {
    input: Box<dyn Read + 'a>,
    /// Of the current member's contents, not yet read.
    left: u64,
    padding: u64,
    /// The last member's name, for errors.
    last: Vec<u8>,
}

impl<'a> Archive<'a> {
    pub(super) fn new(input: Box<dyn Read + 'a>) -> Self {
        Self { input, left: 0, padding: 0, last: Vec::new() }
    }

    /// The next member, or `None` once the archive has come to its proper end
    /// and the input with it.
    pub(super) fn next(&mut self) -> Result<Option<Member>, UnpackError> {
        let mut pax = Pax::default();
        let mut extended = false;
        loop {
            self.skip_contents()?;
            let mut block = [0; BLOCK];
            match self.fill(&mut block)? {
                // Without its final zeros, but whole, as some writers leave it.
                0 if !extended && !self.last.is_empty() => return Ok(None),
                BLOCK => {}
                _ => return Err(self.broken("it is cut short")),
            }
            if block == [0; BLOCK] {
                self.check_trailer()?;
                return if extended { Err(self.broken("it is cut short")) } else { Ok(None) };
            }
            let header = Header::from_byte_slice(&block);
            if header.cksum().ok() != Some(checksum(&block)) {
                return Err(self.broken("it is no tar archive, or a damaged one,"));
            }
            let Ok(size) = header.entry_size() else {
                return Err(self.broken("it has a header without a size"));
            };
            match header.as_old().linkflag[0] {
                b'x' => {
                    let records = self.extension(size)?;
                    pax.read(&records).ok_or_else(|| self.broken("it has a broken extended header"))?;
                }
                b'g' => {
                    // git writes its commit here as a comment. Anything that
                    // would change all entries that follow is not ours to guess.
                    let mut global = Pax::default();
                    let records = self.extension(size)?;
                    if global.read(&records).is_none() || global != Pax::default() {
                        return Err(self.broken("it has a global header that changes entries"));
                    }
                    continue;
                }
                b'L' => pax.path = Some(c_string(self.extension(size)?)),
                b'K' => pax.link = Some(c_string(self.extension(size)?)),
                // A volume's label is no entry.
                b'V' => continue,
                _ => {
                    let member = Member::new(header, size, pax)?;
                    self.left = member.size;
                    self.padding = padding(member.size);
                    self.last.clone_from(&member.name);
                    return Ok(Some(member));
                }
            }
            extended = true;
        }
    }

    /// Contents of the current member; 0 at their end and never before.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, UnpackError> {
        let want = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if want == 0 {
            return Ok(0);
        }
        match retrying(|| self.input.read(&mut buffer[..want])) {
            Ok(0) => Err(self.broken("it is cut short")),
            Ok(n) => {
                self.left -= n as u64;
                Ok(n)
            }
            Err(error) => Err(self.unreadable(error)),
        }
    }

    fn skip_contents(&mut self) -> Result<(), UnpackError> {
        let mut skipped = [0; BLOCK];
        while self.read(&mut skipped)? > 0 {}
        self.left = std::mem::take(&mut self.padding);
        while self.read(&mut skipped)? > 0 {}
        Ok(())
    }

    fn extension(&mut self, size: u64) -> Result<Vec<u8>, UnpackError> {
        if size > EXTENSION_MAX {
            return Err(self.broken("it has an extended header larger than any needs to be"));
        }
        (self.left, self.padding) = (size, padding(size));
        let mut bytes = vec![0; size as usize];
        let mut filled = 0;
        while filled < bytes.len() {
            filled += self.read(&mut bytes[filled..])?;
        }
        Ok(bytes)
    }

    /// A zero block ends an archive. All of the input is read nevertheless:
    /// the check sums of its compression come last. Contents after the end are
    /// another archive that nobody would miss, or something hidden.
    fn check_trailer(&mut self) -> Result<(), UnpackError> {
        let mut block = [0; BLOCK];
        for _ in 0..TRAILER_MAX / BLOCK as u64 {
            match self.fill(&mut block)? {
                0 => return Ok(()),
                n if block[..n].iter().any(|&b| b != 0) => break,
                _ => {}
            }
        }
        Err(self.broken("it goes on after its end,"))
    }

    /// As much of a block as there is.
    fn fill(&mut self, block: &mut [u8; BLOCK]) -> Result<usize, UnpackError> {
        let mut filled = 0;
        while filled < BLOCK {
            match retrying(|| self.input.read(&mut block[filled..])) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) => return Err(self.unreadable(error)),
            }
        }
        Ok(filled)
    }

    fn broken(&self, problem: &'static str) -> UnpackError {
        UnpackError::Archive { after: self.last.clone(), problem }
    }

    fn unreadable(&self, error: io::Error) -> UnpackError {
        UnpackError::Read { after: self.last.clone(), error }
    }
}

fn retrying(mut read: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match read() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// The sum of all bytes, the eight of the sum itself taken as blanks.
fn checksum(block: &[u8; BLOCK]) -> u32 {
    let sum = |bytes: &[u8]| bytes.iter().map(|&b| u32::from(b)).sum::<u32>();
    sum(&block[..148]) + 8 * u32::from(b' ') + sum(&block[156..])
}

fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

fn c_string(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.pop_if(|last| *last == 0);
    bytes
}
