//! The bytes of an initramfs by what they are there for.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use serde::Serialize;
use tree::{Item, Node, Provenance, Tree};

use crate::progress::bytes;
use crate::provenance::role::{self, Part, Role};

/// In JSON as docs/reading.md says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    pub reason: &'static str,
    #[serde(flatten)]
    pub size: Size,
    /// The largest first.
    pub parts: Vec<ReasonPart>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReasonPart {
    pub name: String,
    #[serde(flatten)]
    pub size: Size,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Size {
    /// Of files; the content of hard links counts once.
    pub bytes: u64,
    pub entries: usize,
}

impl Size {
    fn add(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.entries += 1;
    }
}

/// The reasons, the largest first. `chain` is what is known of an entry; where
/// nothing is, its path has to do. Directories are there for what is in them.
pub fn sum<'a>(tree: &'a Tree, chain: impl Fn(&Item<'_>) -> Option<&'a Provenance>) -> Vec<Reason> {
    let mut seen = HashSet::new();
    let mut roles: BTreeMap<Role, BTreeMap<String, Size>> = BTreeMap::new();
    for item in tree.walk() {
        let Node::Leaf { id, .. } = item.node else { continue };
        let Part { role, name } = chain(&item).map_or_else(|| role::guessed(&item), |from| role::told(&item, from));
        let content = item.content().filter(|_| seen.insert(id));
        roles.entry(role).or_default().entry(name).or_default().add(content.map_or(0, tree::Content::len));
    }
    let mut reasons: Vec<Reason> = roles.into_iter().map(|(role, parts)| Reason::of(role, parts)).collect();
    // Stable: what is of one size keeps the order of the roles.
    reasons.sort_by_key(|reason| std::cmp::Reverse(reason.size.bytes));
    reasons
}

impl Reason {
    fn of(role: Role, parts: BTreeMap<String, Size>) -> Self {
        let mut parts: Vec<_> = parts.into_iter().map(|(name, size)| ReasonPart { name, size }).collect();
        parts.sort_by_key(|part| std::cmp::Reverse(part.size.bytes));
        let mut size = Size::default();
        for part in &parts {
            size.bytes += part.size.bytes;
            size.entries += part.size.entries;
        }
        Self { reason: role.name(), size, parts }
    }
}

/// The reasons as a table with bars.
#[derive(Debug)]
pub struct Chart<'a>(pub &'a [Reason]);

/// Parts of each reason that are shown: enough to see what is worth dropping.
const SHOWN: usize = 8;
const BAR: u64 = 40;

impl fmt::Display for Chart<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total: u64 = self.0.iter().map(|reason| reason.size.bytes).sum();
        let mut line = |indent: usize, name: &str, size: &Size| {
            let share = |of: u64| (size.bytes * of).checked_div(total).unwrap_or(0);
            let (name, percent) = (format!("{:indent$}{name}", ""), share(100));
            let bar = "#".repeat(share(BAR) as usize);
            let row = format!("{name:<30} {:>11} {percent:>3} % {:>5}  {bar}", bytes(size.bytes), size.entries);
            writeln!(f, "{}", row.trim_end())
        };
        for Reason { reason, size, parts } in self.0 {
            line(0, reason, size)?;
            let (shown, rest) = parts.split_at(parts.len().min(SHOWN));
            shown.iter().try_for_each(|part| line(2, &part.name, &part.size))?;
            if !rest.is_empty() {
                let (bytes, entries) =
                    (rest.iter().map(|part| part.size.bytes), rest.iter().map(|part| part.size.entries));
                let size = Size { bytes: bytes.sum(), entries: entries.sum() };
                line(2, &format!("and {} more", rest.len()), &size)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tree::TreePath;

    use super::*;

    fn sample() -> Tree {
        let mut tree = Tree::new();
        let path = |written: &str| TreePath::new(written).unwrap();
        for (at, len, cause) in [
            ("lib/modules/6.1/kernel/fs/ext4/ext4.ko", 600, "kmod ext4"),
            ("lib/modules/6.1/kernel/fs/jbd2/jbd2.ko", 100, "kmod jbd2"),
            ("init", 300, "liveroot's /init"),
        ] {
            tree.insert_file(path(at), 0o644, vec![0; len].into(), Provenance::new(cause)).unwrap();
        }
        tree.insert_link(path("lib/modules/6.1/kernel/fs/ext4/twin.ko"), &path("init"), Provenance::new("kmod twin"))
            .unwrap();
        tree
    }

    #[test]
    fn every_byte_has_one_reason_and_hard_links_count_once() {
        let tree = sample();
        let reasons = sum(&tree, |item| tree.get(item.path).map(|item| item.provenance));
        let total: u64 = reasons.iter().map(|reason| reason.size.bytes).sum();
        assert_eq!(total, tree.content_len());
        assert_eq!(
            Chart(&reasons).to_string(),
            "kmods                                700 B  70 %     3  ############################\n  \
               fs/ext4                            600 B  60 %     2  ########################\n  \
               fs/jbd2                            100 B  10 %     1  ####\n\
             init                                 300 B  30 %     1  ############\n  \
               /init                              300 B  30 %     1  ############\n"
        );
    }

    #[test]
    fn an_empty_archive_has_no_reasons() {
        assert_eq!(Chart(&sum(&Tree::new(), |_| None)).to_string(), "");
    }
}
