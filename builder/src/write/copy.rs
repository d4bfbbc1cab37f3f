//! Writing the contents, and reading them back from the device.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt};

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

use super::contents::Contents;
use crate::sys;

/// What is written to.
pub(super) trait Disk {
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()>;
    /// Everything written is on the device, and will be read from there.
    fn settle(&self) -> io::Result<()>;
}

impl Disk for File {
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.write_all_at(bytes, at)
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        self.read_exact_at(buffer, at)
    }

    fn settle(&self) -> io::Result<()> {
        self.sync_all()?;
        if self.metadata()?.file_type().is_block_device() {
            sys::flush_buffers(self)?;
        } else {
            posix_fadvise(self, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
        }
        Ok(())
    }
}

#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error("the image cannot be read at byte {at}")]
    Image { at: u64, source: io::Error },
    #[error("writing failed at byte {at}: nothing on it boots now; try again, or another stick")]
    Write { at: u64, source: io::Error },
    #[error("reading back failed at byte {at}: nothing is to be expected of this stick")]
    ReadBack { at: u64, source: io::Error },
    #[error("byte {at} reads back as another than was written: the stick is worn out, or smaller than it says it is")]
    Differs { at: u64 },
}

/// Many erase blocks' worth, and a multiple of every sector.
const CHUNK: usize = 4 << 20;

pub(super) fn write(contents: &Contents, disk: &dyn Disk, progress: &mut dyn FnMut(u64)) -> Result<(), CopyError> {
    let failed = |at| move |source| CopyError::Write { at, source };
    if let Some(head) = contents.ranges().last() {
        disk.write_at(&vec![0; (head.end - head.start) as usize], head.start).map_err(failed(head.start))?;
        disk.settle().map_err(failed(head.start))?;
    }
    each_chunk(contents, progress, |at, wanted| disk.write_at(wanted, at).map_err(failed(at)))?;
    disk.settle().map_err(failed(0))
}

pub(super) fn verify(contents: &Contents, disk: &dyn Disk, progress: &mut dyn FnMut(u64)) -> Result<(), CopyError> {
    let mut found = vec![0; CHUNK];
    each_chunk(contents, progress, |at, wanted| {
        let found = &mut found[..wanted.len()];
        disk.read_at(found, at).map_err(|source| CopyError::ReadBack { at, source })?;
        match found.iter().zip(wanted).position(|(found, wanted)| found != wanted) {
            Some(place) => Err(CopyError::Differs { at: at + place as u64 }),
            None => Ok(()),
        }
    })
}

fn each_chunk(
    contents: &Contents,
    progress: &mut dyn FnMut(u64),
    mut act: impl FnMut(u64, &[u8]) -> Result<(), CopyError>,
) -> Result<(), CopyError> {
    let (mut chunk, mut done) = (vec![0; CHUNK], 0);
    for range in contents.ranges() {
        for at in range.clone().step_by(CHUNK) {
            let chunk = &mut chunk[..(range.end - at).min(CHUNK as u64) as usize];
            contents.read(at, chunk).map_err(|source| CopyError::Image { at, source })?;
            act(at, chunk)?;
            done += chunk.len() as u64;
            progress(done);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use tree::Content;

    const MIB: usize = 1 << 20;

    /// A stick that says it has 8 MiB and keeps `keeps` of them: what is
    /// written past them ends up at the beginning again.
    struct Lying {
        kept: RefCell<Vec<u8>>,
        settled: RefCell<u32>,
    }

    impl Lying {
        fn keeps(len: usize) -> Self {
            Self { kept: vec![0xAA; len].into(), settled: 0.into() }
        }

        fn each(&self, len: usize, at: u64, mut act: impl FnMut(usize, &mut u8)) {
            let mut kept = self.kept.borrow_mut();
            let keeps = kept.len();
            (0..len).for_each(|n| act(n, &mut kept[(at as usize + n) % keeps]));
        }
    }

    impl Disk for Lying {
        fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
            self.each(bytes.len(), at, |n, kept| *kept = bytes[n]);
            Ok(())
        }

        fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
            self.each(buffer.len(), at, |n, kept| buffer[n] = *kept);
            Ok(())
        }

        fn settle(&self) -> io::Result<()> {
            *self.settled.borrow_mut() += 1;
            Ok(())
        }
    }

    fn contents() -> Contents {
        let image: Vec<u8> = (0..6 * MIB).map(|n| (n / 512) as u8 ^ (n / MIB) as u8).collect();
        Contents::new(Content::from(image).open_at().unwrap(), 6 * MIB as u64, 8 * MIB as u64, None, None)
    }

    #[test]
    fn an_honest_stick_holds_what_was_written_and_nothing_old_at_its_ends() {
        let (contents, disk) = (contents(), Lying::keeps(8 * MIB));
        let mut last = 0;
        write(&contents, &disk, &mut |done| last = done).unwrap();
        verify(&contents, &disk, &mut |_| ()).unwrap();
        assert_eq!(last, contents.len());
        assert_eq!(*disk.settled.borrow(), 2, "once for the cleared head, once for everything");
        let kept = disk.kept.borrow();
        assert!(kept[7 * MIB..].iter().all(|&byte| byte == 0));
        assert!(kept[6 * MIB..7 * MIB].iter().all(|&byte| byte == 0xAA), "what nobody looks at is not written");
    }

    #[test]
    fn a_stick_smaller_than_it_says_is_found_out() {
        let (contents, disk) = (contents(), Lying::keeps(4 * MIB));
        write(&contents, &disk, &mut |_| ()).unwrap();
        let error = verify(&contents, &disk, &mut |_| ()).unwrap_err();
        assert!(matches!(error, CopyError::Differs { .. }), "{error}");
    }

    #[test]
    fn a_stick_that_keeps_nothing_is_found_out_at_the_first_byte_that_differs() {
        let (contents, disk) = (contents(), Lying::keeps(8 * MIB));
        write(&contents, &disk, &mut |_| ()).unwrap();
        disk.kept.borrow_mut()[5 * MIB + 7] ^= 1;
        let error = verify(&contents, &disk, &mut |_| ()).unwrap_err();
        assert!(matches!(error, CopyError::Differs { at } if at == 5 * MIB as u64 + 7), "{error}");
    }
}
