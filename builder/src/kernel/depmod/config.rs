//! depmod.d(5): which of several kmods of one name is taken.

use regex_lite::Regex;
use tree::TreePath;

use crate::elf::{ElfError, Sysroot, sysroot};

/// Where depmod looks, and earlier ones hide later ones' files of equal name.
/// The last is where a merged /usr has the one before it.
const DIRS: [&str; 5] = ["etc/depmod.d", "run/depmod.d", "usr/local/lib/depmod.d", "lib/depmod.d", "usr/lib/depmod.d"];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// What comes first wins.
    pub(super) search: Vec<Search>,
    /// Paths below lib/modules/RELEASE without their endings; the last wins.
    pub(super) overrides: Vec<String>,
    /// Directories elsewhere in the root.
    pub(super) externals: Vec<TreePath>,
    /// Names that are passed over.
    pub(super) excludes: Vec<String>,
    /// Lines that say nothing that depmod knows.
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Search {
    Dir(String),
    /// Everything that no other rule is about.
    BuiltIn,
    External,
}

impl Default for Config {
    /// What an administrator put into `updates` wins.
    fn default() -> Self {
        Self {
            search: vec![Search::Dir("updates".into())],
            overrides: Vec::new(),
            externals: Vec::new(),
            excludes: Vec::new(),
            warnings: Vec::new(),
        }
    }
}

impl Config {
    /// The configuration that a root has for itself.
    pub fn load(root: &dyn Sysroot, release: &str) -> Result<Self, ElfError> {
        let mut files: Vec<(Vec<u8>, String, String)> = Vec::new();
        for dir in DIRS {
            let dir = TreePath::new(dir).expect("a plain path");
            let Some(real) = sysroot::real_dir(root, &dir)? else { continue };
            let listed = root.list(&real).map_err(|source| ElfError::Read { path: dir.clone(), source })?;
            for name in listed.into_iter().filter(|name| name.ends_with(b".conf") && !name.starts_with(b".")) {
                if files.iter().all(|(other, ..)| *other != name) {
                    let path = dir.join(&name).map_err(|source| ElfError::Path { path: dir.clone(), source })?;
                    files.push((name, path.to_string(), sysroot::read_text(root, &path)?));
                }
            }
        }
        files.sort();
        let files: Vec<_> = files.iter().map(|(_, path, text)| (path.clone(), text.as_str())).collect();
        Ok(Self::parse(&files, release))
    }

    /// Files as name and text, in the order they are read in.
    pub fn parse(files: &[(String, &str)], release: &str) -> Self {
        let mut config = Self { search: Vec::new(), ..Self::default() };
        for (name, text) in files {
            // A line ends in `\` to go on in the next.
            for line in text.replace("\\\n", "").lines() {
                let words: Vec<&str> = line.split_ascii_whitespace().collect();
                if !words.is_empty() && !line.starts_with('#') && config.add(&words, release).is_none() {
                    config.warnings.push(format!("{name}: `{}` is passed over", line.escape_debug()));
                }
            }
        }
        if config.search.is_empty() {
            config.search = Self::default().search;
        }
        config
    }

    fn add(&mut self, words: &[&str], release: &str) -> Option<()> {
        match *words {
            ["search", ref dirs @ ..] => self.search.extend(dirs.iter().map(|dir| match *dir {
                "built-in" => Search::BuiltIn,
                "external" => Search::External,
                dir => Search::Dir(dir.into()),
            })),
            ["override", kmod, kernels, dir, ..] => {
                if is_for(kernels, release)? {
                    self.overrides.push(format!("{dir}/{kmod}"));
                }
            }
            ["external", kernels, dir, ..] => {
                if is_for(kernels, release)? {
                    self.externals.push(TreePath::new(dir).ok()?);
                }
            }
            ["exclude", ref names @ ..] => self.excludes.extend(names.iter().map(ToString::to_string)),
            // Known to module-init-tools, and without effect since.
            ["include" | "make_map_files", ..] => {}
            _ => return None,
        }
        Some(())
    }
}

/// A regular expression, or a bare `*`.
fn is_for(kernels: &str, release: &str) -> Option<bool> {
    Some(kernels == "*" || Regex::new(kernels).ok()?.is_match(release))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Config {
        Config::parse(&[("x.conf".into(), text)], "4.4.4-test")
    }

    #[test]
    fn rules_for_this_kernel_are_taken() {
        let config = parse(
            "# comment\nsearch external foobar \\\n  built-in\noverride a 4.4.4 dir\noverride b * other\n\
             override c 5\\..* gone\nexternal 4\\.4\\..* /opt/kmods\nexclude .git backup\ninclude x\n",
        );
        let dir = |name: &str| Search::Dir(name.into());
        assert_eq!(config.search, [Search::External, dir("foobar"), Search::BuiltIn]);
        assert_eq!(config.overrides, ["dir/a", "other/b"]);
        assert_eq!(config.externals, [TreePath::new("opt/kmods").unwrap()]);
        assert_eq!(config.excludes, [".git", "backup"]);
        assert_eq!(config.warnings, [""; 0]);
    }

    #[test]
    fn without_a_search_line_updates_win_and_odd_lines_are_told() {
        let config = parse("override a\nexternal ( /x\nnonsense\n");
        assert_eq!(config.search, Config::default().search);
        assert_eq!(config.warnings.len(), 3, "{:?}", config.warnings);
        assert_eq!(config.warnings[0], "x.conf: `override a` is passed over");
    }

    #[test]
    fn a_file_in_etc_hides_its_namesake() {
        let mut root = tree::Tree::new();
        for (at, text) in [
            ("etc/depmod.d/b.conf", "search mine"),
            ("lib/depmod.d/a.conf", "exclude x"),
            ("usr/lib/depmod.d/b.conf", "search theirs"),
            ("etc/depmod.d/README", "search no"),
        ] {
            let from = tree::Provenance::new("test");
            root.insert_file(TreePath::new(at).unwrap(), 0o644, text.to_string().into(), from).unwrap();
        }
        let config = Config::load(&root, "1").unwrap();
        assert_eq!((config.search, config.excludes), (vec![Search::Dir("mine".into())], vec!["x".to_string()]));
    }
}
