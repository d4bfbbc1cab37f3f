//! Programs with all they need to be loaded, breadth first as the dynamic
//! loader does it: ld.so(8), musl's ldso/dynlink.c.

mod deps;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use tree::{Content, Kind, Leaf, Meta, Provenance, TreePath};

use super::dlopen::Feature;
use super::object::{Abi, Object};
use super::search::{self, SystemDirs, absolute};
use super::sysroot::{Step, Sysroot, steps};
use super::{ElfError, Malformed, script};
use crate::provenance::role::words;

pub use deps::{Deps, deps};

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
    let programs = programs.iter().map(|path| (path.clone(), from.nearer(format!("{} {path}", words::PROGRAM))));
    closure_of(sysroot, programs)
}

/// [`closure`] of files that each have a reason of their own. One that is
/// neither program nor library stands for itself.
pub fn closure_of(
    sysroot: &dyn Sysroot,
    files: impl IntoIterator<Item = (TreePath, Provenance)>,
) -> Result<Vec<Needed>, ElfError> {
    let mut closure = Closure::new(sysroot);
    let mut open: VecDeque<(TreePath, Provenance)> = files.into_iter().collect();
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

/// What a program becomes when it is started.
struct Process {
    loaded: Vec<Loaded>,
    dirs: SystemDirs,
    is_musl: bool,
}

/// An object of a process.
struct Loaded {
    object: Rc<Object>,
    /// As it was asked for.
    name: String,
    /// The file for a program, the path it was found by for a library; its
    /// directory is `$ORIGIN`.
    path: TreePath,
    /// Who asked for it first: an index, smaller than its own.
    parent: Option<usize>,
    from: Provenance,
}

impl Loaded {
    fn dir(&self) -> TreePath {
        self.path.parent().unwrap_or_default()
    }
}

/// What an object asks for: the first of these names that is found.
struct Wanted<'a> {
    names: &'a [String],
    required: bool,
    relation: &'static str,
}

impl<'a> Wanted<'a> {
    fn needed(name: &'a String) -> Self {
        Self { names: std::slice::from_ref(name), required: true, relation: words::LIBRARY }
    }

    fn opened(feature: &'a Feature) -> Self {
        Self { names: &feature.sonames, required: feature.required, relation: words::OPENED_LIBRARY }
    }
}

impl<'a> Closure<'a> {
    fn new(sysroot: &'a dyn Sysroot) -> Self {
        Self { sysroot, needed: Vec::new(), placed: BTreeSet::new(), objects: BTreeMap::new() }
    }

    /// Places a program and returns the programs that run it, if it is a script.
    fn add_program(&mut self, path: &TreePath, from: &Provenance) -> Result<Vec<(TreePath, Provenance)>, ElfError> {
        let missing = || ElfError::NoProgram { path: path.clone(), from: from.clone() };
        let (real, content) = self.place(path, from)?.ok_or_else(missing)?;
        if let Some(object) = self.object(&real, &content)? {
            self.add_libraries(object, &real, from)?;
            return Ok(Vec::new());
        }
        let read = |source| ElfError::Read { path: real.clone(), source };
        let from = from.nearer(format!("{} {path}", words::INTERPRETER));
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
        self.start(program, path, from, Err).map(drop)
    }

    /// Loads all that a program needs; `missing` says whether to go on without
    /// what is not there.
    fn start(
        &mut self,
        program: Rc<Object>,
        path: &TreePath,
        from: &Provenance,
        mut missing: impl FnMut(ElfError) -> Result<(), ElfError>,
    ) -> Result<Process, ElfError> {
        let interpreter = program.interpreter.clone();
        let mut names = BTreeSet::new();
        if let Some(interpreter) = &interpreter {
            self.add_loader(interpreter, &mut names, from).or_else(&mut missing)?;
        }
        let dirs = search::system_dirs(self.sysroot, interpreter.as_deref(), program.abi)?;
        let name = String::from_utf8_lossy(path.name()).into_owned();
        let program = Loaded { object: program, name, path: path.clone(), parent: None, from: from.clone() };
        let is_musl = interpreter.as_deref().and_then(search::musl_arch).is_some();
        let mut process = Process { dirs, is_musl, loaded: vec![program] };
        let mut next = 0;
        while next < process.loaded.len() {
            let object = process.loaded[next].object.clone();
            let needed = object.needed.iter().map(Wanted::needed);
            for wanted in needed.chain(object.dlopen.iter().map(Wanted::opened)) {
                let is_there = |name: &String| names.contains(name) || (process.is_musl && is_musl_itself(name));
                if wanted.names.iter().any(is_there) {
                    continue;
                }
                match self.find_wanted(&wanted, next, &process) {
                    Ok(Some(library)) => {
                        names.insert(library.name.clone());
                        names.extend(library.object.soname.clone());
                        process.loaded.push(library);
                    }
                    Ok(None) => {}
                    Err(error @ ElfError::Missing { .. }) => missing(error)?,
                    Err(error) => return Err(error),
                }
            }
            next += 1;
        }
        Ok(process)
    }

    /// `None` if it is not there and its user does without the feature.
    fn find_wanted(&mut self, wanted: &Wanted<'_>, by: usize, process: &Process) -> Result<Option<Loaded>, ElfError> {
        let user = &process.loaded[by].from;
        for name in wanted.names {
            let from = user.nearer(format!("{} {name}", wanted.relation));
            if let Some((path, object)) = self.find_library(name, by, process, &from)? {
                return Ok(Some(Loaded { object, name: name.clone(), path, parent: Some(by), from }));
            }
        }
        if wanted.required {
            let name = wanted.names.join(" or ");
            let from = user.nearer(format!("{} {name}", wanted.relation));
            return Err(ElfError::Missing { name, from });
        }
        Ok(None)
    }

    /// The loader is a library too: libc asks for it by its name.
    fn add_loader(
        &mut self,
        interpreter: &str,
        names: &mut BTreeSet<String>,
        from: &Provenance,
    ) -> Result<(), ElfError> {
        let from = from.nearer(format!("{} {interpreter}", words::LOADER));
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
        process: &Process,
        from: &Provenance,
    ) -> Result<Option<(TreePath, Rc<Object>)>, ElfError> {
        let user = &process.loaded[by];
        let abi = user.object.abi;
        if name.contains('/') {
            let path = absolute(&expand(name, &user.dir(), abi));
            return Ok(path.map(|path| self.fitting(&path, abi, from)).transpose()?.flatten());
        }
        let dirs = &process.dirs;
        let own = own_dirs(by, process);
        for dir in own.iter().chain(&dirs.cached).chain(&dirs.builtin) {
            let Ok(path) = dir.join(name) else { continue };
            let found = self.fitting(&path, abi, from)?;
            if found.is_some() {
                if !own.contains(dir) && !dirs.builtin.contains(dir) {
                    self.link_for_loader(name, &path, dirs, from)?;
                }
                return Ok(found);
            }
        }
        Ok(None)
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
                let from = from.nearer(format!("in {}, known by ld.so.conf", path.parent().unwrap_or_default()));
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
fn own_dirs(by: usize, process: &Process) -> Vec<TreePath> {
    let Process { loaded, is_musl, .. } = process;
    let expanded = |user: &Loaded, list: &[String]| -> Vec<TreePath> {
        list.iter().filter_map(|dir| absolute(&expand(dir, &user.dir(), user.object.abi))).collect()
    };
    if let (Some(runpath), false) = (&loaded[by].object.runpath, is_musl) {
        return expanded(&loaded[by], runpath);
    }
    let mut dirs = Vec::new();
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

#[cfg(test)]
mod tests;
