//! The check of a file system before it is written to: what a power cut left
//! of it is mended, where the image brought a program for that.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::OFlag;

use crate::child::{self, is_program};
use crate::contract::initramfs;
use crate::fault::{Code, Fault};
use crate::log::{debug, info, warn};
use crate::superblock::Fs;

/// For all inodes of a terabyte on a USB disk to be read, as after errors;
/// a journal is replayed in a second.
const DEADLINE: Duration = Duration::from_mins(10);

/// fsck(8), "EXIT STATUS": a sum of these.
mod exit {
    pub(super) const MENDED: i32 = 1;
    pub(super) const REBOOT: i32 = 2;
    pub(super) const LEFT: i32 = 4;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Clean,
    Mended,
    /// Mended, and the kernel may have read what was wrong before.
    Reboot,
    /// Not to be written to.
    Bad,
}

fn outcome(code: i32) -> Outcome {
    match code {
        0 => Outcome::Clean,
        exit::MENDED => Outcome::Mended,
        code if code & !(exit::MENDED | exit::REBOOT) == 0 => Outcome::Reboot,
        _ => Outcome::Bad,
    }
}

/// dosfstools' checker gives up with the same number as after mending: only where it has
/// mended all, it finds no more.
fn code(fs: Fs, mut run: impl FnMut() -> Result<i32, String>) -> Result<i32, String> {
    Ok(match run()? {
        exit::MENDED if fs == Fs::Vfat && run()? != 0 => exit::LEFT,
        code => code,
    })
}

/// One that is mounted already is left alone.
pub(super) fn mend(device: &str, fs: Fs) -> Result<(), Fault> {
    let Some(name) = initramfs::checker(fs) else { return Ok(()) };
    let Some(program) = find(name, initramfs::PATH) else {
        debug!("{device} is not checked: this initramfs has no {name}");
        return Ok(());
    };
    // The kernel refuses this for a device that somebody has mounted or put another over.
    if let Err(e) = OpenOptions::new().read(true).custom_flags(OFlag::O_EXCL.bits()).open(device) {
        debug!("{device} is not checked: {e}");
        return Ok(());
    }
    info!("{device} is checked, for {} min at most: {} -p", DEADLINE.as_secs() / 60, program.display());
    let ended = code(fs, || child::run(&program, &["-p", device], &[], DEADLINE));
    let why = match ended.map(|code| (code, outcome(code))) {
        Ok((_, Outcome::Clean)) => return Ok(()),
        Ok((_, Outcome::Mended)) => {
            info!("{device} had errors that {name} has mended");
            return Ok(());
        }
        Ok((code, Outcome::Reboot)) => {
            warn!("{device} was mended, and {name} asks for a reboot ({code})");
            return Ok(());
        }
        Ok((code, Outcome::Bad)) => format!("it ended with {code}"),
        Err(why) => why,
    };
    Err(Fault::new(Code::Persist, format!("{device} is not written to after {name} -p: {why}"))
        .advise(format!("`{name} {device}` by hand asks what to do with each error")))
}

fn find(name: &str, path: &str) -> Option<PathBuf> {
    path.split(':').map(|dir| Path::new(dir).join(name)).find(|program| is_program(program))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_a_checker_ends_with_decides_whether_its_device_is_written_to() {
        for (code, expected) in [
            (0, Outcome::Clean),
            (1, Outcome::Mended),
            (2, Outcome::Reboot),
            (3, Outcome::Reboot),
            (4, Outcome::Bad),
            (5, Outcome::Bad),
            (8, Outcome::Bad),
            (12, Outcome::Bad),
            (child::CANNOT_EXECUTE, Outcome::Bad),
            (128, Outcome::Bad),
            (255, Outcome::Bad),
        ] {
            assert_eq!(outcome(code), expected, "{code}");
        }
    }

    #[test]
    fn a_checker_of_fat_is_believed_that_it_mended_all_when_it_finds_no_more() {
        for (fs, codes, expected) in [
            (Fs::Vfat, &[0][..], 0),
            (Fs::Vfat, &[1, 0], 1),
            (Fs::Vfat, &[1, 1], 4),
            (Fs::Vfat, &[4], 4),
            (Fs::Ext4, &[1], 1),
        ] {
            let mut left = codes.iter();
            let code = code(fs, || left.next().copied().ok_or("asked once more".into()));
            assert_eq!((code, left.len()), (Ok(expected), 0), "{fs:?} {codes:?}");
        }
    }

    #[test]
    fn every_file_system_has_the_checker_of_its_name_or_none_that_does_anything() {
        for fs in Fs::ALL {
            let has = matches!(fs, Fs::Ext2 | Fs::Ext3 | Fs::Ext4 | Fs::Vfat | Fs::Exfat | Fs::F2fs);
            assert_eq!(initramfs::checker(fs), has.then(|| format!("fsck.{}", fs.name())).as_deref(), "{fs:?}");
        }
    }

    #[test]
    fn a_checker_is_the_first_on_the_path_that_can_be_executed() {
        let dir = tempfile::tempdir().unwrap();
        let path = ["a", "b", "c"].map(|name| dir.path().join(name));
        for (dir, mode) in path.iter().zip([0o644, 0o755, 0o755]) {
            fs::create_dir(dir).unwrap();
            fs::write(dir.join("fsck.x"), "").unwrap();
            fs::set_permissions(dir.join("fsck.x"), PermissionsExt::from_mode(mode)).unwrap();
        }
        let text = path.each_ref().map(|dir| dir.display().to_string()).join(":");
        assert_eq!(find("fsck.x", &text), Some(path[1].join("fsck.x")));
        assert_eq!(find("fsck.y", &text), None);
    }
}
