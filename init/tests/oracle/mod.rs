//! Outside tools that judge our work.

use std::env;
use std::io::Write;
use std::process::{Command, Output};

/// Runs a tool to its end; `None`, said aloud, where it is not installed. In
/// CI that is an error: a test that did not run proves nothing.
pub(crate) fn run(tool: &str, args: &[&str]) -> Option<Output> {
    // Those that make file systems stand where only root's PATH looks.
    let path = format!("{}:/usr/sbin:/sbin", env::var("PATH").unwrap_or_default());
    let output = Command::new(tool).args(args).env("PATH", path).env("LC_ALL", "C").env("TZ", "UTC").output();
    match output {
        Ok(output) => Some(output),
        Err(error) if env::var_os("CI").is_none() => {
            say_skipped(&format!("{tool}: {error}"));
            None
        }
        Err(error) => panic!("{tool}: {error}; it is needed in CI"),
    }
}

/// The same for a tool that must succeed.
pub(crate) fn make(tool: &str, args: &[&str]) -> Option<()> {
    let output = run(tool, args)?;
    assert!(output.status.success(), "{tool} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(())
}

/// In a line that `cargo xtask test` counts; past libtest's capture, which
/// would hide it in a test that passes.
fn say_skipped(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let _ = writeln!(std::io::stderr(), "\nSKIPPED {test}: {why}");
}
