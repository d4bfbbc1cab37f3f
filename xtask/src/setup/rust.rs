//! The musl targets that /init is built for.

use std::path::Path;
use std::process::Command;

use crate::run::{self, say};

/// Without ours, /init is linked statically against glibc, which is larger and
/// works; without the other, the tests boot no image for aarch64.
const TARGETS: [&str; 2] = ["x86_64-unknown-linux-musl", "aarch64-unknown-linux-musl"];

/// A failure is said and survived.
pub(super) fn add_musl_targets() {
    for target in TARGETS {
        let mut ask = Command::new("rustc");
        let libdir = run::output(ask.args(["--print", "target-libdir", "--target", target]).current_dir(crate::root()));
        if libdir.is_ok_and(|dir| Path::new(&dir).is_dir()) {
            continue;
        }
        say(&format!("adding the Rust target {target}, for /init"));
        if let Err(error) = run::run(Command::new("rustup").args(["target", "add", target]).current_dir(crate::root()))
        {
            say(&format!("{error:#}; `rustup target add {target}` mends it"));
        }
    }
}
