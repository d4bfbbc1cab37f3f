//! What ELF files need to run, found by reading them and never by running
//! them: any sysroot, any machine, glibc and musl.

mod closure;
mod dlopen;
#[cfg(test)]
pub(crate) mod fake;
mod object;
mod script;
mod search;
mod sections;
mod strip;
pub(crate) mod sysroot;

use tree::{Provenance, TreePath};

pub use closure::{Deps, Needed, closure, closure_of, deps};
pub use dlopen::Feature;
pub use object::{Abi, Object};
pub use sections::{Sections, Symbol};
pub use strip::{strip_all, stripped};
pub use sysroot::{Found, HostSysroot, Sysroot};

/// Why bytes are not the ELF file they should be.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    #[error("it is not an ELF file")]
    NotElf,
    #[error("it is an ELF file, but no kernel module")]
    NotKmod,
    #[error("malformed ELF file")]
    Elf(#[from] goblin::error::Error),
    #[error("malformed ELF file: {what} of {len}, and at most {max} is read")]
    TooLarge { what: &'static str, len: u64, max: u64 },
    #[error(transparent)]
    Read(#[from] std::io::Error),
}

/// Why a closure cannot be made. The chain says who asked.
#[derive(Debug, thiserror::Error)]
pub enum ElfError {
    #[error("{path} is not in the root that programs are taken from ({from})")]
    NoProgram { path: TreePath, from: Provenance },
    #[error("`{name}` is in no directory of PATH ({from})")]
    NotInPath { name: String, from: Provenance },
    #[error("{name} is not found; needed as {from}")]
    Missing { name: String, from: Provenance },
    #[error("{path}")]
    Malformed { path: TreePath, source: Malformed },
    #[error("{path} cannot be read")]
    Read { path: TreePath, source: std::io::Error },
    #[error("a symlink of {path} has a target that cannot be used")]
    Path { path: TreePath, source: tree::PathError },
    #[error("{path}: its symlinks go round in a circle")]
    Links { path: TreePath },
}

/// The NUL-terminated string at an offset of a string table.
fn c_string(table: &[u8], offset: usize) -> Option<&[u8]> {
    let string = table.get(offset..)?;
    Some(&string[..string.iter().position(|&b| b == 0)?])
}
