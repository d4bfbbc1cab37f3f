//! Whether the kernel unpacked all of our archive.

use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::libc;

use crate::contents::{self, Entry, Holds, Inode};
use crate::contract::initramfs;
use crate::fault::{Code, Fault};

/// To be asked before anything is mounted or written.
pub(crate) fn check() -> Result<(), Fault> {
    let found = fs::read_to_string(initramfs::CONTENTS).map_err(|e| e.to_string());
    let entries = found.and_then(|text| contents::parse(&text).map_err(|e| e.to_string()));
    let checked = match entries {
        Ok(entries) => contents::check(&entries, find),
        Err(why) => Err(format!("{}: {why}", initramfs::CONTENTS)),
    };
    checked.map_err(|why| {
        let advice = "the initramfs was cut or damaged on its way here: reboot, and if that does not help, write the medium again";
        Fault::new(Code::Initramfs, format!("not all of the initramfs is here: {why}")).advise(advice)
    })
}

fn find(Entry { path, inode }: &Entry) -> io::Result<Inode> {
    let path = Path::new("/").join(std::ffi::OsStr::from_bytes(path));
    let meta = path.symlink_metadata()?;
    let holds = match inode.holds {
        // Another kind of entry has nothing to be read, or would hang its reader.
        _ if meta.mode() >> 12 != inode.mode >> 12 => Holds::Nothing,
        Holds::Nothing => Holds::Nothing,
        Holds::Device { .. } => Holds::Device { major: libc::major(meta.rdev()), minor: libc::minor(meta.rdev()) },
        Holds::Content { .. } if meta.is_symlink() => {
            Holds::content(&*fs::read_link(&path)?.into_os_string().into_vec())?
        }
        Holds::Content { .. } => Holds::content(File::open(&path)?)?,
    };
    Ok(Inode { mode: meta.mode(), uid: meta.uid(), gid: meta.gid(), holds })
}
