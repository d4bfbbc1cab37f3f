//! Saves in their directory: the last one and the one before it.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::list::{List, USUAL};
use super::pack::Packer;
use crate::contract::{medium as layout, system};
use crate::unpack;

const NEW: &str = ".save.new";

/// The newest that is whole, with a sentence about each that is not.
pub(super) fn newest(dir: &Path) -> (Option<PathBuf>, Vec<String>) {
    let mut notes = Vec::new();
    for name in [layout::SAVE, layout::SAVE_BEFORE] {
        let path = dir.join(name);
        match check(&path) {
            Ok(()) => return (Some(path), notes),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => notes.push(format!("{} is damaged ({e}): it is not used", path.display())),
        }
    }
    (None, notes)
}

/// Reads it to the check sum at its end.
fn check(path: &Path) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut magic = [0; 2];
    file.read_exact(&mut magic)?;
    if magic != [0x1f, 0x8b] {
        return Err(io::Error::other("it is no gzip file"));
    }
    file.rewind()?;
    io::copy(&mut unpack::decoded(file)?, &mut io::sink()).map(drop)
}

/// The list that stands beside the saves, or else the system's own.
pub(super) fn list(dir: &Path, root: &Path) -> (List, Vec<String>) {
    let in_root = root.join(system::SAVE_LIST);
    let read = |path: &Path| fs::read_to_string(path).ok();
    let text = read(&dir.join(layout::SAVE_LIST)).or_else(|| read(&in_root)).unwrap_or_else(|| USUAL.into());
    // What a user changed in the list is not to be lost.
    let own = if in_root.exists() { system::SAVE_LIST } else { "" };
    List::parse(&[&text, own].join("\n"))
}

/// Entries that were saved, with sentences about what was not. Under its name
/// there is always a whole save, or the one before it under its own.
pub(super) fn write(dir: &Path, root: &Path, list: &List) -> Result<(u64, Vec<String>), String> {
    let (new, last) = (dir.join(NEW), dir.join(layout::SAVE));
    let packed = pack(&new, root, list).map_err(|e| {
        // What is left of it would be in the way of nothing but space.
        let _ = fs::remove_file(&new);
        format!("{}: {e}", new.display())
    })?;
    let moved = || {
        // One that was cut takes nobody's place.
        let aside = if check(&last).is_ok() { layout::SAVE_BEFORE } else { layout::SAVE_BAD };
        match fs::rename(&last, dir.join(aside)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        fs::rename(&new, &last)?;
        File::open(dir)?.sync_all()
    };
    moved().map_err(|e| format!("{}: {e}", last.display()))?;
    Ok(packed)
}

fn pack(new: &Path, root: &Path, list: &List) -> io::Result<(u64, Vec<String>)> {
    let mut out = GzEncoder::new(BufWriter::with_capacity(64 << 10, File::create(new)?), Compression::fast());
    let mut packer = Packer::new(root, list, &mut out);
    packer.pack()?;
    let packed = (packer.entries, std::mem::take(&mut packer.notes));
    let mut file = out.finish()?;
    file.flush()?;
    file.get_ref().sync_all()?;
    Ok(packed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use nix::mount::{MntFlags, MsFlags, mount, umount2};

    use super::*;
    use crate::unpack::{Limits, package};

    const LIMITS: Limits = Limits { unpacked: 1 << 20, privileged: false };

    fn system(dir: &Path) -> PathBuf {
        let root = dir.join("system");
        fs::create_dir_all(root.join("home/tc/.cache")).unwrap();
        fs::write(root.join("home/tc/kept"), "one").unwrap();
        fs::write(root.join("home/tc/.cache/lost"), "x").unwrap();
        fs::create_dir_all(root.join("etc/live")).unwrap();
        fs::write(root.join("etc/other"), "not in the list").unwrap();
        root
    }

    fn saved(store: &Path, root: &Path) -> (u64, Vec<String>) {
        write(store, root, &list(store, root).0).unwrap()
    }

    fn restored(path: &Path) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        package(File::open(path).unwrap(), root.path(), &LIMITS).unwrap();
        root
    }

    #[test]
    fn what_is_listed_comes_back_as_it_was_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let (root, store) = (system(dir.path()), dir.path().join("store"));
        fs::create_dir(&store).unwrap();
        fs::write(root.join(system::SAVE_LIST), "home/tc\netc/none\n-home/*/.cache\n").unwrap();
        let home = root.join("home/tc");
        let long = format!("{}/leaf", ["directory"; 12].join("/"));
        fs::create_dir_all(home.join(&long).parent().unwrap()).unwrap();
        fs::write(home.join(&long), vec![7; 513]).unwrap();
        fs::hard_link(home.join("kept"), home.join("second")).unwrap();
        symlink(&long, home.join("link")).unwrap();
        fs::set_permissions(home.join("kept"), PermissionsExt::from_mode(0o4750)).unwrap();
        fs::set_permissions(root.join("home"), PermissionsExt::from_mode(0o711)).unwrap();
        std::os::unix::net::UnixListener::bind(home.join("socket")).unwrap();

        let (entries, notes) = saved(&store, &root);
        assert!(entries > 15 && notes.len() == 2, "{notes:?}");
        assert!(notes[0].contains("etc/none") && notes[1].contains("home/tc/socket"), "{notes:?}");
        let back = restored(&store.join(layout::SAVE));
        let about = |path: &str| fs::symlink_metadata(back.path().join("home/tc").join(path)).unwrap();
        assert_eq!(fs::read(back.path().join("home/tc").join(&long)).unwrap(), vec![7; 513]);
        assert_eq!(fs::read_link(back.path().join("home/tc/link")).unwrap(), Path::new(&long));
        assert_eq!((about("kept").mode() & 0o7777, about("kept").nlink()), (0o750, 2), "no rights, and both names");
        assert_eq!(about("..").mode() & 0o7777, 0o711);
        assert_eq!(about("kept").mtime(), fs::metadata(home.join("kept")).unwrap().mtime());
        assert!(back.path().join(system::SAVE_LIST).exists(), "the list itself");
        for lost in ["home/tc/.cache", "home/tc/socket", "etc/other"] {
            assert!(!back.path().join(lost).exists(), "{lost}");
        }
    }

    struct Tmpfs(PathBuf);

    impl Tmpfs {
        fn mount(at: PathBuf) -> Self {
            mount(Some("tmpfs"), &at, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
            Self(at)
        }
    }

    impl Drop for Tmpfs {
        fn drop(&mut self) {
            umount2(&self.0, MntFlags::MNT_DETACH).unwrap();
        }
    }

    /// Each tmpfs counts its inodes from 1; who may not mount has one file
    /// system, where nothing is taken for a link either.
    #[test]
    fn files_of_two_file_systems_are_no_links_to_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let (root, store) = (system(dir.path()), dir.path().join("store"));
        let homes = ["home", "root"].map(|name| root.join(name));
        for dir in homes.iter().chain([&store]) {
            fs::create_dir_all(dir).unwrap();
        }
        let is_root = nix::unistd::geteuid().is_root();
        let _mounted = is_root.then(|| homes.clone().map(Tmpfs::mount));
        let inodes = homes.clone().map(|home| {
            fs::write(home.join("kept"), home.file_name().unwrap().as_encoded_bytes()).unwrap();
            fs::hard_link(home.join("kept"), home.join("second")).unwrap();
            fs::metadata(home.join("kept")).unwrap().ino()
        });
        assert_eq!(inodes[0] == inodes[1], is_root);
        let (_, notes) = saved(&store, &root);
        let back = restored(&store.join(layout::SAVE));
        for home in ["home", "root"] {
            let second = back.path().join(home).join("second");
            assert_eq!(fs::read_to_string(&second).unwrap(), home, "{notes:?}");
            assert_eq!(fs::metadata(&second).unwrap().nlink(), 2, "{home}");
        }
    }

    #[test]
    fn a_save_that_was_cut_anywhere_gives_way_to_the_one_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let (root, store) = (system(dir.path()), dir.path().join("store"));
        fs::create_dir(&store).unwrap();
        assert_eq!(newest(&store), (None, vec![]));
        saved(&store, &root);
        fs::write(root.join("home/tc/kept"), "two").unwrap();
        saved(&store, &root);
        let [last, before, bad] = [layout::SAVE, layout::SAVE_BEFORE, layout::SAVE_BAD].map(|name| store.join(name));
        let kept = |path: &Path| fs::read_to_string(restored(path).path().join("home/tc/kept")).unwrap();
        assert_eq!((kept(&last).as_str(), kept(&before).as_str()), ("two", "one"));

        let whole = fs::read(&last).unwrap();
        for cut in 0..whole.len() {
            fs::write(&last, &whole[..cut]).unwrap();
            let (path, notes) = newest(&store);
            assert_eq!((path.as_ref(), notes.len()), (Some(&before), 1), "cut at {cut}");
        }
        saved(&store, &root);
        assert_eq!((newest(&store), kept(&before).as_str()), ((Some(last.clone()), vec![]), "one"));
        assert_eq!(fs::read(bad).unwrap(), whole[..whole.len() - 1], "it is set aside");
        // The power was cut between the two renames.
        fs::remove_file(&last).unwrap();
        assert_eq!(newest(&store), (Some(before), vec![]));
    }

    #[test]
    fn a_save_that_cannot_be_written_leaves_the_last_one() {
        let dir = tempfile::tempdir().unwrap();
        let (root, store) = (system(dir.path()), dir.path().join("store"));
        fs::create_dir(&store).unwrap();
        saved(&store, &root);
        let before = fs::read(store.join(layout::SAVE)).unwrap();
        fs::create_dir(store.join(NEW)).unwrap();
        let error = write(&store, &root, &List::parse(USUAL).0).unwrap_err();
        assert!(error.contains(NEW), "{error}");
        assert_eq!(fs::read(store.join(layout::SAVE)).unwrap(), before);
    }

    #[test]
    fn the_list_beside_the_saves_is_taken_before_the_system_s() {
        let dir = tempfile::tempdir().unwrap();
        let root = system(dir.path());
        assert_eq!(list(dir.path(), &root).0.paths, ["home", "root"]);
        fs::write(root.join(system::SAVE_LIST), "opt\n").unwrap();
        assert_eq!(list(dir.path(), &root).0.paths, [system::SAVE_LIST, "opt"]);
        fs::write(dir.path().join(layout::SAVE_LIST), "srv").unwrap();
        assert_eq!(list(dir.path(), &root).0.paths, [system::SAVE_LIST, "srv"]);
    }
}
