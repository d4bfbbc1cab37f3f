//! What changed from one listing to another.

use std::collections::BTreeMap;
use std::fmt;

use super::{Line, Listing, What};
use crate::{Escaped, TreePath};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    Added(Line),
    Removed(Line),
    Changed { old: Line, new: Line },
}

/// By path, in the order of the paths.
pub fn diff(old: &Listing, new: &Listing) -> Vec<Difference> {
    let mut paths: BTreeMap<&TreePath, (Option<&Line>, Option<&Line>)> = BTreeMap::new();
    for line in &old.lines {
        paths.entry(&line.path).or_default().0 = Some(line);
    }
    for line in &new.lines {
        paths.entry(&line.path).or_default().1 = Some(line);
    }
    let differs = |sides| match sides {
        (Some(old), Some(new)) if old == new => None,
        (Some(old), Some(new)) => Some(Difference::Changed { old: Line::clone(old), new: Line::clone(new) }),
        (Some(old), None) => Some(Difference::Removed(Line::clone(old))),
        (None, Some(new)) => Some(Difference::Added(Line::clone(new))),
        (None, None) => None,
    };
    paths.into_values().filter_map(differs).collect()
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added(line) => write!(f, "+ {line}"),
            Self::Removed(line) => write!(f, "- {line}"),
            Self::Changed { old, new } if old.what.letter() != new.what.letter() => write!(f, "- {old}\n+ {new}"),
            Self::Changed { old, new } => write!(f, "~ {}{}", new.path, Changes { old, new }),
        }
    }
}

struct Changes<'a> {
    old: &'a Line,
    new: &'a Line,
}

impl fmt::Display for Changes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { old, new } = self;
        if old.mode != new.mode {
            write!(f, " mode {:04o} -> {:04o}", old.mode, new.mode)?;
        }
        if (old.uid, old.gid) != (new.uid, new.gid) {
            write!(f, " owner {}:{} -> {}:{}", old.uid, old.gid, new.uid, new.gid)?;
        }
        if old.mtime != new.mtime {
            write!(f, " mtime {} -> {}", old.mtime, new.mtime)?;
        }
        match (&old.what, &new.what) {
            (a, b) if a == b => {}
            (What::File { size: a, .. }, What::File { size: b, .. }) if a == b => write!(f, " content")?,
            (a, b) => write!(f, "{a} ->{b}")?,
        }
        if old.links != new.links {
            write!(f, " links {} -> {}", old.links, new.links)?;
        }
        if old.link != new.link {
            let name = |link: &Option<TreePath>| link.as_ref().map_or("none".into(), ToString::to_string);
            write!(f, " link {} -> {}", name(&old.link), name(&new.link))?;
        }
        for name in old.xattrs.keys().filter(|name| !new.xattrs.contains_key(*name)) {
            write!(f, " xattr -{}", Escaped(name))?;
        }
        for (name, value) in &new.xattrs {
            match old.xattrs.get(name) {
                None => write!(f, " xattr +{}", Escaped(name))?,
                Some(old) if old != value => write!(f, " xattr ~{}", Escaped(name))?,
                Some(_) => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    #[test]
    fn each_change_is_said_in_its_own_words() {
        let old = parse(
            "d 0755 0:0 0 /\nf 0644 0:0 5 /a size=1 xattr=user.x:00 xattr=user.y:00\nf 0644 0:0 0 /gone size=1\n\
             l 0777 0:0 0 /kind to=a\nl 0777 0:0 0 /link to=a\nf 0644 0:0 0 /same size=1\n",
        );
        let new = parse(
            "d 0755 0:0 0 /\nf 0600 1:2 6 /a size=2 xattr=user.x:01 xattr=user.z:00\nd 0755 0:0 0 /kind\n\
             l 0777 0:0 0 /link to=b\np 0644 0:0 0 /new\nf 0644 0:0 0 /same size=1\n",
        );
        let said: Vec<_> = diff(&old.unwrap(), &new.unwrap()).iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "~ /a mode 0644 -> 0600 owner 0:0 -> 1:2 mtime 5 -> 6 size=1 -> size=2 \
                 xattr -user.y xattr ~user.x xattr +user.z",
                "- f 0644 0:0 0 /gone size=1",
                "- l 0777 0:0 0 /kind to=a\n+ d 0755 0:0 0 /kind",
                "~ /link to=a -> to=b",
                "+ p 0644 0:0 0 /new",
            ]
        );
    }
}
