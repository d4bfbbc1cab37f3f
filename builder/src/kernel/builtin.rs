//! What is in the kernel image itself: asking for it is right, and nothing
//! has to be packed.

use std::collections::BTreeSet;

use tree::Tree;

use super::catalog::CatalogError;
use super::modinfo::{canonical, kmod_name};
use super::pattern::path_matches;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Builtin {
    names: BTreeSet<String>,
    paths: Vec<String>,
    /// Canonical alias and the name that has it.
    aliases: Vec<(String, String)>,
}

impl Builtin {
    pub fn load(modules: &Tree) -> Result<Self, CatalogError> {
        let read = |path| super::read_text(modules, path).map_err(|source| CatalogError::List { path, source });
        Ok(Self::parse(&read("modules.builtin")?, &read("modules.builtin.modinfo")?))
    }

    /// `list` has a path a line; `modinfo`, strings `name.key=value` each
    /// ended by NUL (kernel: Documentation/kbuild/kbuild.rst).
    pub fn parse(list: &str, modinfo: &str) -> Self {
        let file = |line: &str| kmod_name(line.rsplit('/').next()?.as_bytes());
        let names = list.lines().filter_map(file).collect();
        let paths = list.lines().map(String::from).collect();
        let alias = |entry: &str| {
            let (name, alias) = entry.split_once(".alias=")?;
            Some((canonical(alias), canonical(name)))
        };
        Self { names, paths, aliases: modinfo.split('\0').filter_map(alias).collect() }
    }

    pub fn has(&self, name: &str) -> bool {
        self.names.contains(&canonical(name))
    }

    /// True for a name, and for anything one of their aliases matches.
    pub fn answers_to(&self, name: &str) -> bool {
        let name = canonical(name);
        self.names.contains(&name) || self.aliases.iter().any(|(alias, _)| init::glob::matches(alias, &name))
    }

    /// Paths as in [`super::pattern::Pick::Path`].
    pub fn has_path(&self, pattern: &str) -> bool {
        self.paths.iter().any(|path| path_matches(pattern, path.as_bytes()))
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builtins_answer_to_name_alias_and_path() {
        let list = "kernel/drivers/input/keyboard/atkbd.ko\nkernel/crypto/aes-generic.ko\n";
        let modinfo = "aes_generic.alias=crypto-aes\0aes_generic.license=GPL\0atkbd.alias=serio:ty06pr*\0";
        let builtin = Builtin::parse(list, modinfo);
        assert!(builtin.has("aes-generic") && !builtin.has("aes"));
        for name in ["atkbd", "crypto-aes", "serio:ty06pr00id00ex00"] {
            assert!(builtin.answers_to(name), "{name}");
        }
        assert!(builtin.has_path("kernel/drivers/input") && !builtin.has_path("kernel/drivers/in"));
    }
}
