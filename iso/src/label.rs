//! [`VolumeId`]: the image's label.

use std::fmt;

/// One to 32 of `A-Z`, `0-9` and `_` (ECMA-119 8.4.6 and 7.4.1). Anything
/// else is refused rather than mended: /init, boot menus and udev must all
/// find the medium under the very same name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VolumeId(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    #[error("the label is empty; give it 1 to 32 of A-Z, 0-9 and _")]
    Empty,
    #[error(
        "the label {label:?} has {length} characters and ISO 9660 has room for 32; shorten it, for example to {shorter:?}"
    )]
    TooLong { label: String, length: usize, shorter: String },
    #[error("the label {label:?} has {character:?} in it and only A-Z, 0-9 and _ are allowed; {fitting:?} would do")]
    Character { label: String, character: char, fitting: String },
}

impl VolumeId {
    pub fn new(label: &str) -> Result<Self, LabelError> {
        let allowed = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        let fitting = || -> String {
            let fit = |c: char| match c.to_ascii_uppercase() {
                c if allowed(c) => c,
                _ => '_',
            };
            label.trim().chars().map(fit).take(32).collect()
        };
        if label.is_empty() {
            return Err(LabelError::Empty);
        }
        if let Some(character) = label.chars().find(|&c| !allowed(c)) {
            return Err(LabelError::Character { label: label.to_owned(), character, fitting: fitting() });
        }
        if label.len() > 32 {
            return Err(LabelError::TooLong { label: label.to_owned(), length: label.len(), shorter: fitting() });
        }
        Ok(Self(label.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What other tools will make of a label that is legal but long; `None`
    /// when every tool keeps it whole.
    pub fn advice(&self) -> Option<String> {
        let cut = |length: usize| &self.0[..length.min(self.0.len())];
        match self.0.len() {
            0..=11 => None,
            12..=16 => Some(format!("a stick formatted as FAT will show the label as {:?}", cut(11))),
            _ => Some(format!(
                "a stick formatted as FAT will show the label as {:?}, and Windows will show {:?}",
                cut(11),
                cut(16)
            )),
        }
    }
}

impl fmt::Display for VolumeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_that_every_tool_finds_again() {
        for label in ["A", "AURORA_12", &"X".repeat(32)] {
            assert_eq!(VolumeId::new(label).unwrap().as_str(), label);
        }
    }

    #[test]
    fn a_refusal_names_the_remedy() {
        for (label, remedy) in [
            ("", "A-Z, 0-9 and _"),
            ("aurora", "\"AURORA\""),
            ("MY LIVE", "\"MY_LIVE\""),
            ("TWO\nLINES", "\"TWO_LINES\""),
            ("GRÜN", "\"GR_N\""),
            (&"L".repeat(33), "room for 32"),
        ] {
            let error = VolumeId::new(label).unwrap_err().to_string();
            assert!(error.contains(remedy), "{label:?}: {error}");
            assert!(!error.contains('\n'), "{error:?}");
        }
    }

    #[test]
    fn advice_tells_what_others_will_cut() {
        assert_eq!(VolumeId::new("ELEVEN_CHAR").unwrap().advice(), None);
        assert!(VolumeId::new("TWELVE_CHARS").unwrap().advice().unwrap().contains("\"TWELVE_CHAR\""));
        assert!(VolumeId::new("SEVENTEEN_LETTERS").unwrap().advice().unwrap().contains("\"SEVENTEEN_LETTER\""));
    }
}
