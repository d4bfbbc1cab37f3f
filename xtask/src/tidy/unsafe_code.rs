//! `unsafe` stands in one syscall module per crate, `sys.rs`. The lint
//! `unsafe_code` is denied, and this sees that nobody allows it elsewhere.

use super::Source;
use super::literals;

pub(super) fn check(sources: &[Source]) -> Vec<String> {
    let mut faults = Vec::new();
    for source in sources {
        let text = literals::without_literals(&source.text);
        let opens_a_door = |line: &str| line.contains("allow(unsafe_code)") || line.contains("expect(unsafe_code)");
        let is_sys = source.path.ends_with("/sys.rs");
        let mut lines = text.lines().enumerate().peekable();
        while let Some((n, line)) = lines.next() {
            // `#[allow(unsafe_code)] mod sys;` is the one door.
            let next = lines.peek().map_or("", |(_, next)| next.trim());
            let leads_to_sys = line.trim().ends_with("mod sys;") || next.ends_with("mod sys;");
            let is_code = line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe");
            if !is_sys && (is_code || opens_a_door(line) && !leads_to_sys) {
                faults.push(format!("{}:{}: unsafe belongs in the crate's sys.rs", source.path, n + 1));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::source;

    #[test]
    fn sys_rs_and_the_line_that_opens_it_pass() {
        let block = "fn f() { unsafe { g() } }";
        let door = "#[allow(unsafe_code)]\nmod sys;";
        let words = "// unsafe in words\nlet a = \"unsafe {\"; /* unsafe */";
        for (path, text) in [("init/src/sys.rs", block), ("init/src/lib.rs", door), ("init/src/lib.rs", words)] {
            assert_eq!(check(&[source(path, text)]), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn unsafe_elsewhere_and_other_doors_do_not() {
        for text in ["fn f() { unsafe { g() } }", "unsafe impl Send for A {}", "#![allow(unsafe_code)]\nmod a;"] {
            assert_eq!(check(&[source("init/src/rescue.rs", text)]).len(), 1, "{text}");
        }
    }
}
