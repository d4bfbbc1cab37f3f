//! FAT images made by anybody, read without trusting a byte of them: every
//! chain is bounded by the clusters there are, and none of them is used twice.

mod entry;
mod volume;

use std::io;

use tree::{Conflict, Content, Kind, Leaf, Meta, PathError, Provenance, Tree, TreePath};

use crate::read::budget::{Budget, Exceeded};
use entry::Found;
use volume::{Stretch, Volume};

#[derive(Debug, thiserror::Error)]
pub enum FatReadError {
    #[error("cannot read the image")]
    Io(#[from] io::Error),
    #[error("this is no FAT image: {0}")]
    NotAnImage(&'static str),
    #[error("it is said to end at byte {end}, and the image has {len}: it is cut short or damaged")]
    PastEnd { end: u64, len: u64 },
    #[error("{path}: damaged: {problem}")]
    Damaged { path: TreePath, problem: &'static str },
    #[error("{path}: {what} than any sound image has")]
    Excessive { path: TreePath, what: &'static str },
    #[error("{path}: a name in it cannot be used")]
    Name { path: TreePath, source: PathError },
    #[error("{path}: a file in parts cannot be read from within another file in parts")]
    Nested { path: TreePath },
    #[error(transparent)]
    Conflict(#[from] Conflict),
}

impl From<Exceeded> for FatReadError {
    fn from(Exceeded { path, what }: Exceeded) -> Self {
        Self::Excessive { path, what }
    }
}

const DIR_MODE: u32 = 0o755;
const FILE_MODE: u32 = 0o644;

/// The whole tree. Contents are parts of `image`, and read when they are
/// opened.
pub fn read(image: &Content) -> Result<Tree, FatReadError> {
    let at = image.open_at()?;
    let mut volume = Volume::open(image, &at)?;
    let mut budget = Budget::new(image.len());
    let provenance = Provenance::new("the FAT image");
    let mut tree = Tree::new();
    let mut pending = vec![(TreePath::root(), volume.root()?)];
    while let Some((parent, stretches)) = pending.pop() {
        let mut directory = Vec::new();
        for (offset, len) in stretches {
            budget.metadata(&parent, len)?;
            directory.extend(at.read(offset, len)?);
        }
        for Found { name, is_dir, first, len, mtime } in entry::entries(&directory) {
            if name.contains('/') || matches!(&*name, "" | "." | "..") {
                let problem = "a name that no directory can hold";
                return Err(FatReadError::Damaged { path: parent, problem });
            }
            let path = parent.join(&name).map_err(|source| FatReadError::Name { path: parent.clone(), source })?;
            budget.entry(&path)?;
            if is_dir {
                let meta = Meta { mtime, ..Meta::new(DIR_MODE) };
                tree.insert_dir(path.clone(), meta, provenance.clone())?;
                let stretches = volume.directory(&path, first)?;
                pending.push((path, stretches));
            } else {
                let content = content(image, &path, &volume.file(&path, first, len)?)?;
                let leaf = Leaf { meta: Meta { mtime, ..Meta::new(FILE_MODE) }, kind: Kind::File(content) };
                tree.insert_leaf(path, leaf, provenance.clone())?;
            }
        }
    }
    Ok(tree)
}

fn content(image: &Content, path: &TreePath, stretches: &[Stretch]) -> Result<Content, FatReadError> {
    let content = match stretches {
        [] => Some(Content::from(Vec::new())),
        [(offset, len)] => image.slice(*offset, *len),
        parts => image.gather(parts),
    };
    // Clusters stand within the image, so nothing else is wrong.
    content.ok_or_else(|| FatReadError::Nested { path: path.clone() })
}
