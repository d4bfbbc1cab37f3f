//! Where in which file a value was written, and problems that say so.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use init::contract::params::distance;

/// One place in a profile.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub file: Arc<Path>,
    /// Both counted from 1; the column in characters.
    pub line: usize,
    pub column: usize,
}

impl Place {
    /// The place of byte `offset` of `text`.
    pub fn of(file: &Arc<Path>, text: &str, offset: usize) -> Self {
        let before = &text[..text.floor_char_boundary(offset)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        Self { file: file.clone(), line, column: before[line_start..].chars().count() + 1 }
    }

    /// What relative paths in this file are relative to.
    pub fn dir(&self) -> PathBuf {
        self.file.parent().map_or_else(PathBuf::new, Path::to_owned)
    }

    /// File and line without the folder: what provenance keeps, since the
    /// bytes of an image must not depend on where the profile was.
    pub fn short(&self) -> String {
        let name = self.file.file_name().unwrap_or_default().to_string_lossy();
        format!("{name}:{}", self.line)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located<T> {
    pub value: T,
    pub place: Place,
}

/// One thing that is wrong with a profile, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub place: Place,
    pub what: String,
    pub remedy: Option<String>,
}

impl Problem {
    pub fn new(place: &Place, what: impl Into<String>) -> Self {
        Self { place: place.clone(), what: what.into(), remedy: None }
    }

    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

/// Everything that is wrong, found in one run and told together.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, Problem { place, what, remedy }) in self.0.iter().enumerate() {
            let separator = if n == 0 { "" } else { "\n" };
            write!(f, "{separator}{place}: {what}")?;
            if let Some(remedy) = remedy {
                write!(f, "\n  hint: {remedy}")?;
            }
        }
        Ok(())
    }
}

/// The known word that `written` was probably meant to be.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let scored = known.into_iter().map(|word| (distance(written, word), word));
    scored.filter(|(d, word)| *d <= word.len().max(written.len()) / 2).min().map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_the_one_with_the_fewest_edits() {
        let known = ["label", "mode", "kernel", "name"];
        assert_eq!(nearest("lable", known), Some("label"));
        assert_eq!(nearest("nam", known), Some("name"));
        assert_eq!(nearest("zzzzzz", known), None);
    }

    #[test]
    fn places_count_lines_and_characters() {
        let file: Arc<Path> = Path::new("a/b.toml").into();
        let text = "x = 1\nü = 2\n";
        let place = Place::of(&file, text, text.find("= 2").unwrap());
        assert_eq!(place.to_string(), "a/b.toml:2:3");
        assert_eq!(place.short(), "b.toml:2");
    }
}
