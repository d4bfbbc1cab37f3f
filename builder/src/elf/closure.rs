//! Programs with all they need to be loaded, breadth first as the dynamic
//! loader does it: ld.so(8), musl's ldso/dynlink.c.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use tree::{Content, Kind, Leaf, Meta, Provenance, TreePath};

use super::object::{Abi, Object};
use super::search::{self, SystemDirs, absolute};
use super::sysroot::{Step, Sysroot, steps};
use super::{ElfError, Malformed, script};

/// One entry that has to be in the image.
#[derive(Debug, Clone)]
pub struct Needed {
    pub path: TreePath,
    /// A regular file, or a symlink on the way to one.
    pub leaf: Leaf,
    pub from: Provenance,
}

/// Where a bare name after `env` is looked for.
const PATH: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// The programs themselves, the interpreters of scripts, dynamic loaders and
/// libraries, each once, in the order in which they were found to be needed.
pub fn closure(sysroot: &dyn Sysroot, programs: &[TreePath], from: &Provenance) -> Result<Vec<Needed>, ElfError> {
    let mut closure = Closure { sysroot, needed: Vec::new(), placed: BTreeSet::new(), objects: BTreeMap::new() };
    let mut open: VecDeque<(TreePath, Provenance)> =
        programs.iter().map(|path| (path.clone(), cause(format!("program {path}"), from))).collect();
    let mut seen = BTreeSet::new();
    while let Some((path, from)) = open.pop_front() {
        if seen.insert(path.clone()) {
            open.extend(closure.add_program(&path, &from)?);
        }
    }
    Ok(closure.needed)
}

struct Closure<'a> {
    sysroot: &'a dyn Sysroot,
    needed: Vec<Needed>,
    placed: BTreeSet<TreePath>,
    /// By real path: every program has libc, which is read once.
    objects: BTreeMap<TreePath, Option<Rc<Object>>>,
}

/// An object of the process that a program becomes.
struct Loaded {
    object: Rc<Object>,
    /// `$ORIGIN`: of the file for a program, of the path it was found by for a
    /// library.
    dir: TreePath,
    /// Who asked for it first: an index, smaller than its own.
    parent: Option<usize>,
    from: Provenance,
}

impl Closure<'_> {
    /// Places a program and returns the programs that run it, if it is a script.
    fn add_program(&mut self, path: &TreePath, from: &Provenance) -> Result<Vec<(TreePath, Provenance)>, ElfError> {
        let missing = || ElfError::NoProgram { path: path.clone(), from: from.clone() };
        let (real, content) = self.place(path, from)?.ok_or_else(missing)?;
        if let Some(object) = self.object(&real, &content)? {
            self.add_libraries(object, &real, from)?;
            return Ok(Vec::new());
        }
        let read = |source| ElfError::Read { path: real.clone(), source };
        let from = cause(format!("interpreter of {path}"), from);
        let mut programs = Vec::new();
        for name in script::interpreters(&content).map_err(read)? {
            programs.push((self.find_program(&name, &from)?, from.clone()));
        }
        Ok(programs)
    }

    fn find_program(&self, name: &str, from: &Provenance) -> Result<TreePath, ElfError> {
        if let Some(path) = absolute(name) {
            return Ok(path);
        }
        for dir in PATH.iter().filter_map(|dir| absolute(dir)) {
            let Ok(path) = dir.join(name) else { continue };
            if !steps(self.sysroot, &path)?.is_empty() {
                return Ok(path);
            }
        }
        Err(ElfError::NotInPath { name: name.to_string(), from: from.clone() })
    }

    fn add_libraries(&mut self, program: Rc<Object>, path: &TreePath, from: &Provenance) -> Result<(), ElfError> {
        let interpreter = program.interpreter.clone();
        let dirs = search::system_dirs(self.sysroot, interpreter.as_deref(), program.abi)?;
        let mut names = BTreeSet::new();
        let parent_dir = |path: &TreePath| path.parent().unwrap_or_default();
        if let Some(interpreter) = &interpreter {
            self.add_loader(interpreter, &mut names, from)?;
        }
        let is_musl = interpreter.as_deref().and_then(search::musl_arch).is_some();
        let mut loaded = vec![Loaded { object: program, dir: parent_dir(path), parent: None, from: from.clone() }];
        let mut next = 0;
        while next < loaded.len() {
            let object = loaded[next].object.clone();
            for name in &object.needed {
                if (is_musl && is_musl_itself(name)) || !names.insert(name.clone()) {
                    continue;
                }
                let from = cause(format!("library {name}"), &loaded[next].from);
                let (path, object) = self.find_library(name, next, &loaded, &dirs, is_musl, &from)?;
                names.extend(object.soname.clone());
                loaded.push(Loaded { object, dir: parent_dir(&path), parent: Some(next), from });
            }
            next += 1;
        }
        Ok(())
    }

    /// The loader is a library too: libc asks for it by its name.
    fn add_loader(
        &mut self,
        interpreter: &str,
        names: &mut BTreeSet<String>,
        from: &Provenance,
    ) -> Result<(), ElfError> {
        let from = cause(format!("loader {interpreter}"), from);
        let missing = || ElfError::Missing { name: interpreter.to_string(), from: from.clone() };
        let path = absolute(interpreter).ok_or_else(missing)?;
        let (real, content) = self.place(&path, &from)?.ok_or_else(missing)?;
        names.extend(interpreter.rsplit('/').next().map(String::from));
        if let Some(object) = self.object(&real, &content)? {
            names.extend(object.soname.clone());
        }
        Ok(())
    }

    /// Finds, places and reads the library that object `by` asks for.
    fn find_library(
        &mut self,
        name: &str,
        by: usize,
        loaded: &[Loaded],
        dirs: &SystemDirs,
        is_musl: bool,
        from: &Provenance,
    ) -> Result<(TreePath, Rc<Object>), ElfError> {
        let abi = loaded[by].object.abi;
        if name.contains('/') {
            let path = absolute(&expand(name, &loaded[by].dir, abi));
            let found = path.map(|path| self.fitting(&path, abi, from)).transpose()?.flatten();
            return found.ok_or_else(|| ElfError::Missing { name: name.to_string(), from: from.clone() });
        }
        let own = own_dirs(by, loaded, is_musl);
        for dir in own.iter().chain(&dirs.cached).chain(&dirs.builtin) {
            let Ok(path) = dir.join(name) else { continue };
            if let Some(found) = self.fitting(&path, abi, from)? {
                if !own.contains(dir) && !dirs.builtin.contains(dir) {
                    self.link_for_loader(name, &path, dirs, from)?;
                }
                return Ok(found);
            }
        }
        Err(ElfError::Missing { name: name.to_string(), from: from.clone() })
    }

    /// The image has no ldconfig cache, so a library that only the cache knows
    /// gets a symlink beside libc, where the loader evidently looks by itself.
    fn link_for_loader(
        &mut self,
        name: &str,
        path: &TreePath,
        dirs: &SystemDirs,
        from: &Provenance,
    ) -> Result<(), ElfError> {
        for dir in &dirs.builtin {
            let (Ok(libc), Ok(at)) = (dir.join("libc.so.6"), dir.join(name)) else { continue };
            if !steps(self.sysroot, &libc)?.is_empty() {
                let from = cause(format!("in {}, known by ld.so.conf", path.parent().unwrap_or_default()), from);
                self.push_link(at, [b"/", path.as_bytes()].concat(), &from);
                break;
            }
        }
        Ok(())
    }

    /// The object at `path`, placed, if there is one that this process can load.
    fn fitting(
        &mut self,
        path: &TreePath,
        abi: Abi,
        from: &Provenance,
    ) -> Result<Option<(TreePath, Rc<Object>)>, ElfError> {
        let Some(Step::File { at, content, .. }) = steps(self.sysroot, path)?.pop() else { return Ok(None) };
        match self.object(&at, &content)? {
            Some(object) if object.abi == abi => {
                self.place(path, from)?;
                Ok(Some((path.clone(), object)))
            }
            // The loader passes over a linker script, and over libraries of another machine.
            _ => Ok(None),
        }
    }

    fn object(&mut self, real: &TreePath, content: &Content) -> Result<Option<Rc<Object>>, ElfError> {
        if let Some(known) = self.objects.get(real) {
            return Ok(known.clone());
        }
        let object = match Object::load(content) {
            Ok(object) => Some(Rc::new(object)),
            Err(Malformed::NotElf) => None,
            Err(source) => return Err(ElfError::Malformed { path: real.clone(), source }),
        };
        self.objects.insert(real.clone(), object.clone());
        Ok(object)
    }

    /// Adds the file with the symlinks that lead to it.
    fn place(&mut self, path: &TreePath, from: &Provenance) -> Result<Option<(TreePath, Content)>, ElfError> {
        let mut file = None;
        for step in steps(self.sysroot, path)? {
            match step {
                Step::Link { at, target } => self.push_link(at, target, from),
                Step::File { at, leaf, content } => {
                    if self.placed.insert(at.clone()) {
                        self.needed.push(Needed { path: at.clone(), leaf, from: from.clone() });
                    }
                    file = Some((at, content));
                }
            }
        }
        Ok(file)
    }

    fn push_link(&mut self, path: TreePath, target: Vec<u8>, from: &Provenance) {
        if self.placed.insert(path.clone()) {
            let leaf = Leaf { meta: Meta::new(0o777), kind: Kind::Symlink(target) };
            self.needed.push(Needed { path, leaf, from: from.clone() });
        }
    }
}

/// RPATH and RUNPATH by their rules. glibc: RUNPATH serves its own object
/// alone and switches RPATH off there; without one, the RPATHs of the object
/// and of all that loaded it. musl: either, of all of them.
fn own_dirs(by: usize, loaded: &[Loaded], is_musl: bool) -> Vec<TreePath> {
    let expanded = |loaded: &Loaded, list: &[String]| -> Vec<TreePath> {
        list.iter().filter_map(|dir| absolute(&expand(dir, &loaded.dir, loaded.object.abi))).collect()
    };
    let mut dirs = Vec::new();
    if let (Some(runpath), false) = (&loaded[by].object.runpath, is_musl) {
        return expanded(&loaded[by], runpath);
    }
    let mut next = Some(by);
    while let Some(index) = next {
        let user = &loaded[index];
        match (&user.object.runpath, is_musl) {
            (Some(runpath), true) => dirs.extend(expanded(user, runpath)),
            (Some(_), false) => {}
            (None, _) => dirs.extend(expanded(user, &user.object.rpath)),
        }
        next = user.parent;
    }
    dirs
}

/// `$ORIGIN`, `$LIB` and `$PLATFORM`, with and without braces.
fn expand(written: &str, origin: &TreePath, abi: Abi) -> String {
    let lib = if abi.is_64 { "lib64" } else { "lib" };
    let platform = if abi.machine == goblin::elf::header::EM_X86_64 { "x86_64" } else { "" };
    let mut text = written.to_string();
    for (name, value) in [("ORIGIN", origin.to_string().as_str()), ("LIB", lib), ("PLATFORM", platform)] {
        text = text.replace(&format!("${{{name}}}"), value).replace(&format!("${name}"), value);
    }
    text
}

/// Names that musl's loader answers to itself (ldso/dynlink.c, `reserved`).
fn is_musl_itself(name: &str) -> bool {
    let stem = name.strip_prefix("lib").and_then(|rest| rest.split_once('.')).map(|(stem, _)| stem);
    stem.is_some_and(|stem| ["c", "pthread", "rt", "m", "dl", "util", "xnet"].contains(&stem))
}

fn cause(cause: String, rest: &Provenance) -> Provenance {
    rest.causes().fold(Provenance::new(cause), |chain, cause| chain.because(cause))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::fake::{self, Dynamic};
    use tree::Tree;

    const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

    fn path(written: &str) -> TreePath {
        TreePath::new(written).unwrap()
    }

    fn root(files: &[(&str, Vec<u8>)], links: &[(&str, &str)]) -> Tree {
        let mut root = Tree::new();
        for (at, bytes) in files {
            root.insert_file(path(at), 0o755, bytes.clone().into(), Provenance::new("test")).unwrap();
        }
        for (at, target) in links {
            root.insert_symlink(path(at), target, Provenance::new("test")).unwrap();
        }
        root
    }

    fn dynamic(needed: &[&'static str], rpath: &'static str, runpath: &'static str) -> Vec<u8> {
        fake::dynamic(&Dynamic { interpreter: LOADER, needed, rpath, runpath, ..Dynamic::default() })
    }

    fn library(needed: &[&'static str]) -> Vec<u8> {
        fake::dynamic(&Dynamic { needed, ..Dynamic::default() })
    }

    fn paths(root: &Tree, program: &str) -> Vec<String> {
        let needed = closure(root, &[path(program)], &Provenance::new("profile"));
        needed.unwrap().iter().map(|needed| needed.path.to_string()).collect()
    }

    #[test]
    fn libraries_come_breadth_first_with_the_chain_that_needs_them() {
        let root = root(
            &[
                ("usr/lib64/ld-linux-x86-64.so.2", library(&[])),
                ("usr/bin/a", dynamic(&["libx.so.1", "liby.so"], "", "")),
                ("usr/lib/libx.so.1.2", library(&["libz.so"])),
                ("usr/lib/liby.so", library(&["libz.so", "ld-linux-x86-64.so.2"])),
                ("usr/lib/libz.so", library(&["libx.so.1"])),
            ],
            &[("lib64", "usr/lib64"), ("usr/lib/libx.so.1", "libx.so.1.2")],
        );
        let needed = closure(&root, &[path("usr/bin/a")], &Provenance::new("profile")).unwrap();
        let paths: Vec<_> = needed.iter().map(|needed| needed.path.to_string()).collect();
        let wanted = [
            "/usr/bin/a",
            "/lib64/ld-linux-x86-64.so.2",
            "/usr/lib64/ld-linux-x86-64.so.2",
            "/usr/lib/libx.so.1",
            "/usr/lib/libx.so.1.2",
            "/usr/lib/liby.so",
            "/usr/lib/libz.so",
        ];
        assert_eq!(paths, wanted);
        assert!(matches!(&needed[1].leaf.kind, Kind::Symlink(to) if to == b"/usr/lib64/ld-linux-x86-64.so.2"));
        let chain = "library libz.so <- library libx.so.1 <- program /usr/bin/a <- profile";
        assert_eq!(needed[6].from.to_string(), chain);
    }

    #[test]
    fn runpath_serves_its_own_object_alone_and_rpath_what_it_loads_too() {
        let files = |program: Vec<u8>| {
            [
                ("lib64/ld-linux-x86-64.so.2", library(&[])),
                ("opt/bin/a", program),
                ("opt/lib/liba.so", library(&["libb.so"])),
                ("opt/lib/libb.so", library(&[])),
            ]
        };
        let with_rpath = root(&files(dynamic(&["liba.so"], "$ORIGIN/../lib:/none", "")), &[]);
        assert_eq!(paths(&with_rpath, "opt/bin/a").last().unwrap(), "/opt/lib/libb.so");
        let with_runpath = root(&files(dynamic(&["liba.so"], "/opt/lib", "${ORIGIN}/../lib")), &[]);
        let error = closure(&with_runpath, &[path("opt/bin/a")], &Provenance::default()).unwrap_err();
        assert!(matches!(&error, ElfError::Missing { name, .. } if name == "libb.so"), "{error}");
    }

    #[test]
    fn a_missing_library_names_the_chain() {
        let root = root(
            &[
                ("lib64/ld-linux-x86-64.so.2", library(&[])),
                ("bin/a", dynamic(&["libx.so"], "", "")),
                ("lib/libx.so", library(&["libgone.so"])),
            ],
            &[],
        );
        let error = closure(&root, &[path("bin/a")], &Provenance::new("profile")).unwrap_err().to_string();
        assert!(error.contains("libgone.so <- library libx.so <- program /bin/a <- profile"), "{error}");
    }

    #[test]
    fn a_library_of_another_machine_is_passed_over() {
        let other = fake::dynamic(&Dynamic { machine: 183, ..Dynamic::default() });
        let root = root(
            &[
                ("lib64/ld-linux-x86-64.so.2", library(&[])),
                ("bin/a", dynamic(&["libx.so"], "", "/other:/right")),
                ("other/libx.so", other),
                ("right/libx.so", library(&[])),
            ],
            &[],
        );
        assert_eq!(paths(&root, "bin/a").last().unwrap(), "/right/libx.so");
    }

    #[test]
    fn a_library_that_only_ld_so_conf_knows_is_linked_beside_libc() {
        let root = root(
            &[
                ("lib64/ld-linux-x86-64.so.2", library(&[])),
                ("bin/a", dynamic(&["libx.so", "libc.so.6"], "", "")),
                ("opt/lib/libx.so", library(&[])),
                ("usr/lib/libc.so.6", library(&[])),
                ("etc/ld.so.conf", b"/opt/lib\n".to_vec()),
            ],
            &[],
        );
        let paths = paths(&root, "bin/a");
        assert!(paths.contains(&"/opt/lib/libx.so".into()) && paths.contains(&"/usr/lib/libx.so".into()), "{paths:?}");
    }

    #[test]
    fn scripts_bring_their_interpreters() {
        let root = root(
            &[
                ("bin/script", b"#!/usr/bin/env tool\n".to_vec()),
                ("usr/bin/env", fake::dynamic(&Dynamic::default())),
                ("usr/sbin/tool", b"#!/bin/script\n".to_vec()),
            ],
            &[],
        );
        assert_eq!(paths(&root, "bin/script"), ["/bin/script", "/usr/bin/env", "/usr/sbin/tool"]);
    }

    #[test]
    fn symlinks_that_go_round_are_an_error() {
        let root = root(&[], &[("a", "b"), ("b", "a"), ("d", "d")]);
        for program in ["a", "d/x"] {
            let error = closure(&root, &[path(program)], &Provenance::default()).unwrap_err();
            assert!(matches!(error, ElfError::Links { .. }), "{error}");
        }
    }

    #[test]
    fn malformed_files_are_errors_with_their_path() {
        let whole = dynamic(&["libx.so"], "/a", "/b");
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 0xff;
            let _ = Object::load(&flipped.into());
            let _ = Object::load(&whole[..at].to_vec().into());
        }
        let root = root(&[("bin/cut", whole[..80].to_vec())], &[]);
        let error = closure(&root, &[path("bin/cut")], &Provenance::default()).unwrap_err();
        assert!(matches!(&error, ElfError::Malformed { path, .. } if path.to_string() == "/bin/cut"), "{error}");
    }
}
