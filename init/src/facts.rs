//! What the builder bakes into an initramfs about the image it belongs to.
//!
//! ```text
//! liveroot-image 1.0
//! name aurora
//! boot-id 3f0a…
//! label AURORA
//! mode overlay
//! params live.timeout=60 quiet
//! ```
//!
//! `params` are command-line parameters that go before the kernel's own, so
//! that the boot menu can still override them.

use crate::contract::{BootId, FormatError, Mode, check_header};

const NAME: &str = "liveroot-image";
const MAJOR: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFacts {
    pub name: String,
    /// None in an initramfs that was built for no medium in particular.
    pub boot_id: Option<BootId>,
    pub label: String,
    pub mode: Mode,
    pub params: String,
}

impl ImageFacts {
    pub fn print(&self) -> String {
        let Self { name, boot_id, label, mode, params } = self;
        let boot_id = boot_id.map_or(String::new(), |id| format!("boot-id {id}\n"));
        format!("{NAME} {MAJOR}.0\nname {name}\n{boot_id}label {label}\nmode {mode}\nparams {params}\n")
    }

    pub fn parse(text: &str) -> Result<Self, FormatError> {
        check_header(text.lines().next(), NAME, MAJOR)?;
        let field = |key: &str| {
            let value = text.lines().skip(1).find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
            value.ok_or_else(|| FormatError { line: 1, problem: format!("it has no line `{key}`") })
        };
        let bad = |key: &str| FormatError { line: 1, problem: format!("its `{key}` is not one") };
        Ok(Self {
            name: field("name")?.into(),
            boot_id: match field("boot-id") {
                Ok(id) => Some(id.parse().map_err(|()| bad("boot-id"))?),
                Err(_) => None,
            },
            label: field("label")?.into(),
            mode: field("mode")?.parse().map_err(|()| bad("mode"))?,
            params: field("params").unwrap_or_default().into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_as_it_was() {
        let facts = ImageFacts {
            name: "aurora".into(),
            boot_id: Some(BootId::new([3; 16])),
            label: "AURORA".into(),
            mode: Mode::Overlay,
            params: String::new(),
        };
        assert_eq!(ImageFacts::parse(&facts.print()), Ok(facts.clone()));
        assert!(ImageFacts::parse(&facts.print().replace("mode", "nope")).is_err());
        assert!(ImageFacts::parse(&facts.print().replace("boot-id 0", "boot-id x")).is_err());
        let of_no_medium = ImageFacts { boot_id: None, ..facts };
        assert_eq!(ImageFacts::parse(&of_no_medium.print()), Ok(of_no_medium));
    }
}
