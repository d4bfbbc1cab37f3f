//! The field's own archivers pack one directory, our readers read it, and the
//! listings are equal as far as the format can carry what is there.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};

use tree::host::{self, Owners};
use tree::listing::{self, Line, Listing, What, With};
use tree::{Tree, TreePath};

use crate::fixture::{Fixture, from};

/// Whether the oracle is there. In CI a missing one is a failure.
fn present(oracle: &str) -> bool {
    let found =
        std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(oracle).is_file()));
    assert!(found || std::env::var_os("CI").is_none(), "{oracle} is not installed, and CI needs it");
    if !found {
        say_skipped(&format!("{oracle} is not installed"));
    }
    found
}

/// In a line that `cargo xtask test` counts; past libtest's capture, which
/// would hide it in a test that passes.
fn say_skipped(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let _ = writeln!(std::io::stderr(), "\nSKIPPED {test}: {why}");
}

fn run(command: &mut Command) {
    let output = command.env("LC_ALL", "C.UTF-8").output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// What a format leaves out.
#[derive(Clone, Copy)]
struct Carries {
    sockets: bool,
    xattrs: bool,
}

const TAR: Carries = Carries { sockets: false, xattrs: false };
const PAX: Carries = Carries { sockets: false, xattrs: true };
const CPIO: Carries = Carries { sockets: true, xattrs: false };

fn carried(listing: Listing, carries: Carries) -> Listing {
    let fits = |line: &Line| carries.sockets || line.what != What::Socket;
    let strip = |line: Line| if carries.xattrs { line } else { Line { xattrs: BTreeMap::new(), ..line } };
    Listing { lines: listing.lines.into_iter().filter(fits).map(strip).collect() }
}

fn host_listing(fixture: &Fixture) -> Listing {
    let host = host::load(fixture.root(), Owners::AsIs, &from()).unwrap();
    listing::of(&host, With::Digests).unwrap()
}

fn same(archive: &Tree, host: &Listing, carries: Carries, what: &str) {
    let archive = listing::of(archive, With::Digests).unwrap();
    let differences = listing::diff(&carried(host.clone(), carries), &carried(archive, carries));
    let differences: Vec<_> = differences.iter().map(ToString::to_string).collect();
    assert!(differences.is_empty(), "{what}:\n{}", differences.join("\n"));
    assert!(host.lines.len() > 15, "it is the fixture that was compared");
}

#[test]
fn tar_archives_list_as_the_directory_they_were_made_of() {
    let fixture = Fixture::new();
    let host = host_listing(&fixture);
    let xattrs = "--xattrs --xattrs-include=*";
    for (tool, options, carries) in [
        ("tar", "--format=gnu".to_owned(), TAR),
        ("tar", format!("--format=posix {xattrs}"), PAX),
        ("tar", format!("--format=posix --sparse {xattrs}"), PAX),
        ("tar", "--format=gnu --sparse --gzip".to_owned(), TAR),
        ("tar", format!("--format=posix --xz {xattrs}"), PAX),
        ("tar", "--format=oldgnu --zstd".to_owned(), TAR),
        ("bsdtar", "--format=pax --xattrs".to_owned(), PAX),
        ("bsdtar", "--format=gnutar".to_owned(), TAR),
        ("bsdtar", "--format=pax --xattrs --zstd".to_owned(), PAX),
    ] {
        if !present(tool) {
            continue;
        }
        let archive = fixture.out.path().join("archive");
        let mut command = Command::new(tool);
        command.args(options.split(' ')).arg("-cf").arg(&archive).arg("-C").arg(fixture.root()).arg(".");
        run(&mut command);
        let what = format!("{tool} {options}");
        same(&tree::tar::load(&archive, &from()).unwrap(), &host, carries, &what);
        let input = File::open(&archive).unwrap();
        let read = tree::tar::read("standard input", input, tree::Limits::default(), &from()).unwrap();
        same(&read, &host, carries, &what);
    }
}

#[test]
fn cpio_archives_list_as_the_directory_they_were_made_of() {
    let fixture = Fixture::new();
    let host = host_listing(&fixture);
    for (tool, options) in [
        ("cpio", "--quiet -0 -o -H newc"),
        ("cpio", "--quiet -0 -o -H crc"),
        ("cpio", "--quiet -0 -o -H newc --reproducible"),
        ("bsdtar", "--format=newc -cf - -n --null -T -"),
    ] {
        if !present(tool) {
            continue;
        }
        let archive = fixture.out.path().join("archive");
        let mut command = Command::new(tool);
        command.args(options.split(' ')).current_dir(fixture.root()).env("LC_ALL", "C.UTF-8");
        let mut child = command.stdin(Stdio::piped()).stdout(File::create(&archive).unwrap()).spawn().unwrap();
        let mut names = child.stdin.take().unwrap();
        for line in &host.lines {
            names.write_all(&[b"./", line.path.as_bytes(), b"\0"].concat()).unwrap();
        }
        drop(names);
        assert!(child.wait().unwrap().success(), "{tool} {options}");
        let what = format!("{tool} {options}");
        same(&tree::cpio::load(&archive, &from()).unwrap(), &host, CPIO, &what);
    }
}

#[test]
fn files_of_more_than_4_gib_with_holes_are_read_where_they_stand() {
    const LEN: u64 = (4 << 30) + (1 << 20) + 1;
    let dir = tempfile::tempdir().unwrap();
    let out = tempfile::tempdir().unwrap();
    let disk = File::create(dir.path().join("disk")).unwrap();
    disk.set_len(LEN).unwrap();
    for n in 0..40 {
        disk.write_all_at(b"stretch", (1 << 20) * n).unwrap();
    }
    disk.write_all_at(b"the end", LEN - 7).unwrap();
    for (tool, options) in [
        ("tar", "--format=gnu --sparse"),
        ("tar", "--format=posix --sparse"),
        ("tar", "--format=posix --sparse --sparse-version=0.1"),
        ("bsdtar", "--format=pax"),
    ] {
        if !present(tool) {
            continue;
        }
        let archive = out.path().join("archive");
        run(Command::new(tool).args(options.split(' ')).arg("-cf").arg(&archive).arg("-C").arg(dir.path()).arg("disk"));
        assert!(archive.metadata().unwrap().len() < 2 << 20, "{tool} {options}: the archive has the holes");
        let tree = tree::tar::load(&archive, &from()).unwrap();
        let content = tree.get(&TreePath::new("disk").unwrap()).unwrap().content().unwrap();
        assert_eq!(content.len(), LEN, "{tool} {options}");
        let mut reader = content.reader().unwrap();
        for (at, expected) in
            [(0, &b"stretch\0"[..]), (39 << 20, b"stretch\0"), (1 << 32, b"\0\0\0\0\0\0\0\0"), (LEN - 8, b"\0the end")]
        {
            let mut bytes = [1; 8];
            reader.seek(SeekFrom::Start(at)).unwrap();
            reader.read_exact(&mut bytes).unwrap();
            assert_eq!(bytes, expected, "{tool} {options}: at {at}");
        }
        assert_eq!(reader.read(&mut [0; 8]).unwrap(), 0);
    }
}

#[test]
fn a_form_of_holes_that_is_not_read_is_named_with_the_way_out() {
    if !present("tar") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    File::create(dir.path().join("disk")).unwrap().set_len(1 << 20).unwrap();
    let archive = dir.path().join("archive");
    let name = std::ffi::OsStr::from_bytes(b"disk");
    let options = ["--format=posix", "--sparse", "--sparse-version=0.0", "-cf"];
    run(Command::new("tar").args(options).arg(&archive).arg("-C").arg(dir.path()).arg(name));
    let error = tree::tar::load(&archive, &from()).unwrap_err().to_string();
    assert!(error.contains("`disk`") && error.contains("without --sparse"), "{error}");
}
