//! What liveroot put into an image about itself.

use anyhow::{Context, Result};
use init::contract::{initramfs, medium};
use init::facts::ImageFacts;
use init::manifest::{MAX_LEN, Manifest, Part};
use tree::{Content, Tree, TreePath};

/// More than the facts of any image.
const FACTS_MAX: u64 = 1 << 16;

/// The manifest of a medium; `None` if it is not one of ours.
pub fn manifest(medium: &Tree) -> Result<Option<Manifest>> {
    let Some(content) = file(medium, &on_medium(medium::MANIFEST)) else { return Ok(None) };
    let bytes = content.read_all(MAX_LEN as u64).context("the manifest")?;
    Manifest::parse(&bytes).map(Some).context("the manifest")
}

/// The facts of an initramfs; `None` if it is not one of ours.
pub fn facts(initramfs: &Tree) -> Result<Option<ImageFacts>> {
    let path = TreePath::new(initramfs::FACTS).expect("a plain path");
    let Some(content) = file(initramfs, &path) else { return Ok(None) };
    let text = String::from_utf8(content.read_all(FACTS_MAX)?).context("the image's facts")?;
    ImageFacts::parse(&text).map(Some).context("the image's facts")
}

/// Where a file of ours stands on a medium.
pub fn on_medium(name: &str) -> TreePath {
    TreePath::new(format!("{}/{name}", medium::DIR)).expect("a plain path")
}

/// A part as it is found on the medium.
pub fn part<'a>(medium: &'a Tree, part: &Part) -> Option<&'a Content> {
    medium.get(&TreePath::new(format!("{}/{}", medium::DIR, part.path)).ok()?)?.content()
}

pub(crate) fn file(tree: &Tree, path: &TreePath) -> Option<Content> {
    tree.get(path)?.content().cloned()
}
