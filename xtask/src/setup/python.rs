//! pycdlib, which Debian has too, in a version that cannot read our images.

use std::process::Command;

use crate::run::{self, say};

const PYCDLIB: &str = "pycdlib==1.22.0";

/// A failure is said and survived: the test that asks it is skipped then, and
/// fails in CI.
pub(super) fn add_pycdlib() {
    let dir = crate::root().join("target/python");
    if dir.join("pycdlib/__init__.py").is_file() {
        return;
    }
    say("fetching pycdlib, an oracle of the tests");
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--root-user-action=ignore", "--target"]);
    if let Err(error) = run::run(pip.arg(dir).arg(PYCDLIB)) {
        say(&format!("{error:#}: going without pycdlib"));
    }
}
