//! Names of command-line parameters stand in init's contract alone, so that
//! the builder and /init cannot come to disagree about one.
//!
//! Not judged: comments; inline tests and the tests crate, which hold the
//! names from outside, as a user does.

use anyhow::{Result, ensure};

use super::Source;
use super::literals::literals;

const CONTRACT: &str = "init/src/contract";
const OUTSIDE: &[&str] = &["tests/", "fuzz/", "benches/"];
/// The kernel's own, which every program about booting may name.
const KERNELS: &[&str] = &["console", "debug", "init", "panic", "quiet", "ro", "root", "rootwait", "rw"];

pub(super) fn check(sources: &[Source]) -> Result<Vec<String>> {
    let contract = sources.iter().filter(|source| source.path.starts_with(CONTRACT));
    let names: Vec<&str> = contract
        .flat_map(|source| literals(without_tests(&source.text)))
        .filter_map(|literal| name(literal.text))
        .collect();
    ensure!(
        names.iter().any(|name| is_native(name)),
        "no parameter names found in {CONTRACT}: has the contract moved?"
    );

    let mut faults = Vec::new();
    for source in sources {
        if source.path.starts_with(CONTRACT) || OUTSIDE.iter().any(|outside| source.path.starts_with(outside)) {
            continue;
        }
        for literal in literals(without_tests(&source.text)) {
            if let Some(found) = literal.text.split_ascii_whitespace().find_map(|word| parameter(word, &names)) {
                faults.push(format!(
                    "{}:{}: the parameter {found} is named outside {CONTRACT}: use its constant",
                    source.path, literal.line
                ));
            }
        }
    }
    Ok(faults)
}

/// Inline tests stand last in a file here.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or(text)
}

fn is_native(name: &str) -> bool {
    name.strip_prefix("live.").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()))
}

/// The literal as a parameter's name, if it can be one; what the contract's
/// other strings say in words has blanks or capitals.
fn name(literal: &str) -> Option<&str> {
    let name = literal.strip_suffix('=').unwrap_or(literal);
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-' | '_' | '/');
    (name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(fits) && !KERNELS.contains(&name))
        .then_some(name)
}

/// A native name alone or with a value. An alias only with its `=`, because
/// alone it is an English word more often than not.
fn parameter<'a>(word: &'a str, names: &[&str]) -> Option<&'a str> {
    let word = word.trim_start_matches(['`', '\'', '(']);
    let name = word.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/'))).next()?;
    let name = name.trim_end_matches('.');
    let valued = word[name.len()..].starts_with('=');
    (is_native(name) || valued && names.contains(&name)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::source;

    fn faults(path: &str, text: &str) -> usize {
        let contract = source(
            "init/src/contract/params.rs",
            "pub const A: &str = \"live.timeout\"; [\"rd.retry\", \"toram\", \"root\"]",
        );
        check(&[contract, source(path, text)]).unwrap().len()
    }

    #[test]
    fn words_comments_tests_and_the_kernels_own_pass() {
        for text in [
            "\"toram\"",
            "\"a live. b\"",
            "// live.timeout=3\n\"root=/dev/sda\"",
            "\"olive.tree\"",
            "f();\n#[cfg(test)]\nmod tests { \"live.timeout=3\" }",
        ] {
            assert_eq!(faults("builder/src/plan.rs", text), 0, "{text}");
        }
        assert_eq!(faults("tests/tests/boot.rs", "\"live.timeout=3\""), 0);
    }

    #[test]
    fn names_in_code_do_not() {
        for text in [
            "\"live.timeout\"",
            "f(\"quiet live.timeout=3\")",
            "r#\"say `live.other` here\"#",
            "\"rd.retry=\"",
            "format!(\"toram={size}\")",
        ] {
            assert_eq!(faults("builder/src/plan.rs", text), 1, "{text}");
        }
    }

    #[test]
    fn a_contract_without_names_is_an_error() {
        assert!(check(&[source("builder/src/plan.rs", "")]).is_err());
    }
}
