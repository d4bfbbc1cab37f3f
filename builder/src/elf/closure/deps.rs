//! Who needs which library, in the form of pax-utils' lddtree.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use tree::{Provenance, TreePath};

use super::{Closure, ElfError, Malformed, Process};
use crate::elf::Sysroot;

/// What one program or library needs to be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deps {
    pub path: TreePath,
    pub interpreter: Option<String>,
    needed: Vec<String>,
    libraries: BTreeMap<String, Library>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Library {
    path: String,
    needed: Vec<String>,
}

/// Reads a file of the sysroot with all that it needs. What is missing is no
/// error: a plug-in's libraries may be found by the RPATH of its program.
pub fn deps(sysroot: &dyn Sysroot, path: &TreePath) -> Result<Deps, ElfError> {
    let from = Provenance::new("asked for");
    let mut closure = Closure::new(sysroot);
    let missing = || ElfError::NoProgram { path: path.clone(), from: from.clone() };
    let (real, content) = closure.place(path, &from)?.ok_or_else(missing)?;
    let not_elf = || ElfError::Malformed { path: path.clone(), source: Malformed::NotElf };
    let object = closure.object(&real, &content)?.ok_or_else(not_elf)?;
    let process = closure.start(object, &real, &from, |error| match error {
        ElfError::Missing { .. } => Ok(()),
        error => Err(error),
    })?;
    Ok(Deps::of(path, &process))
}

impl Deps {
    fn of(path: &TreePath, process: &Process) -> Self {
        let (program, libraries) = process.loaded.split_first().expect("a process has its program");
        let mut known = BTreeMap::new();
        for library in libraries {
            let entry = Library { path: library.path.to_string(), needed: library.object.needed.clone() };
            known.insert(library.name.clone(), entry);
        }
        let interpreter = program.object.interpreter.clone();
        if let Some(interpreter) = &interpreter {
            let entry = Library { path: interpreter.clone(), needed: Vec::new() };
            known.insert(base_name(interpreter).to_string(), entry);
        }
        Self { path: path.clone(), interpreter, needed: program.object.needed.clone(), libraries: known }
    }

    /// A path a line, each once; of what is missing, its name.
    pub fn list(&self) -> String {
        let mut text = format!("{}\n", self.path);
        let mut shown = Shown::new(self);
        let loader = self.interpreter.as_deref().map(base_name);
        if let Some(interpreter) = &self.interpreter {
            text.extend([interpreter, "\n"]);
        }
        shown.walk(self, &self.needed, &mut |_, name, library| {
            if Some(name) != loader {
                text += library.map_or(name, |library| &library.path);
                text.push('\n');
            }
        });
        text
    }

    /// Each library once, below the first that asks for it.
    pub fn tree(&self) -> String {
        let mut text = match &self.interpreter {
            Some(interpreter) => format!("{} (interpreter => {interpreter})\n", self.path),
            None => format!("{}\n", self.path),
        };
        Shown::new(self).walk(self, &self.needed, &mut |depth, name, library| {
            let path = library.map_or("not found", |library| &library.path);
            let _ = writeln!(text, "{:depth$}{name} => {path}", "", depth = 4 * depth);
        });
        text
    }
}

/// Names that were shown, or will be a level further up.
struct Shown<'a>(BTreeSet<&'a str>);

impl<'a> Shown<'a> {
    fn new(deps: &'a Deps) -> Self {
        let loader = deps.interpreter.as_deref().map(base_name);
        Self(deps.needed.iter().map(String::as_str).chain(loader).collect())
    }

    /// Depth first; nothing is shown twice, so that a ring ends too.
    fn walk(&mut self, deps: &'a Deps, names: &'a [String], show: &mut dyn FnMut(usize, &str, Option<&Library>)) {
        let mut open: Vec<(usize, &'a str)> = names.iter().rev().map(|name| (1, name.as_str())).collect();
        while let Some((depth, name)) = open.pop() {
            let library = deps.libraries.get(name);
            show(depth, name, library);
            let needed = library.map_or(&[][..], |library| &library.needed);
            let new: Vec<&str> = needed.iter().map(String::as_str).filter(|name| self.0.insert(name)).collect();
            open.extend(new.into_iter().rev().map(|name| (depth + 1, name)));
        }
    }
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use tree::{Provenance, Tree};

    use super::*;
    use crate::elf::fake::{Dynamic, dynamic};

    const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

    fn root() -> Tree {
        let mut root = Tree::new();
        let mut insert = |at: &str, of: Dynamic<'_>| {
            let path = TreePath::new(at).unwrap();
            root.insert_file(path, 0o755, dynamic(&of).into(), Provenance::new("test")).unwrap();
        };
        let library = |needed| Dynamic { needed, ..Dynamic::default() };
        let program = Dynamic { interpreter: LOADER, needed: &["liba.so", "libc.so.6"], ..Dynamic::default() };
        insert("bin/x", program);
        insert("lib64/ld-linux-x86-64.so.2", library(&[]));
        insert("lib/liba.so", library(&["libb.so", "libgone.so", "libc.so.6"]));
        insert("usr/lib/libb.so", library(&["liba.so", "libc.so.6"]));
        insert("lib/libc.so.6", library(&["ld-linux-x86-64.so.2"]));
        root
    }

    #[test]
    fn each_library_is_shown_once_below_the_first_that_asks_for_it() {
        let deps = deps(&root(), &TreePath::new("bin/x").unwrap()).unwrap();
        assert_eq!(
            deps.tree(),
            "/bin/x (interpreter => /lib64/ld-linux-x86-64.so.2)\n    \
             liba.so => /lib/liba.so\n        \
             libb.so => /usr/lib/libb.so\n        \
             libgone.so => not found\n    \
             libc.so.6 => /lib/libc.so.6\n"
        );
        let wanted =
            "/bin/x\n/lib64/ld-linux-x86-64.so.2\n/lib/liba.so\n/usr/lib/libb.so\nlibgone.so\n/lib/libc.so.6\n";
        assert_eq!(deps.list(), wanted);
    }

    #[test]
    fn what_is_no_elf_file_is_an_error_that_says_so() {
        let mut root = root();
        let path = TreePath::new("bin/script").unwrap();
        root.insert_file(path.clone(), 0o755, b"#!/bin/x\n"[..].into(), Provenance::new("test")).unwrap();
        let error = deps(&root, &path).unwrap_err();
        assert!(matches!(error, ElfError::Malformed { source: Malformed::NotElf, .. }), "{error}");
    }
}
