//! The musl target that /init is built for.

use std::path::Path;
use std::process::Command;

use crate::run::{self, say};

const MUSL: &str = "x86_64-unknown-linux-musl";

/// A failure is said and survived: without the target, /init is linked
/// statically against glibc, which is larger and works.
pub(super) fn add_musl_target() {
    let libdir = run::output(
        Command::new("rustc").args(["--print", "target-libdir", "--target", MUSL]).current_dir(crate::root()),
    );
    if libdir.is_ok_and(|dir| Path::new(&dir).is_dir()) {
        return;
    }
    say(&format!("adding the Rust target {MUSL}, for /init"));
    if let Err(error) = run::run(Command::new("rustup").args(["target", "add", MUSL]).current_dir(crate::root())) {
        say(&format!("{error:#}: /init will be static glibc here, and larger; `rustup target add {MUSL}` mends it"));
    }
}
