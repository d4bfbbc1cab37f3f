//! No file grows past what one sitting can read.

use super::Source;

const CEILING: usize = 700;

pub(super) fn check(sources: &[Source]) -> Vec<String> {
    let lines = |source: &Source| source.text.lines().count();
    let over = sources.iter().filter(|source| lines(source) > CEILING);
    over.map(|source| format!("{}: {} lines, and {CEILING} is the ceiling: split it", source.path, lines(source)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::source;

    #[test]
    fn the_ceiling_itself_passes_and_one_line_more_does_not() {
        assert_eq!(check(&[source("a.rs", &"\n".repeat(CEILING))]), Vec::<String>::new());
        assert_eq!(check(&[source("a.rs", &"\n".repeat(CEILING + 1))]).len(), 1);
    }
}
