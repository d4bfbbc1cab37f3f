//! What ELF files need to run, found by reading them and never by running
//! them: any sysroot, any machine, glibc and musl.

#[cfg(test)]
pub(crate) mod fake;
mod sections;

pub use sections::Sections;

/// Why bytes are not the ELF file they should be.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    #[error("it is not an ELF file")]
    NotElf,
    #[error("malformed ELF file")]
    Elf(#[from] goblin::error::Error),
    #[error("malformed ELF file: {what} of {len}, and at most {max} is read")]
    TooLarge { what: &'static str, len: u64, max: u64 },
    #[error(transparent)]
    Read(#[from] std::io::Error),
}

/// The NUL-terminated string at an offset of a string table.
fn c_string(table: &[u8], offset: usize) -> Option<&[u8]> {
    let string = table.get(offset..)?;
    Some(&string[..string.iter().position(|&b| b == 0)?])
}
