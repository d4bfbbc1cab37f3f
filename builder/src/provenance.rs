//! Where every file of an image came from, in a record that the image carries:
//! what `liveroot explain` reads.
//!
//! ```text
//! liveroot-provenance 1.0
//! cause overlay live-user              counted from 0, in the order of use
//! cause profile live.toml:12
//! chain 0 1                            causes, the nearest first
//! tree /live/root.squashfs             the image that the next paths stand in
//! 0 /etc/motd                          chain and path
//! ```
//!
//! A path that is not named came from where the nearest directory above it did
//! that is: a root of 30,000 files from one archive is one line. Paths are
//! escaped as in a listing. The whole is compressed with zstd.

pub mod role;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use init::contract::FormatError;
use tree::{Escaped, Provenance, Tree, TreePath, unescape};

const HEADER: &str = "liveroot-provenance 1.0";
const MAJOR: &str = "liveroot-provenance 1.";
/// A record of a million paths has this much text.
const TEXT_MAX: u64 = 64 << 20;
const LEVEL: i32 = 19;

/// Where the record of an initramfs is that belongs to no medium.
pub fn beside(initramfs: &Path) -> PathBuf {
    let mut name = initramfs.as_os_str().to_owned();
    name.push(".provenance.zst");
    name.into()
}

#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("the record of provenance cannot be read")]
    Io(#[from] io::Error),
    #[error("the record of provenance is damaged")]
    Format(#[from] FormatError),
    #[error("the record of provenance is longer than any sound one")]
    TooLong,
}

/// Chains of causes by image and path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    trees: BTreeMap<TreePath, BTreeMap<TreePath, Provenance>>,
}

impl Record {
    /// The entries of `tree`, whose image stands at `at` of the medium; a tree
    /// that is the outer image stands at the root.
    pub fn add_tree(&mut self, at: TreePath, tree: &Tree) {
        let paths = self.trees.entry(at).or_default();
        // The directories that lead to the entry, with what was said last.
        let mut above: Vec<(&TreePath, &Provenance)> = Vec::new();
        for item in tree.walk() {
            while above.last().is_some_and(|(dir, _)| !item.path.is_within(dir)) {
                above.pop();
            }
            if above.last().is_none_or(|(_, said)| *said != item.provenance) {
                paths.insert(item.path.clone(), item.provenance.clone());
                if item.is_dir() {
                    above.push((item.path, item.provenance));
                }
            }
        }
    }

    pub fn add(&mut self, at: TreePath, path: TreePath, from: Provenance) {
        self.trees.entry(at).or_default().insert(path, from);
    }

    /// Where the entry at `path` of the image at `at` came from; `None` for an
    /// image that the record does not know.
    pub fn get(&self, at: &TreePath, path: &TreePath) -> Option<&Provenance> {
        let paths = self.trees.get(at)?;
        let mut path = Some(path.clone());
        while let Some(here) = path {
            if let Some(found) = paths.get(&here) {
                return Some(found);
            }
            path = here.parent();
        }
        None
    }

    pub fn encode(&self) -> io::Result<Vec<u8>> {
        zstd::encode_all(self.print().as_bytes(), LEVEL)
    }

    pub fn decode(bytes: impl Read) -> Result<Self, RecordError> {
        Self::decode_up_to(TEXT_MAX, bytes)
    }

    fn decode_up_to(max: u64, bytes: impl Read) -> Result<Self, RecordError> {
        let mut text = String::new();
        zstd::Decoder::new(bytes)?.take(max + 1).read_to_string(&mut text)?;
        if text.len() as u64 > max {
            return Err(RecordError::TooLong);
        }
        Ok(Self::parse(&text)?)
    }

    fn print(&self) -> String {
        let (mut causes, mut chains) = (Numbers::default(), Numbers::default());
        let mut body = String::new();
        for (at, paths) in &self.trees {
            let _ = writeln!(body, "tree {at}");
            for (path, from) in paths {
                let chain: Vec<usize> = from.causes().map(|cause| causes.of(cause.to_owned())).collect();
                let _ = writeln!(body, "{} {path}", chains.of(chain));
            }
        }
        let mut text = format!("{HEADER}\n");
        for cause in causes.in_order() {
            let _ = writeln!(text, "cause {}", escape(&cause));
        }
        for chain in chains.in_order() {
            let numbers: Vec<_> = chain.iter().map(ToString::to_string).collect();
            let _ = writeln!(text, "chain {}", numbers.join(" "));
        }
        text + &body
    }

    fn parse(text: &str) -> Result<Self, FormatError> {
        if !text.starts_with(MAJOR) {
            return Err(FormatError { line: 1, problem: format!("it should begin with `{MAJOR}`") });
        }
        let (mut causes, mut chains) = (Vec::<String>::new(), Vec::<Provenance>::new());
        let mut record = Self::default();
        let mut tree: Option<TreePath> = None;
        for (n, line) in text.lines().enumerate().skip(1) {
            let bad = |problem: &str| FormatError { line: n + 1, problem: problem.into() };
            let (key, value) = line.split_once(' ').ok_or_else(|| bad("it has no value"))?;
            let path = || {
                let path = unescape(value).and_then(|bytes| TreePath::new(bytes).ok());
                path.ok_or_else(|| bad("what should be a path is none"))
            };
            match key {
                "cause" => {
                    let cause = unescape(value).and_then(|bytes| String::from_utf8(bytes).ok());
                    causes.push(cause.ok_or_else(|| bad("a cause is not text"))?);
                }
                "chain" => {
                    let mut chain: Option<Provenance> = None;
                    for number in value.split(' ') {
                        let cause = number.parse::<usize>().ok().and_then(|number| causes.get(number));
                        let cause = cause.ok_or_else(|| bad("a chain names a cause that is not there"))?.as_str();
                        chain = Some(chain.map_or_else(|| Provenance::new(cause), |chain| chain.because(cause)));
                    }
                    chains.push(chain.ok_or_else(|| bad("a chain is empty"))?);
                }
                "tree" => tree = Some(path()?),
                number => {
                    let chain = number.parse::<usize>().ok().and_then(|number| chains.get(number));
                    let chain = chain.ok_or_else(|| bad("a path names a chain that is not there"))?;
                    let tree = tree.clone().ok_or_else(|| bad("a path stands before its image"))?;
                    record.add(tree, path()?, chain.clone());
                }
            }
        }
        Ok(record)
    }
}

/// Things numbered in the order in which they first came.
struct Numbers<T>(BTreeMap<T, usize>);

impl<T> Default for Numbers<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: Ord> Numbers<T> {
    fn of(&mut self, thing: T) -> usize {
        let next = self.0.len();
        *self.0.entry(thing).or_insert(next)
    }

    fn in_order(self) -> Vec<T> {
        let mut things: Vec<_> = self.0.into_iter().collect();
        things.sort_by_key(|(_, number)| *number);
        things.into_iter().map(|(thing, _)| thing).collect()
    }
}

/// A cause is a sentence: its blanks stay, what could break a line does not.
fn escape(cause: &str) -> String {
    cause.split(' ').map(|word| Escaped(word.as_bytes()).to_string()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tree::Content;

    fn path(written: &str) -> TreePath {
        TreePath::new(written).unwrap()
    }

    fn sample() -> Record {
        let mut root = Tree::new();
        let archive = Provenance::new("mmdebstrap bookworm").because("profile live.toml:5: root.from");
        for n in 0..500 {
            root.insert_file(path(&format!("usr/share/file-{n}")), 0o644, Content::from(vec![]), archive.clone())
                .unwrap();
        }
        let overlay = Provenance::new("overlay a\nb").because("profile live.toml:9");
        root.insert_file(path("usr/share/motd"), 0o644, Content::from(vec![]), overlay).unwrap();
        let mut record = Record::default();
        record.add_tree(path("live/root.squashfs"), &root);
        record.add_tree(TreePath::root(), &Tree::new());
        record
    }

    #[test]
    fn every_path_finds_its_chain_again() {
        let record = Record::decode(&*sample().encode().unwrap()).unwrap();
        assert_eq!(record, sample());
        let said = |at: &str, of: &str| record.get(&path(at), &path(of)).map(ToString::to_string);
        let root = "live/root.squashfs";
        assert_eq!(said(root, "usr/share/file-7").unwrap(), "mmdebstrap bookworm <- profile live.toml:5: root.from");
        assert_eq!(said(root, "usr/share/motd").unwrap(), "overlay a\nb <- profile live.toml:9");
        assert_eq!(said("boot/initramfs.img", "init"), None);
    }

    #[test]
    fn what_came_from_one_place_is_said_once() {
        let text = sample().print();
        assert_eq!(text.lines().filter(|line| line.contains("/usr")).count(), 2, "{text}");
        assert_eq!(text.matches("mmdebstrap").count(), 1, "{text}");
    }

    #[test]
    fn a_damaged_record_is_an_error() {
        let text = sample().print();
        for (from, to) in [("1.0", "2.0"), ("chain 0", "chain 77"), ("tree /", "tree /../"), ("\ntree", "\nx")] {
            assert!(Record::parse(&text.replacen(from, to, 1)).is_err(), "{to}");
        }
        let packed = sample().encode().unwrap();
        assert!(Record::decode(&packed[..packed.len() / 2]).is_err());
        assert!(matches!(Record::decode_up_to(100, &*packed), Err(RecordError::TooLong)));
    }
}
