//! Where a dynamic loader looks when no path in the files themselves decides.

use std::collections::BTreeSet;

use goblin::elf::header::{EM_386, EM_AARCH64, EM_ARM, EM_RISCV, EM_X86_64};
use tree::TreePath;

use super::ElfError;
use super::object::Abi;
use super::sysroot::{Sysroot, follow, read_text, real_dir};

/// Directories in the order they are tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SystemDirs {
    /// Named by ld.so.conf: known to the loader through ldconfig's cache only.
    pub cached: Vec<TreePath>,
    /// Known to the loader by itself.
    pub builtin: Vec<TreePath>,
}

/// musl's loader is told by its name: ld-musl-x86_64.so.1.
pub(super) fn musl_arch(interpreter: &str) -> Option<&str> {
    interpreter.rsplit('/').next()?.strip_prefix("ld-musl-")?.split(".so").next()
}

pub(super) fn system_dirs(sysroot: &dyn Sysroot, interpreter: Option<&str>, abi: Abi) -> Result<SystemDirs, ElfError> {
    if let Some(arch) = interpreter.and_then(musl_arch) {
        // musl: ldso/dynlink.c; blanks are not separators.
        let text = read_text(sysroot, &path(&format!("etc/ld-musl-{arch}.path")))?;
        let listed: Vec<_> = text.split([':', '\n']).filter_map(absolute).collect();
        let builtin = if listed.is_empty() { ["lib", "usr/local/lib", "usr/lib"].map(path).into() } else { listed };
        return Ok(SystemDirs { cached: Vec::new(), builtin });
    }
    let mut cached = Vec::new();
    read_conf(sysroot, &path("etc/ld.so.conf"), &mut BTreeSet::new(), &mut cached)?;
    Ok(SystemDirs { cached, builtin: builtin_dirs(abi) })
}

/// ldconfig(8): a directory a line, includes in their place. `seen` ends a
/// configuration that includes itself.
fn read_conf(
    sysroot: &dyn Sysroot,
    file: &TreePath,
    seen: &mut BTreeSet<TreePath>,
    dirs: &mut Vec<TreePath>,
) -> Result<(), ElfError> {
    if !seen.insert(file.clone()) {
        return Ok(());
    }
    for line in read_text(sysroot, file)?.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        match line.split_once(char::is_whitespace) {
            Some(("include", globs)) => {
                for glob in globs.split_ascii_whitespace() {
                    for included in included(sysroot, file, glob)? {
                        read_conf(sysroot, &included, seen, dirs)?;
                    }
                }
            }
            Some(("hwcap", _)) => {}
            _ => dirs.extend(line.split([':', ',', ' ', '\t']).filter_map(absolute)),
        }
    }
    Ok(())
}

/// What distributions compile into glibc's loader: Debian its multiarch
/// directories, others lib64 where libraries are of 64 bits.
fn builtin_dirs(abi: Abi) -> Vec<TreePath> {
    let triplet = match (abi.machine, abi.is_64) {
        (EM_X86_64, true) => Some("x86_64-linux-gnu"),
        (EM_386, _) => Some("i386-linux-gnu"),
        (EM_AARCH64, _) => Some("aarch64-linux-gnu"),
        (EM_ARM, _) => Some("arm-linux-gnueabihf"),
        (EM_RISCV, true) => Some("riscv64-linux-gnu"),
        _ => None,
    };
    let mut dirs: Vec<TreePath> =
        triplet.into_iter().flat_map(|t| [format!("lib/{t}"), format!("usr/lib/{t}")]).map(|dir| path(&dir)).collect();
    if abi.is_64 {
        dirs.extend(["lib64", "usr/lib64"].map(path));
    }
    dirs.extend(["lib", "usr/lib"].map(path));
    dirs
}

/// The files of an `include` line, sorted as glob(3) does; `*` in the last
/// component only, as every distribution has it.
fn included(sysroot: &dyn Sysroot, file: &TreePath, glob: &str) -> Result<Vec<TreePath>, ElfError> {
    let glob = match glob.strip_prefix('/') {
        Some(_) => glob.to_string(),
        None => format!("{}/{glob}", file.parent().unwrap_or_default()),
    };
    let (dir, name) = glob.rsplit_once('/').unwrap_or(("", &glob));
    let Some(dir) = absolute(&format!("/{dir}")) else { return Ok(Vec::new()) };
    let Some(dir) = real_dir(sysroot, &dir)? else { return Ok(Vec::new()) };
    let names = sysroot.list(&dir).map_err(|source| ElfError::Read { path: dir.clone(), source })?;
    let mut found: Vec<TreePath> = names
        .iter()
        .filter(|entry| init::glob::matches(name, &String::from_utf8_lossy(entry)))
        .filter_map(|entry| dir.join(entry).ok())
        .collect();
    found.sort();
    Ok(found)
}

/// A path as the loader takes it, `..` resolved by the text alone. Relative
/// ones depend on where the program is started, and mean nothing here.
pub(super) fn absolute(written: &str) -> Option<TreePath> {
    let written = written.trim();
    written.starts_with('/').then(|| follow(&TreePath::root(), written.as_bytes()).ok()).flatten()
}

fn path(written: &str) -> TreePath {
    TreePath::new(written).expect("a plain path")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tree::{Content, Provenance, Tree};

    #[test]
    fn ld_so_conf_is_read_with_its_includes_in_order() {
        let mut root = Tree::new();
        for (at, text) in [
            ("etc/ld.so.conf", "# first\ninclude ld.so.conf.d/*.conf\n/opt/last # why\nhwcap 1 nosegneg\n"),
            ("etc/ld.so.conf.d/b.conf", "/b\nrelative\n"),
            ("etc/ld.so.conf.d/a.conf", "/a:/a2\ninclude /etc/ld.so.conf\n"),
            ("etc/ld.so.conf.d/c.txt", "/not-me\n"),
        ] {
            root.insert_file(path(at), 0o644, Content::from(text.to_string()), Provenance::new("test")).unwrap();
        }
        let dirs = system_dirs(&root, Some("/lib64/ld-linux-x86-64.so.2"), Abi::default()).unwrap();
        assert_eq!(dirs.cached, ["a", "a2", "b", "opt/last"].map(path));
    }

    #[test]
    fn musl_has_its_own_file() {
        let mut root = Tree::new();
        let interpreter = Some("/lib/ld-musl-riscv64.so.1");
        let dirs = system_dirs(&root, interpreter, Abi::default()).unwrap();
        assert_eq!(dirs.builtin, ["lib", "usr/local/lib", "usr/lib"].map(path));
        let text = Content::from("/a:/b\n/c\n".to_string());
        root.insert_file(path("etc/ld-musl-riscv64.path"), 0o644, text, Provenance::new("test")).unwrap();
        assert_eq!(system_dirs(&root, interpreter, Abi::default()).unwrap().builtin, ["a", "b", "c"].map(path));
    }
}
