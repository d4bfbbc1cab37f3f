//! Laying one tree over another. Files may be replaced, which is reported; a
//! directory never becomes something else and nothing else becomes one,
//! because what stood below it would silently go or land elsewhere.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use crate::{Entry, Escaped, Inode, Kind, LeafId, LeafSlot, Meta, Node, Provenance, Tree, TreePath};

/// A leaf that gave way to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    pub path: TreePath,
    pub old: Provenance,
    pub new: Provenance,
}

impl fmt::Display for Replaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} replaces {}", self.path, self.new, self.old)
    }
}

/// Every path at which the trees do not fit together, not only the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverlayError {
    pub clashes: Vec<Clash>,
}

/// One path that is a directory on one side and something else on the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clash {
    pub path: TreePath,
    /// What stands below, such as "a symlink to usr/lib".
    pub under: String,
    pub under_from: Provenance,
    /// What is laid over it.
    pub over: String,
    pub over_from: Provenance,
    pub remedy: String,
}

impl fmt::Display for Clash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, under, under_from, over, over_from, remedy } = self;
        write!(f, "{path} is {over} in {over_from}, but {under} in {under_from}: {remedy}")
    }
}

impl fmt::Display for OverlayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 10;
        for (n, clash) in self.clashes.iter().take(SHOWN).enumerate() {
            write!(f, "{}{clash}", if n == 0 { "" } else { "\n" })?;
        }
        match self.clashes.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "\nand {more} more of this kind"),
        }
    }
}

impl std::error::Error for OverlayError {}

impl Tree {
    /// Lays `over` on this tree. A directory that `over` states takes over the
    /// metadata of one that is here; one that it only implies does not. On an
    /// error this tree is what it was.
    pub fn lay_over(&mut self, over: Tree) -> Result<Vec<Replaced>, OverlayError> {
        let clashes = self.clashes(&over);
        if !clashes.is_empty() {
            return Err(OverlayError { clashes });
        }
        let Tree { entries, mut leaves } = over;
        let mut moved: HashMap<LeafId, LeafId> = HashMap::new();
        let mut replaced = Vec::new();
        for (path, mut entry) in entries {
            if let Inode::Leaf(id) = &mut entry.inode {
                *id = *moved.entry(*id).or_insert_with(|| {
                    self.leaves.push(leaves[id.0].take());
                    LeafId(self.leaves.len() - 1)
                });
            }
            let Some(present) = self.entries.get_mut(&path) else {
                self.entries.insert(path, entry);
                continue;
            };
            if matches!(entry.inode, Inode::Dir { implied: true, .. }) {
                continue;
            }
            let old = std::mem::replace(present, entry);
            if let Inode::Leaf(id) = old.inode {
                let new = present.provenance.clone();
                replaced.push(Replaced { path, old: old.provenance, new });
                self.unlink(id);
            }
        }
        Ok(replaced)
    }

    /// Lays a whole tree on the directory `at`, by the rules of
    /// [`Tree::lay_over`]; its root becomes that directory.
    pub fn graft(&mut self, at: &TreePath, sub: Tree) -> Result<Vec<Replaced>, OverlayError> {
        let mut rebased = Tree { entries: BTreeMap::new(), leaves: sub.leaves };
        let mut above = at.parent();
        let root = &sub.entries[&TreePath::root()];
        while let Some(dir) = above {
            above = dir.parent();
            let meta = Meta::new(0o755);
            let inode = Inode::Dir { meta, implied: true };
            rebased.entries.insert(dir, Entry { inode, provenance: root.provenance.clone() });
        }
        rebased.entries.extend(sub.entries.into_iter().map(|(path, entry)| (at.below(&path), entry)));
        self.lay_over(rebased)
    }

    /// A copy of what stands at and below `dir`, with `dir` as its root and
    /// hard links kept. `None` unless `dir` is a directory of this tree.
    pub fn subtree(&self, dir: &TreePath) -> Option<Tree> {
        if !self.get(dir)?.is_dir() {
            return None;
        }
        let mut sub = Tree { entries: BTreeMap::new(), leaves: Vec::new() };
        let mut copied: HashMap<LeafId, LeafId> = HashMap::new();
        for (path, entry) in self.below(dir) {
            let mut entry = entry.clone();
            if let Inode::Leaf(id) = &mut entry.inode {
                let new = *copied.entry(*id).or_insert_with(|| {
                    sub.leaves.push(self.leaves[id.0].clone().map(|slot| LeafSlot { links: 0, ..slot }));
                    LeafId(sub.leaves.len() - 1)
                });
                sub.leaves[new.0].as_mut().expect("it was just put there").links += 1;
                *id = new;
            }
            sub.entries.insert(path.strip_dir(dir).expect("it is below"), entry);
        }
        Some(sub)
    }

    fn clashes(&self, over: &Tree) -> Vec<Clash> {
        let mut clashes: Vec<Clash> = Vec::new();
        for (path, entry) in &over.entries {
            // Whatever is below a clash clashes for the same reason.
            if clashes.last().is_some_and(|clash| path.is_within(&clash.path)) {
                continue;
            }
            let Some(present) = self.entries.get(path) else { continue };
            let (under, over_it) = (self.item(path, present), over.item(path, entry));
            if under.is_dir() == over_it.is_dir() {
                continue;
            }
            clashes.push(Clash {
                path: path.clone(),
                under: describe(under.node),
                under_from: present.provenance.clone(),
                over: describe(over_it.node),
                over_from: entry.provenance.clone(),
                remedy: remedy(path, under.node, over),
            });
        }
        clashes
    }
}

fn describe(node: Node<'_>) -> String {
    match node {
        Node::Dir => "a directory".into(),
        Node::Leaf { kind, .. } => match kind {
            Kind::File(_) => "a file".into(),
            Kind::Symlink(target) => format!("a symlink to {}", Escaped(target)),
            Kind::CharDevice { .. } | Kind::BlockDevice { .. } => "a device node".into(),
            Kind::Fifo => "a fifo".into(),
            Kind::Socket => "a socket".into(),
        },
    }
}

fn remedy(path: &TreePath, under: Node<'_>, over: &Tree) -> String {
    let Node::Leaf { kind, .. } = under else {
        return "a directory is never replaced; lay entries below it, or give this one another name".into();
    };
    // A usrmerged root: lib -> usr/lib, and an overlay that has lib/x.
    if let Kind::Symlink(target) = kind
        && let Some(real) = aim(path, target)
    {
        // The first leaf below makes the best example.
        let below = over.walk_below(path).find(|item| !item.is_dir()).map_or(path, |item| item.path);
        let rest = below.strip_dir(path).expect("it was found below");
        return format!("write {} instead of {below}", real.below(&rest));
    }
    format!("give the overlay's directory another name, or leave {path} out of what it is laid on")
}

/// Where a symlink at `path` points to, if it says so without `..`.
fn aim(path: &TreePath, target: &[u8]) -> Option<TreePath> {
    if target.starts_with(b"/") {
        return TreePath::new(target).ok();
    }
    path.parent()?.join(target).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Content, Leaf};

    fn path(written: &str) -> TreePath {
        TreePath::new(written).unwrap()
    }

    /// A tree from words: `dir/`, `file=text`, `link->target`, `new==old`.
    fn tree(from: &str, words: &str) -> Tree {
        let mut tree = Tree::new();
        let from = Provenance::new(from);
        for word in words.split_whitespace() {
            if let Some((new, old)) = word.split_once("==") {
                tree.insert_link(path(new), &path(old), from.clone()).unwrap();
            } else if let Some((name, text)) = word.split_once('=') {
                let kind = Kind::File(Content::from(text.to_owned()));
                tree.insert_leaf(path(name), Leaf { meta: Meta::new(0o600), kind }, from.clone()).unwrap();
            } else if let Some((name, target)) = word.split_once("->") {
                tree.insert_symlink(path(name), target, from.clone()).unwrap();
            } else {
                tree.insert_dir(path(word), Meta::new(0o700), from.clone()).unwrap();
            }
        }
        tree
    }

    fn text(tree: &Tree, at: &str) -> String {
        let content = tree.get(&path(at)).unwrap().content().unwrap();
        String::from_utf8(content.read_all(99).unwrap()).unwrap()
    }

    #[test]
    fn new_entries_are_added_and_leaves_replaced_with_a_report() {
        let mut root = tree("tar root.tar", "etc/ etc/motd=old etc/keep=k");
        let replaced = root.lay_over(tree("overlay live", "etc/motd=new etc/more/x=x")).unwrap();
        let report: Vec<_> = replaced.iter().map(ToString::to_string).collect();
        assert_eq!(report, ["/etc/motd: overlay live replaces tar root.tar"]);
        assert_eq!((text(&root, "etc/motd"), text(&root, "etc/keep")), ("new".into(), "k".into()));
        assert!(root.contains(&path("etc/more/x")));
        assert_eq!(root.content_len(), 5, "the old leaf is gone");
    }

    #[test]
    fn stated_directories_take_over_the_metadata_and_implied_ones_do_not() {
        let mode = |tree: &Tree, at| tree.get(&path(at)).unwrap().meta.mode;
        let mut root = tree("root", "a/ b/x=1");
        root.lay_over(tree("implied", "a/y=2")).unwrap();
        assert_eq!((mode(&root, "a"), mode(&root, "b")), (0o700, 0o755));
        root.lay_over(tree("stated", "b/")).unwrap();
        assert_eq!(mode(&root, "b"), 0o700);
        assert_eq!(root.get(&path("b")).unwrap().provenance.to_string(), "stated");
    }

    #[test]
    fn a_directory_over_a_symlink_is_refused_with_the_path_to_write() {
        let mut root = tree("tar root.tar", "lib->usr/lib usr/lib/libc.so=c bin->/usr/bin");
        let error = root.lay_over(tree("overlay live", "lib/firmware/x=1 bin/y=2")).unwrap_err().to_string();
        assert_eq!(
            error,
            "/bin is a directory in overlay live, but a symlink to /usr/bin in tar root.tar: \
             write /usr/bin/y instead of /bin/y\n\
             /lib is a directory in overlay live, but a symlink to usr/lib in tar root.tar: \
             write /usr/lib/firmware/x instead of /lib/firmware/x"
        );
    }

    #[test]
    fn a_leaf_over_a_directory_is_refused_and_nothing_has_changed() {
        let mut root = tree("root", "a=1 etc/x=1");
        let error = root.lay_over(tree("overlay", "a=2 etc->private/etc new=3")).unwrap_err();
        assert_eq!(error.clashes.len(), 1);
        assert_eq!(
            (error.clashes[0].path.clone(), error.clashes[0].over.as_str()),
            (path("etc"), "a symlink to private/etc")
        );
        assert_eq!(text(&root, "a"), "1");
        assert!(!root.contains(&path("new")));
    }

    #[test]
    fn hard_links_stay_shared_and_only_the_replaced_name_parts() {
        let mut root = tree("root", "one=old two==one");
        root.lay_over(tree("overlay", "two=new three==two")).unwrap();
        assert_eq!((text(&root, "one"), text(&root, "two")), ("old".into(), "new".into()));
        let node = |at| match root.get(&path(at)).unwrap().node {
            Node::Leaf { id, links, .. } => (id, links),
            Node::Dir => panic!("{at} is a leaf"),
        };
        assert_eq!(node("two"), node("three"));
        assert_eq!((node("one").1, node("two").1), (1, 2));
    }

    #[test]
    fn a_tree_can_be_grafted_and_taken_out_again() {
        let mut medium = tree("medium", "boot/vmlinuz=k");
        let sub = tree("loader", "a=1 d/b==a");
        medium.graft(&path("boot/grub"), sub).unwrap();
        assert_eq!(text(&medium, "boot/grub/d/b"), "1");
        assert!(medium.graft(&path("boot/vmlinuz"), Tree::new()).is_err());
        let out = medium.subtree(&path("boot/grub/d")).unwrap();
        assert!(matches!(out.get(&path("b")).unwrap().node, Node::Leaf { links: 1, .. }));
        assert_eq!((out.len(), text(&out, "b").as_str()), (2, "1"));
        let both = medium.subtree(&path("boot/grub")).unwrap();
        assert!(matches!(both.get(&path("a")).unwrap().node, Node::Leaf { links: 2, .. }));
        assert!(medium.subtree(&path("boot/vmlinuz")).is_none() && medium.subtree(&path("no")).is_none());
    }
}
