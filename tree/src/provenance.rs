//! [`Provenance`]: who is to blame for an entry.

use std::fmt;
use std::sync::Arc;

/// Where an entry came from: the nearest cause first, the profile's line last.
///
/// `["overlay live-user", "profile live.toml: root.overlays"]`
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Provenance(Arc<[Arc<str>]>);

impl Provenance {
    pub fn new(cause: impl Into<Arc<str>>) -> Self {
        Self(Arc::new([cause.into()]))
    }

    /// The same with one more, farther cause behind it.
    #[must_use]
    pub fn because(&self, cause: impl Into<Arc<str>>) -> Self {
        Self(self.0.iter().cloned().chain([cause.into()]).collect())
    }

    /// The same with one more, nearer cause before it.
    #[must_use]
    pub fn nearer(&self, cause: impl Into<Arc<str>>) -> Self {
        Self([cause.into()].into_iter().chain(self.0.iter().cloned()).collect())
    }

    pub fn causes(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|cause| &**cause)
    }
}

impl fmt::Display for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, cause) in self.causes().enumerate() {
            write!(f, "{}{cause}", if n == 0 { "" } else { " <- " })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn provenance_keeps_the_whole_chain() {
        let chain =
            Provenance::new("program /bin/x").because("profile a.toml: initramfs.programs").nearer("library libc.so.6");
        assert_eq!(chain.to_string(), "library libc.so.6 <- program /bin/x <- profile a.toml: initramfs.programs");
    }
}
