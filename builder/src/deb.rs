//! Debian packages unpacked in process: an ar archive with a control and a
//! data tar in it (deb(5)). Maintainer scripts are never looked at.

mod kept;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tree::{ArchiveError, Content, Limits, Provenance, Tree, TreePath};

pub use kept::{Keep, Kept};

/// What a package's control file says of it; relations as they are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    pub package: String,
    pub version: String,
    pub architecture: String,
    pub depends: String,
}

#[derive(Debug, thiserror::Error)]
pub enum DebError {
    #[error("{} cannot be read", .path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is not a Debian package: {problem}", .path.display())]
    Structure { path: PathBuf, problem: String },
    #[error("{} cannot be unpacked", .path.display())]
    Tar { path: PathBuf, source: ArchiveError },
}

/// No package of today unpacks to more.
const LIMITS: Limits = Limits { bytes: 16 << 30, entries: 1_000_000, paths: 1 << 30 };

/// The files of the package, as its data tar has them.
pub fn load(path: &Path, from: &Provenance) -> Result<Tree, DebError> {
    unpack(path, "data.tar", LIMITS, from)
}

pub fn control(path: &Path) -> Result<Control, DebError> {
    const LIMITS: Limits = Limits { bytes: 64 << 20, entries: 1000, paths: 1 << 20 };
    let structure = |problem: String| DebError::Structure { path: path.into(), problem };
    let tree = unpack(path, "control.tar", LIMITS, &Provenance::default())?;
    let file = TreePath::new("control").ok().and_then(|at| tree.get(&at)?.content().cloned());
    let file = file.ok_or_else(|| structure("its control.tar has no file `control`".into()))?;
    let bytes = file.read_all(1 << 20).map_err(|source| DebError::Read { path: path.into(), source })?;
    parse_control(&String::from_utf8_lossy(&bytes))
        .map_err(|field| structure(format!("its control file has no field `{field}`")))
}

/// The first paragraph of a control file (deb-control(5)); `Err` names the
/// field that is not there.
fn parse_control(text: &str) -> Result<Control, &'static str> {
    let field = |name: &'static str| {
        let mut lines = text
            .lines()
            .take_while(|line| !line.is_empty())
            .skip_while(|line| line.split_once(':').is_none_or(|(key, _)| !key.eq_ignore_ascii_case(name)));
        let mut value = lines.next()?.split_once(':')?.1.trim().to_string();
        for folded in lines.take_while(|line| line.starts_with([' ', '\t'])) {
            value.push(' ');
            value.push_str(folded.trim());
        }
        Some(value)
    };
    Ok(Control {
        package: field("Package").ok_or("Package")?,
        version: field("Version").ok_or("Version")?,
        architecture: field("Architecture").ok_or("Architecture")?,
        depends: field("Depends").unwrap_or_default(),
    })
}

fn unpack(path: &Path, stem: &str, limits: Limits, from: &Provenance) -> Result<Tree, DebError> {
    let (name, content) = tar(path, stem)?;
    let input = content.open().map_err(|source| DebError::Read { path: path.into(), source })?;
    tree::tar::read(&name, input, limits, from).map_err(|source| DebError::Tar { path: path.into(), source })
}

/// One of its two tars, as it stands there, and what to call it in messages.
fn tar(path: &Path, stem: &str) -> Result<(String, Content), DebError> {
    let read = |source| DebError::Read { path: path.into(), source };
    let file = File::open(path).map_err(read)?;
    let len = file.metadata().map_err(read)?.len();
    let members = members(path, &file, len)?;
    let structure = |problem: String| DebError::Structure { path: path.into(), problem };
    if members.first().is_none_or(|first| first.name != "debian-binary") {
        return Err(structure("its first member is not `debian-binary`".into()));
    }
    let is_wanted =
        |member: &&Member| member.name.strip_prefix(stem).is_some_and(|end| matches!(end, "" | ".gz" | ".xz" | ".zst"));
    let Some(member) = members.iter().find(is_wanted) else {
        let names: Vec<_> = members.iter().map(|member| member.name.as_str()).collect();
        return Err(structure(format!("it has no {stem}, .gz, .xz or .zst, only {}", names.join(", "))));
    };
    let name = format!("{} ({})", path.display(), member.name);
    let content = Content::span(Arc::new(file), name.as_str(), member.offset, member.len);
    Ok((name, content))
}

#[derive(Debug)]
struct Member {
    name: String,
    offset: u64,
    len: u64,
}

/// Walks the member headers of an ar archive of `len` bytes (ar(5)).
fn members(path: &Path, file: &File, len: u64) -> Result<Vec<Member>, DebError> {
    const MAGIC: &[u8] = b"!<arch>\n";
    const HEADER: u64 = 60;
    /// dpkg refuses unknown members; no package has more than a handful.
    const MAX_MEMBERS: usize = 64;
    let structure = |problem: String| DebError::Structure { path: path.into(), problem };
    let read = |buf: &mut [u8], at| {
        file.read_exact_at(buf, at).map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof => structure(format!("it is cut: it ends at byte {len}")),
            _ => DebError::Read { path: path.into(), source },
        })
    };
    let mut magic = [0; MAGIC.len()];
    read(&mut magic, 0)?;
    if magic != MAGIC {
        return Err(structure("it does not begin as an ar archive".into()));
    }
    let mut members = Vec::new();
    let mut at = MAGIC.len() as u64;
    while at < len {
        let mut header = [0; HEADER as usize];
        read(&mut header, at)?;
        let field = |range: std::ops::Range<usize>| String::from_utf8_lossy(&header[range]).trim_end().to_string();
        let size: Option<u64> = field(48..58).parse().ok();
        let Some(size) = size.filter(|_| header.ends_with(b"`\n")) else {
            return Err(structure(format!("there is no member header at byte {at}")));
        };
        let offset = at + HEADER;
        if size > len - offset.min(len) {
            return Err(structure(format!("it is cut: a member of {size} bytes begins at byte {offset} of {len}")));
        }
        if members.len() == MAX_MEMBERS {
            return Err(structure(format!("it has more than {MAX_MEMBERS} members")));
        }
        // GNU ar ends names with a slash, dpkg does not.
        let name = field(0..16).trim_end_matches('/').to_string();
        members.push(Member { name, offset, len: size });
        at = offset + size + size % 2;
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes = b"!<arch>\n".to_vec();
        for (name, body) in members {
            writeln!(bytes, "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`", 0, 0, 0, "100644", body.len()).unwrap();
            bytes.extend(*body);
            bytes.extend(vec![b'\n'; body.len() % 2]);
        }
        bytes
    }

    fn tar(files: &[(&str, &str)]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, path, text.as_bytes()).unwrap();
        }
        tar.into_inner().unwrap()
    }

    pub(super) fn package() -> Vec<u8> {
        let control =
            "Package: tool\nVersion: 1:2-3\nArchitecture: amd64\nDepends: libc6 (>= 2),\n libx\nDescription: x\n";
        let mut data = xz2::write::XzEncoder::new(Vec::new(), 0);
        data.write_all(&tar(&[("./usr/bin/tool", "program")])).unwrap();
        ar(&[
            ("debian-binary", b"2.0\n"),
            ("control.tar.zst/", &zstd::bulk::compress(&tar(&[("./control", control)]), 1).unwrap()),
            ("data.tar.xz", &data.finish().unwrap()),
        ])
    }

    pub(super) fn written(bytes: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn a_package_gives_its_files_and_its_control() {
        let file = written(&package());
        let tree = load(file.path(), &Provenance::new("deb")).unwrap();
        let tool = tree.get(&TreePath::new("usr/bin/tool").unwrap()).unwrap();
        assert_eq!(tool.content().unwrap().read_all(99).unwrap(), b"program");
        let wanted = Control {
            package: "tool".into(),
            version: "1:2-3".into(),
            architecture: "amd64".into(),
            depends: "libc6 (>= 2), libx".into(),
        };
        assert_eq!(control(file.path()).unwrap(), wanted);
    }

    #[test]
    fn a_cut_package_is_an_error_with_its_path_wherever_it_is_cut() {
        let whole = package();
        for len in 0..whole.len() - 1 {
            let file = written(&whole[..len]);
            let error = load(file.path(), &Provenance::default()).expect_err(&format!("{len} bytes"));
            assert!(error.to_string().contains(file.path().to_str().unwrap()), "{error}");
        }
    }

    #[test]
    fn what_is_no_package_is_told_in_words() {
        for (bytes, words) in [
            (
                &b"!<arch>\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"[..],
                "no member header at byte 8",
            ),
            (b"PK\x03\x04xxxxxx", "does not begin as an ar archive"),
            (&ar(&[("data.tar", b"")]), "first member is not"),
            (&ar(&[("debian-binary", b"2.0\n"), ("data.tar.lzma", b"x")]), "only debian-binary, data.tar.lzma"),
        ] {
            let error = load(written(bytes).path(), &Provenance::default()).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
