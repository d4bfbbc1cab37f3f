//! Which modules a set of modules needs, from GRUB's own list of dependencies.

use std::collections::{HashMap, HashSet};

/// The `modules` and all they depend on, each behind its dependencies: GRUB's
/// kernel links them one by one in the order they stand in the core image.
///
/// `moddep` is moddep.lst: `name: dependency dependency`. It comes in the
/// order in which grub-mkimage takes them, which reads each line from its end.
pub(super) fn closure<'a>(moddep: &'a str, modules: &[&'a str]) -> Vec<&'a str> {
    let line = |line: &'a str| line.split_once(':').map(|(name, rest)| (name.trim(), rest));
    let dependencies: HashMap<&str, &str> = moddep.lines().filter_map(line).collect();
    let mut order = Vec::new();
    let mut seen = HashSet::new();
    // A stack of our own: the list is foreign, and may go in circles or deep.
    let mut stack: Vec<(&str, bool)> = modules.iter().rev().map(|name| (*name, false)).collect();
    while let Some((name, is_open)) = stack.pop() {
        if is_open {
            order.push(name);
        } else if seen.insert(name) {
            stack.push((name, true));
            let needs = dependencies.get(name).copied().unwrap_or_default();
            stack.extend(needs.split_whitespace().map(|need| (need, false)));
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_come_first_and_each_module_once() {
        let moddep = "normal: crypto boot extcmd\nboot:\nextcmd:\ncrypto: extcmd\nlinux: boot normal\n";
        assert_eq!(closure(moddep, &["boot", "linux"]), ["boot", "extcmd", "crypto", "normal", "linux"]);
    }

    #[test]
    fn a_circle_ends() {
        assert_eq!(closure("a: b\nb: a\n", &["a"]), ["b", "a"]);
        assert_eq!(closure("", &["a"]), ["a"]);
    }
}
