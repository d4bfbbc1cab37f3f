//! The kernel's own list of an initramfs, the input of `gen_init_cpio`:
//!
//! ```text
//! # a comment
//! dir   /dev 755 0 0
//! nod   /dev/console 600 0 0 c 5 1
//! file  /init ${OUT}/init 755 0 0 [/sbin/init …]
//! slink /bin/sh busybox 777 0 0
//! pipe  /run/pipe 600 0 0
//! sock  /run/socket 600 0 0
//! ```
//!
//! Law: the kernel's usr/gen_init_cpio.c.

mod print;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::host::{self, HostError, Owners};
use crate::{Conflict, Escaped, Kind, Leaf, Meta, PathError, Provenance, Tree, TreePath, archive};

pub use print::{Unlistable, print};

/// What is wrong on which line of which list.
#[derive(Debug, thiserror::Error)]
#[error("{list}:{line}: {problem}")]
pub struct SpecError {
    pub list: String,
    pub line: usize,
    pub problem: SpecProblem,
}

#[derive(Debug, thiserror::Error)]
pub enum SpecProblem {
    #[error("cannot read the list: {0}")]
    Unreadable(std::io::Error),
    #[error("`{0}` is no kind of entry (file, dir, nod, slink, pipe, sock)")]
    Kind(String),
    #[error("{kind} takes `{usage}`")]
    Usage { kind: &'static str, usage: &'static str },
    #[error("`{text}` is not {what}")]
    Number { text: String, what: &'static str },
    #[error("`${{{0}}}` is not set")]
    Unset(String),
    #[error("{0}")]
    Path(#[from] PathError),
    #[error("{0}")]
    Target(&'static str),
    #[error("{0}")]
    Conflict(#[from] Conflict),
    #[error("{}", chain(.0))]
    Host(#[from] HostError),
}

/// The list at `path`, with the process's environment; locations are relative
/// to the list's directory.
pub fn load(path: &Path, from: &Provenance) -> Result<Tree, SpecError> {
    let list = path.display().to_string();
    let text = std::fs::read(path).map_err(|e| SpecError {
        list: list.clone(),
        line: 0,
        problem: SpecProblem::Unreadable(e),
    })?;
    let base = path.parent().unwrap_or(Path::new(""));
    parse(&list, &text, base, |name| std::env::var_os(name), from)
}

/// The tree that the list describes. Files are looked at, relative to `base`,
/// but not read; `env` gives what stands for `${NAME}` in a location. A later
/// line takes the place of an earlier one, as it would in the archive.
pub fn parse(
    list: &str,
    text: &[u8],
    base: &Path,
    env: impl Fn(&str) -> Option<OsString>,
    from: &Provenance,
) -> Result<Tree, SpecError> {
    let mut tree = Tree::new();
    for (n, line) in text.split(|b| *b == b'\n').enumerate() {
        let words: Vec<&[u8]> = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect();
        if words.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let mut from_line = Provenance::new(format!("{list}:{}", n + 1));
        for cause in from.causes() {
            from_line = from_line.because(cause);
        }
        add(&mut tree, &words, base, &env, &from_line).map_err(|problem| SpecError {
            list: list.into(),
            line: n + 1,
            problem,
        })?;
    }
    Ok(tree)
}

fn add(
    tree: &mut Tree,
    words: &[&[u8]],
    base: &Path,
    env: &impl Fn(&str) -> Option<OsString>,
    from: &Provenance,
) -> Result<(), SpecProblem> {
    let usage = |kind, usage| Err(SpecProblem::Usage { kind, usage });
    match *words {
        [b"dir", name, mode, uid, gid] => Ok(tree.put_dir(TreePath::new(name)?, meta(mode, uid, gid)?, from)?),
        [b"file", name, location, mode, uid, gid, ref links @ ..] => {
            let mut leaf = host::file(&expand(location, base, env)?, Owners::Root)?;
            leaf.meta = Meta { mtime: leaf.meta.mtime, ..meta(mode, uid, gid)? };
            let first = TreePath::new(name)?;
            tree.put_leaf(first.clone(), leaf, from)?;
            for link in links {
                tree.put_link(TreePath::new(link)?, &first, from)?;
            }
            Ok(())
        }
        [b"nod", name, mode, uid, gid, kind @ (b"b" | b"c"), major, minor] => {
            let (major, minor) = (decimal(major, "a major number")?, decimal(minor, "a minor number")?);
            let kind =
                if kind == b"c" { Kind::CharDevice { major, minor } } else { Kind::BlockDevice { major, minor } };
            Ok(tree.put_leaf(TreePath::new(name)?, Leaf { meta: meta(mode, uid, gid)?, kind }, from)?)
        }
        [b"slink", name, target, mode, uid, gid] => {
            let kind = archive::symlink(target.to_vec()).map_err(SpecProblem::Target)?;
            Ok(tree.put_leaf(TreePath::new(name)?, Leaf { meta: meta(mode, uid, gid)?, kind }, from)?)
        }
        [b"pipe", name, mode, uid, gid] => {
            Ok(tree.put_leaf(TreePath::new(name)?, Leaf { meta: meta(mode, uid, gid)?, kind: Kind::Fifo }, from)?)
        }
        [b"sock", name, mode, uid, gid] => {
            Ok(tree.put_leaf(TreePath::new(name)?, Leaf { meta: meta(mode, uid, gid)?, kind: Kind::Socket }, from)?)
        }
        [b"dir", ..] => usage("dir", "dir NAME MODE UID GID"),
        [b"file", ..] => usage("file", "file NAME LOCATION MODE UID GID [HARD-LINK…]"),
        [b"nod", ..] => usage("nod", "nod NAME MODE UID GID c|b MAJOR MINOR"),
        [b"slink", ..] => usage("slink", "slink NAME TARGET MODE UID GID"),
        [b"pipe", ..] => usage("pipe", "pipe NAME MODE UID GID"),
        [b"sock", ..] => usage("sock", "sock NAME MODE UID GID"),
        _ => Err(SpecProblem::Kind(Escaped(words[0]).to_string())),
    }
}

fn meta(mode: &[u8], uid: &[u8], gid: &[u8]) -> Result<Meta, SpecProblem> {
    let octal = std::str::from_utf8(mode).ok().and_then(|text| u32::from_str_radix(text, 8).ok());
    let mode = octal.filter(|mode| *mode <= 0o7777).ok_or_else(|| not(mode, "an octal mode"))?;
    Ok(Meta { uid: decimal(uid, "a user id")?, gid: decimal(gid, "a group id")?, ..Meta::new(mode) })
}

fn decimal(text: &[u8], what: &'static str) -> Result<u32, SpecProblem> {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or_else(|| not(text, what))
}

fn not(text: &[u8], what: &'static str) -> SpecProblem {
    SpecProblem::Number { text: Escaped(text).to_string(), what }
}

/// Puts the environment into `${NAME}` once: what it gives is not expanded
/// again. `gen_init_cpio` takes an unset variable for empty and then misses
/// the file; here the variable is what is named.
fn expand(location: &[u8], base: &Path, env: &impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, SpecProblem> {
    let mut out = Vec::new();
    let mut rest = location;
    while let Some(start) = rest.windows(2).position(|pair| pair == b"${") {
        let Some(len) = rest[start + 2..].iter().position(|b| *b == b'}') else { break };
        let name = String::from_utf8_lossy(&rest[start + 2..start + 2 + len]);
        let value = env(&name).ok_or_else(|| SpecProblem::Unset(name.into_owned()))?;
        out.extend_from_slice(&rest[..start]);
        out.extend(value.into_vec());
        rest = &rest[start + 2 + len + 1..];
    }
    out.extend_from_slice(rest);
    Ok(base.join(OsStr::from_bytes(&out)))
}

/// The list's line is the whole message, so the cause stands in it.
fn chain(error: &HostError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listing::{self, With};

    fn parse_in(base: &Path, text: &str) -> Result<Tree, SpecError> {
        let env = |name: &str| (name == "OUT").then(|| OsString::from("sub"));
        parse("initramfs.list", text.as_bytes(), base, env, &Provenance::new("profile a.toml"))
    }

    #[test]
    fn every_kind_of_entry_arrives_and_a_later_line_wins() {
        let base = tempfile::tempdir().unwrap();
        std::fs::create_dir(base.path().join("sub")).unwrap();
        let init = base.path().join("sub/init");
        std::fs::write(&init, "#!").unwrap();
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(9);
        std::fs::File::open(&init).unwrap().set_modified(time).unwrap();
        let tree = parse_in(
            base.path(),
            "# comment\n\ndir /dev 700 0 0\ndir /dev 755 0 5\nnod dev/console 600 0 0 c 5 1\n\
             nod /dev/sda 660 0 6 b 8 0\nfile /init ${OUT}/init 755 0 0 /sbin/init /init\n\
             slink /sh old 777 0 0\nslink /sh\tbusybox 777 1 2\npipe /p 600 0 0\nsock /s 600 0 0\n",
        )
        .unwrap();
        assert_eq!(
            listing::print(&tree, With::Metadata).unwrap(),
            "d 0755 0:0 0 /\nd 0755 0:5 0 /dev\nc 0600 0:0 0 /dev/console dev=5:1\nb 0660 0:6 0 /dev/sda dev=8:0\n\
             f 0755 0:0 9 /init size=2 links=2\np 0600 0:0 0 /p\ns 0600 0:0 0 /s\nd 0755 0:0 9 /sbin\n\
             f 0755 0:0 9 /sbin/init size=2 links=2 link=/init\nl 0777 1:2 0 /sh to=busybox\n"
        );
        let console = tree.get(&TreePath::new("dev/console").unwrap()).unwrap();
        assert_eq!(console.provenance.to_string(), "initramfs.list:5 <- profile a.toml");
    }

    #[test]
    fn a_wrong_line_is_named_with_its_number_and_what_is_right() {
        let base = tempfile::tempdir().unwrap();
        for (line, problem) in [
            ("dri /a 755 0 0", "`dri` is no kind of entry (file, dir, nod, slink, pipe, sock)"),
            ("dir /a 755 0", "dir takes `dir NAME MODE UID GID`"),
            ("nod /a 755 0 0 x 1 1", "nod takes `nod NAME MODE UID GID c|b MAJOR MINOR`"),
            ("nod /a 755 0 0 c 1 -1", "`-1` is not a minor number"),
            ("dir /a 855 0 0", "`855` is not an octal mode"),
            ("dir /a 755 root 0", "`root` is not a user id"),
            ("file /a ${NO}/x 755 0 0", "`${NO}` is not set"),
            ("dir /a/../b 755 0 0", "path `/a/../b` climbs out of the tree with `..`"),
            (
                "slink /f/x y 777 0 0",
                "/f/x should be below /f, which is not a directory (initramfs.list:1 <- profile a.toml)",
            ),
        ] {
            let error = parse_in(base.path(), &format!("pipe /f 600 0 0\n{line}\n")).unwrap_err();
            assert_eq!(error.to_string(), format!("initramfs.list:2: {problem}"));
        }
        let error = parse_in(base.path(), "file /a missing 644 0 0").unwrap_err().to_string();
        assert!(
            error.starts_with("initramfs.list:1: ") && error.contains("missing: cannot look at it: No such"),
            "{error}"
        );
    }
}
