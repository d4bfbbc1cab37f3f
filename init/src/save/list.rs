//! What is to be saved: a path on each line, relative to the root; one that
//! begins with a minus, in which `*` and `?` may stand, is left out with all below.

use crate::glob;

/// Of a system that says nothing else.
pub(super) const USUAL: &str = "home\nroot\n";

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct List {
    /// None is within another one.
    pub paths: Vec<String>,
    excluded: Vec<String>,
}

impl List {
    /// `#` begins a comment. With sentences about the lines that are no paths.
    pub(super) fn parse(text: &str) -> (Self, Vec<String>) {
        let (mut list, mut notes) = (Self::default(), Vec::new());
        for line in text.lines() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (excludes, path) = line.strip_prefix('-').map_or((false, line), |path| (true, path));
            let names: Vec<&str> = path.trim().split('/').filter(|name| !matches!(*name, "" | ".")).collect();
            if names.contains(&"..") {
                notes.push(format!("`{line}` climbs out with `..`: it is passed over"));
                continue;
            }
            let paths = if excludes { &mut list.excluded } else { &mut list.paths };
            paths.push(names.join("/"));
        }
        list.paths.sort_unstable();
        let mut outermost: Vec<String> = Vec::new();
        for path in list.paths {
            if !outermost.iter().any(|above| is_within(&path, above)) {
                outermost.push(path);
            }
        }
        list.paths = outermost;
        (list, notes)
    }

    pub(super) fn excludes(&self, path: &str) -> bool {
        self.excluded.iter().any(|glob| glob::matches(glob, path))
    }
}

fn is_within(path: &str, above: &str) -> bool {
    above.is_empty() || path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_paths_and_what_is_left_out_of_them() {
        let text =
            "# mine\n /home/ \netc/ssh\nhome/tc/.cache\nhome-made\n\n-home/*/.cache\n- /etc/ssh/moduli\n../etc\nhome\n";
        let (list, notes) = List::parse(text);
        assert_eq!(list.paths, ["etc/ssh", "home", "home-made"]);
        assert_eq!(notes.len(), 1, "{notes:?}");
        for (path, excluded) in
            [("home/tc/.cache", true), ("home/tc/.cached", false), ("etc/ssh/moduli", true), ("etc/ssh", false)]
        {
            assert_eq!(list.excludes(path), excluded, "{path}");
        }
        assert_eq!(List::parse("/\nhome\n").0.paths, [""]);
        assert_eq!(List::parse(USUAL).0.paths, ["home", "root"]);
    }
}
