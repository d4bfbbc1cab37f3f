//! Putting an artifact under its final name: written beside it, synced, and
//! renamed, so that the name always shows the old image or the whole new one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use crate::sys;

#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    #[error("{}: its folder does not exist", .0.display())]
    NoFolder(PathBuf),
    #[error("{}: is not a file; name one, and write it to the device afterwards", .0.display())]
    NotAFile(PathBuf),
    #[error("{}: cannot be written", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// A file that will be [published](Draft::publish), or vanish.
///
/// Its lock is held while it is being written. The system drops the lock of a
/// process that was killed, which is how the next run knows what it may delete.
#[derive(Debug)]
pub struct Draft {
    file: Flock<File>,
    path: PathBuf,
    target: PathBuf,
    published: bool,
}

impl Draft {
    /// Starts a draft beside `target`, and removes what killed runs left there.
    pub fn create(target: &Path) -> Result<Self, PublishError> {
        let failed = |source| PublishError::Write { path: target.into(), source };
        let dir = match target.parent() {
            Some(dir) if dir.as_os_str().is_empty() => Path::new("."),
            Some(dir) => dir,
            None => return Err(failed(io::Error::from(io::ErrorKind::IsADirectory))),
        };
        if !dir.is_dir() {
            return Err(PublishError::NoFolder(target.into()));
        }
        // Renaming over a device node would replace the node, not fill the device.
        if fs::symlink_metadata(target).is_ok_and(|meta| !meta.is_file()) {
            return Err(PublishError::NotAFile(target.into()));
        }
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let prefix = format!(".{name}.draft-");
        remove_stale(dir, &prefix).map_err(failed)?;
        let (path, file) = create_locked(dir, &prefix).map_err(failed)?;
        Ok(Self { file, path, target: target.into(), published: false })
    }

    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// For who only appends: what was written is on its way to the disk while
    /// the rest is being made, and [`Draft::publish`] waits for little.
    pub fn appender(&mut self) -> Appender<'_> {
        Appender { file: &mut self.file, written: 0, started: 0 }
    }

    pub fn publish(mut self) -> Result<(), PublishError> {
        let target = self.target.clone();
        let failed = |source| PublishError::Write { path: target.clone(), source };
        self.file.flush().and_then(|()| self.file.sync_all()).map_err(failed)?;
        fs::rename(&self.path, &self.target).map_err(failed)?;
        self.published = true;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.published {
            // Nobody asked for this name; the next run tries again.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Appends to a [`Draft`].
#[derive(Debug)]
pub struct Appender<'d> {
    file: &'d mut File,
    written: u64,
    /// The disk has been given this much.
    started: u64,
}

/// Few enough requests to be large ones, and often enough that the disk never
/// waits for us.
const STRETCH: u64 = 8 << 20;

impl Write for Appender<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let wrote = self.file.write(bytes)?;
        self.written += wrote as u64;
        let waiting = self.written - self.started;
        if waiting >= STRETCH {
            // A file system that cannot is asked again by the sync, which counts.
            let _ = sys::start_writeback(self.file, self.started, waiting);
            self.started = self.written;
        }
        Ok(wrote)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A new file that is ours: between its making and its locking, another run
/// may have taken it for one that was left behind, and removed it.
fn create_locked(dir: &Path, prefix: &str) -> io::Result<(PathBuf, Flock<File>)> {
    for n in 0_u32.. {
        let path = dir.join(format!("{prefix}{}-{n}", std::process::id()));
        let file = match OpenOptions::new().read(true).write(true).create_new(true).open(&path) {
            // Another thread's, or one of another process namespace.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
            opened => opened?,
        };
        let file = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| io::Error::from(errno))?;
        if is_at(&file, &path)? {
            return Ok((path, file));
        }
    }
    Err(io::Error::other("every name for a draft is taken"))
}

/// Whether it is the file that has this name now.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    match fs::metadata(path) {
        Ok(meta) => Ok(meta.ino() == file.metadata()?.ino()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

/// Removes drafts whose writer is gone. One that is locked belongs to a run
/// beside us, and whoever renames last wins with a whole image.
fn remove_stale(dir: &Path, prefix: &str) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(prefix) {
            continue;
        }
        // Somebody else may be removing it too: gone is what we want.
        let Ok(file) = File::open(entry.path()) else { continue };
        // Held until it is gone: who makes a draft looks for its name once it has the lock.
        if let Ok(lock) = Flock::lock(file, FlockArg::LockExclusiveNonblock)
            && is_at(&lock, &entry.path()).unwrap_or(false)
        {
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_name_shows_the_old_image_or_the_whole_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("out.iso");
        fs::write(&target, "old").unwrap();

        let mut draft = Draft::create(&target).unwrap();
        draft.file().write_all(b"half").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"old");
        drop(draft);
        assert_eq!((fs::read(&target).unwrap(), names(dir.path())), (b"old".to_vec(), vec!["out.iso".to_owned()]));

        let mut draft = Draft::create(&target).unwrap();
        draft.file().write_all(b"new").unwrap();
        draft.publish().unwrap();
        assert_eq!((fs::read(&target).unwrap(), names(dir.path())), (b"new".to_vec(), vec!["out.iso".to_owned()]));
    }

    #[test]
    fn what_a_killed_run_left_goes_and_what_a_living_one_writes_stays() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("out.iso");
        fs::write(dir.path().join(".out.iso.draft-1"), "left behind").unwrap();
        let living = File::create(dir.path().join(".out.iso.draft-2")).unwrap();
        let _lock = Flock::lock(living, FlockArg::LockExclusiveNonblock).unwrap();
        Draft::create(&target).unwrap().publish().unwrap();
        assert_eq!(names(dir.path()), [".out.iso.draft-2", "out.iso"]);
    }

    #[test]
    fn builds_of_one_image_beside_each_other_do_not_take_each_other_s_drafts() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("out.iso");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let mut draft = Draft::create(&target).unwrap();
                        draft.file().write_all(b"new").unwrap();
                        // Without its sync, which would leave little to run into.
                        fs::rename(&draft.path, &target).unwrap();
                        draft.published = true;
                    }
                });
            }
        });
        assert_eq!(names(dir.path()), ["out.iso"]);
    }

    #[test]
    fn a_device_is_not_replaced_by_an_image() {
        let error = Draft::create(Path::new("/dev/null")).unwrap_err();
        assert!(matches!(error, PublishError::NotAFile(_)), "{error}");
    }

    #[test]
    fn a_folder_that_is_missing_is_named() {
        let error = Draft::create(Path::new("/nowhere/at/all.iso")).unwrap_err();
        assert!(matches!(error, PublishError::NoFolder(_)), "{error}");
    }
}
