//! Counting in the output of libtest.

use std::collections::BTreeSet;
use std::fmt;

#[derive(Debug, Default)]
pub(crate) struct Tally {
    passed: u32,
    failed: u32,
    ignored: u32,
    /// Tests that found something missing, said so and passed for libtest;
    /// some say it twice.
    skipped: BTreeSet<String>,
}

impl Tally {
    pub(super) fn read(&mut self, line: &str) {
        if let Some((test, _)) = line.strip_prefix("SKIPPED ").and_then(|skip| skip.split_once(": ")) {
            self.skipped.insert(test.to_owned());
        }
        // `test result: ok. 3 passed; 0 failed; 1 ignored; …` closes each runner.
        let Some((_, counts)) = line.strip_prefix("test result: ").and_then(|result| result.split_once(". ")) else {
            return;
        };
        for count in counts.split("; ") {
            let number = |n: &str| n.parse::<u32>().unwrap_or(0); // `finished in 0.00s` has none
            match count.split_once(' ') {
                Some((n, "passed")) => self.passed += number(n),
                Some((n, "failed")) => self.failed += number(n),
                Some((n, "ignored")) => self.ignored += number(n),
                _ => {}
            }
        }
    }

    pub(super) fn count(&mut self, passed: bool) {
        *(if passed { &mut self.passed } else { &mut self.failed }) += 1;
    }

    pub(super) fn has_failures(&self) -> bool {
        self.failed > 0
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let skipped = self.skipped.len() as u32;
        let passed = self.passed.saturating_sub(skipped);
        write!(f, "{passed} passed, {} failed, {} skipped", self.failed, self.ignored + skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runners_add_up_and_a_printed_skip_is_no_pass() {
        let mut tally = Tally::default();
        for line in [
            "SKIPPED a: no xorriso",
            "SKIPPED a: no isoinfo",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "test a ... ok",
            "test result: FAILED. 2 passed; 4 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        ] {
            tally.read(line);
        }
        tally.count(true);
        assert_eq!(tally.to_string(), "5 passed, 4 failed, 2 skipped");
        assert!(tally.has_failures());
    }

    #[test]
    fn nothing_read_is_nothing_passed() {
        assert_eq!(Tally::default().to_string(), "0 passed, 0 failed, 0 skipped");
    }
}
