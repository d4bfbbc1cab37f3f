//! Files of a list as a tar archive: GNU's headers, whose long names every tar reads.

use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use tar::Header;

use super::list::List;
use crate::unpack::{ENTRIES_MAX, Linked, names};

const BLOCK: usize = 512;

pub(super) struct Packer<'a> {
    root: &'a Path,
    list: &'a List,
    out: &'a mut dyn Write,
    /// Directories that are there to lead to a path of the list.
    led: Vec<PathBuf>,
    /// By device: each counts its inodes from its own beginning.
    linked: Vec<(u64, Linked)>,
    pub entries: u64,
    /// Sentences about what is not in the archive.
    pub notes: Vec<String>,
}

impl<'a> Packer<'a> {
    pub(super) fn new(root: &'a Path, list: &'a List, out: &'a mut dyn Write) -> Self {
        Self { root, list, out, led: Vec::new(), linked: Vec::new(), entries: 0, notes: Vec::new() }
    }

    /// An error is one of writing: what cannot be read is passed over.
    pub(super) fn pack(&mut self) -> io::Result<()> {
        let list = self.list;
        for path in list.paths.iter().map(PathBuf::from) {
            self.lead_to(&path)?;
            self.walk(path)?;
        }
        self.out.write_all(&[0; 2 * BLOCK])
    }

    fn lead_to(&mut self, path: &Path) -> io::Result<()> {
        let mut above: Vec<PathBuf> =
            path.ancestors().skip(1).filter(|dir| !dir.as_os_str().is_empty()).map(Into::into).collect();
        above.reverse();
        for dir in above {
            let Ok(about) = fs::symlink_metadata(self.root.join(&dir)) else { return Ok(()) };
            // A link on the way is the packages' own.
            if about.is_dir() && !self.led.contains(&dir) {
                self.header(&dir, &about, b'5', 0, b"")?;
                self.led.push(dir);
            }
        }
        Ok(())
    }

    /// What is below, and on the same file system.
    fn walk(&mut self, path: PathBuf) -> io::Result<()> {
        let mut device = None;
        let mut ahead = vec![path];
        while let Some(path) = ahead.pop() {
            if self.list.excludes(&path.to_string_lossy()) {
                continue;
            }
            let packed = self.entry(&path, &mut device).map_err(|stop| match stop {
                Stop::Reading(e) => {
                    self.notes.push(format!("{}: {e}", path.display()));
                    None
                }
                Stop::Writing(e) => Some(e),
            });
            match packed {
                Ok(names) => ahead.extend(names.into_iter().map(|name| path.join(name))),
                Err(None) => {}
                Err(Some(e)) => return Err(e),
            }
        }
        Ok(())
    }

    /// Names of what is in it, the last one first.
    fn entry(&mut self, path: &Path, device: &mut Option<u64>) -> Result<Vec<OsString>, Stop> {
        let at = self.root.join(path);
        let about = fs::symlink_metadata(&at).map_err(Stop::Reading)?;
        if *device.get_or_insert(about.dev()) != about.dev() {
            return Ok(Vec::new());
        }
        let kind = about.file_type();
        if kind.is_dir() {
            let names = names(&at, ENTRIES_MAX).map_err(Stop::Reading)?;
            if !path.as_os_str().is_empty() {
                self.header(path, &about, b'5', 0, b"").map_err(Stop::Writing)?;
            }
            return Ok(names);
        }
        if kind.is_symlink() {
            let target = fs::read_link(&at).map_err(Stop::Reading)?;
            self.header(path, &about, b'2', 0, target.as_os_str().as_bytes()).map_err(Stop::Writing)?;
        } else if kind.is_file() {
            let name = path.as_os_str().as_bytes();
            let first = if about.nlink() > 1 { self.linked_on(about.dev()).first(about.ino(), name) } else { None };
            match first.map(<[u8]>::to_vec) {
                Some(first) => self.header(path, &about, b'1', 0, &first).map_err(Stop::Writing)?,
                None => self.file(path, &at, &about)?,
            }
        } else if kind.is_fifo() {
            self.header(path, &about, b'6', 0, b"").map_err(Stop::Writing)?;
        } else {
            return Err(Stop::Reading(io::Error::other("it is a device or a socket")));
        }
        Ok(Vec::new())
    }

    fn file(&mut self, path: &Path, at: &Path, about: &Metadata) -> Result<(), Stop> {
        let file = File::open(at).map_err(Stop::Reading)?;
        let len = about.len();
        self.header(path, about, b'0', len, b"").map_err(Stop::Writing)?;
        // It may change under our hands: the archive has the length that it said.
        let mut contents = file.take(len).chain(io::repeat(0)).take(len.next_multiple_of(BLOCK as u64));
        let mut buffer = vec![0; 64 << 10];
        loop {
            match contents.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(n) => self.out.write_all(&buffer[..n]).map_err(Stop::Writing)?,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // Half a file is worse than the save before this one.
                Err(e) => return Err(Stop::Writing(io::Error::new(e.kind(), format!("{}: {e}", path.display())))),
            }
        }
    }

    fn linked_on(&mut self, device: u64) -> &mut Linked {
        let known = self.linked.iter().position(|(known, _)| *known == device);
        let at = known.unwrap_or_else(|| {
            self.linked.push((device, Linked::default()));
            self.linked.len() - 1
        });
        &mut self.linked[at].1
    }

    fn header(&mut self, path: &Path, about: &Metadata, kind: u8, len: u64, link: &[u8]) -> io::Result<()> {
        let name = path.as_os_str().as_bytes();
        let mut header = Header::new_gnu();
        let old = header.as_old_mut();
        for (long, field, value) in [(b'L', &mut old.name, name), (b'K', &mut old.linkname, link)] {
            if value.len() > field.len() {
                self.long(long, value)?;
            }
            let shown = value.len().min(field.len());
            field[..shown].copy_from_slice(&value[..shown]);
        }
        old.linkflag = [kind];
        // A save gives no rights: an archive with them would be refused at the boot.
        let mode = if kind == b'5' { about.mode() & 0o7777 } else { about.mode() & 0o1777 };
        header.set_mode(mode);
        header.set_uid(about.uid().into());
        header.set_gid(about.gid().into());
        header.set_mtime(about.mtime().max(0).cast_unsigned());
        header.set_size(len);
        header.set_cksum();
        self.entries += 1;
        self.out.write_all(header.as_bytes())
    }

    /// A name that the header has no room for, as an entry before it.
    fn long(&mut self, kind: u8, name: &[u8]) -> io::Result<()> {
        let mut header = Header::new_gnu();
        header.as_old_mut().linkflag = [kind];
        header.set_size(name.len() as u64 + 1);
        header.set_cksum();
        self.out.write_all(header.as_bytes())?;
        let mut padded = name.to_vec();
        padded.resize((name.len() + 1).next_multiple_of(BLOCK), 0);
        self.out.write_all(&padded)
    }
}

enum Stop {
    Reading(io::Error),
    Writing(io::Error),
}
