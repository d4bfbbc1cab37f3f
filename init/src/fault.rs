//! Why a boot stopped: a code that machines read, and what it was, on what,
//! and what to do next, for the person in front of it.

use std::fmt;

/// Stable names: tests, scripts and bug reports look for them on the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// A mount that everything after it needs.
    Mount,
    /// Not all of our archive is here.
    Initramfs,
    /// The image's own facts, in the initramfs.
    Facts,
    NoMedium,
    /// Likewise, and a device that may be it never answered.
    Timeout,
    Manifest,
    Mode,
    Truncated,
    /// The device gives an error where it should give bytes.
    Read,
    Digest,
    /// Not the image that the root hash is of.
    Verity,
    NoMemory,
    NoSpace,
    Package,
    Layer,
    /// The place where changes were to be kept.
    Persist,
    NoInit,
    Handover,
    /// After all of it: what the system runs from is gone.
    Pulled,
    /// A mistake in /init itself.
    Panic,
    /// None: a stop that was asked for.
    Break,
}

impl Code {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mount => "E_MOUNT",
            Self::Initramfs => "E_INITRAMFS",
            Self::Facts => "E_FACTS",
            Self::NoMedium => "E_NO_MEDIUM",
            Self::Timeout => "E_TIMEOUT",
            Self::Manifest => "E_MANIFEST",
            Self::Mode => "E_MODE",
            Self::Truncated => "E_TRUNCATED",
            Self::Read => "E_READ",
            Self::Digest => "E_DIGEST",
            Self::Verity => "E_VERITY",
            Self::NoMemory => "E_NO_MEMORY",
            Self::NoSpace => "E_ENOSPC",
            Self::Package => "E_PACKAGE",
            Self::Layer => "E_LAYER",
            Self::Persist => "E_PERSIST",
            Self::NoInit => "E_NO_INIT",
            Self::Handover => "E_HANDOVER",
            Self::Pulled => "E_PULLED",
            Self::Panic => "E_PANIC",
            Self::Break => "BREAK",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub code: Code,
    /// One line: it is the rest of the machine-readable one.
    pub what: String,
    /// What to try.
    pub advice: String,
}

impl Fault {
    pub(crate) fn new(code: Code, what: impl Into<String>) -> Self {
        Self { code, what: what.into(), advice: String::new() }
    }

    #[must_use]
    pub(crate) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = advice.into();
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code.name(), self.what)
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    #[test]
    fn every_code_is_explained_in_docs() {
        let docs = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/boot-states.md")).unwrap();
        let (source, _) = include_str!("fault.rs").split_once("#[cfg(test)]").unwrap();
        let codes: Vec<_> = source.split('"').filter(|word| word.starts_with("E_")).collect();
        assert!(codes.len() > 10, "{codes:?}");
        for code in codes {
            assert!(docs.contains(&format!("| `{code}` |")), "{code} has no row");
        }
    }
}
