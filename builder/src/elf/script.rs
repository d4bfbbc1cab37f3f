//! What a script needs to run.

use tree::Content;

/// The kernel reads this much of a file to tell what it is (BINPRM_BUF_SIZE).
const HEAD: u64 = 256;

/// The programs that `#!` starts: the interpreter, and for `env` the one that
/// it looks up in PATH, as a bare name. Empty for what is no script.
pub(super) fn interpreters(content: &Content) -> std::io::Result<Vec<String>> {
    let head = content.open_at()?.read(0, content.len().min(HEAD))?;
    let line = head.split(|&b| b == b'\n').next().unwrap_or_default();
    let Some(line) = line.strip_prefix(b"#!") else { return Ok(Vec::new()) };
    let line = String::from_utf8_lossy(line);
    let mut words = line.split_ascii_whitespace();
    let Some(interpreter) = words.next() else { return Ok(Vec::new()) };
    let mut programs = vec![interpreter.to_string()];
    if interpreter.ends_with("/env") {
        let is_argument = |word: &&str| word.starts_with('-') || word.contains('=');
        programs.extend(words.find(|word| !is_argument(word)).map(String::from));
    }
    Ok(programs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_name_their_interpreters() {
        for (text, wanted) in [
            ("#!/bin/sh\necho", &["/bin/sh"][..]),
            ("#! /usr/bin/perl -w\n", &["/usr/bin/perl"]),
            ("#!/usr/bin/env -S FOO=1 python3 -u\n", &["/usr/bin/env", "python3"]),
            ("#!\n", &[]),
            ("#", &[]),
            ("", &[]),
        ] {
            assert_eq!(interpreters(&text.to_string().into()).unwrap(), wanted, "{text:?}");
        }
    }
}
