//! What a checkout can do for itself. `cargo xtask` lists the tasks.

mod debian;
mod image;
mod oracles;
mod run;
mod setup;
mod suite;
mod tidy;
mod toybox;
mod try_image;

use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask TASK

  try      set this machine up, build the RAM image and boot it under QEMU here
  test     set this machine up and run every test; with --quick, some cells of the boot matrix only
  tidy     the rules of the source that the compiler does not hold
  setup    install what the other tasks need, and nothing else
  toybox   build the static toybox, and print its path";

fn main() -> ExitCode {
    let tasks: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = tasks.iter().map(String::as_str).collect();
    let done = |()| ExitCode::SUCCESS;
    let outcome = match words[..] {
        ["try"] => try_image::try_ram().map(done),
        ["test"] => suite::test(suite::Cells::All),
        ["test", "--quick"] => suite::test(suite::Cells::Some),
        ["tidy"] => tidy::run().map(done),
        ["setup"] => setup::run().map(done),
        ["toybox"] => toybox::build().map(|path| {
            println!("{}", path.display());
            ExitCode::SUCCESS
        }),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The top of the checkout.
fn root() -> PathBuf {
    let xtask = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().map(PathBuf::from).unwrap_or(xtask)
}

fn target() -> PathBuf {
    root().join("target")
}
