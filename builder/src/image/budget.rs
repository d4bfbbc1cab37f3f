//! `[initramfs] max_size`: an image for a small partition or a slow medium
//! should not grow unnoticed.

use std::collections::BTreeMap;
use std::fmt;

use tree::Tree;

use crate::progress::bytes;
use crate::provenance::role;

/// The initramfs is larger than its profile allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverBudget {
    len: u64,
    max: u64,
    /// Reasons and what they bring in, unpacked; the largest first.
    reasons: Vec<(String, u64)>,
}

/// Enough to see what is worth dropping.
const SHOWN: usize = 10;

impl std::error::Error for OverBudget {}

impl fmt::Display for OverBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the initramfs is {}, over its max_size of {}", bytes(self.len), bytes(self.max))?;
        write!(f, "; what it is for, and how much that is unpacked:")?;
        for (reason, len) in self.reasons.iter().take(SHOWN) {
            write!(f, "\n{:>12}  {reason}", bytes(*len))?;
        }
        Ok(())
    }
}

/// Holds an archive of `len` bytes to `max`; `tree` is what went into it.
pub(super) fn check(tree: &Tree, len: u64, max: Option<u64>) -> Result<(), OverBudget> {
    let Some(max) = max.filter(|max| len > *max) else { return Ok(()) };
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    for item in tree.walk() {
        let Some(content) = item.content() else { continue };
        let mut wanted_by: Vec<&str> = role::wanted_by(item.provenance).collect();
        if wanted_by.is_empty() {
            wanted_by = item.provenance.causes().collect();
        }
        *sums.entry(wanted_by.join(" <- ")).or_default() += content.len();
    }
    let mut reasons: Vec<(String, u64)> = sums.into_iter().collect();
    reasons.sort_by_key(|(_, len)| std::cmp::Reverse(*len));
    Err(OverBudget { len, max, reasons })
}

#[cfg(test)]
mod tests {
    use tree::{Provenance, TreePath};

    use super::*;

    #[test]
    fn the_error_says_what_to_drop_first() {
        let mut tree = Tree::new();
        for (name, len, causes) in [
            ("a.ko", 4096, ["kmod a", "@net"]),
            ("b.ko", 2048, ["kmod b", "@net"]),
            ("c.ko", 5000, ["kmod c", "@live"]),
        ] {
            let from = Provenance::new(causes[0]).because(causes[1]);
            tree.insert_file(TreePath::new(name).unwrap(), 0o644, vec![0; len].into(), from).unwrap();
        }
        assert_eq!(check(&tree, 2000, Some(2000)), Ok(()));
        assert_eq!(check(&tree, 2000, None), Ok(()));
        let told = check(&tree, 3000, Some(2048)).unwrap_err().to_string();
        assert_eq!(
            told,
            "the initramfs is 2.93 KiB, over its max_size of 2.00 KiB; what it is for, and how much that is unpacked:\n    \
             6.00 KiB  @net\n    4.88 KiB  @live"
        );
    }
}
