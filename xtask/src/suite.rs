//! Every test there is, and one closing line over them all.

mod tally;

use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result};

use crate::image::Builder;
use crate::run::{self, say};
use crate::{oracles, setup};
use tally::Tally;

/// How much of the boot matrix is run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cells {
    All,
    Some,
}

/// `cargo xtask test`
pub(crate) fn test(cells: Cells) -> Result<ExitCode> {
    setup::run()?;
    let mut tally = Tally::default();
    run_tests(cells, &mut tally)?;
    Ok(close(&tally))
}

/// The last line of the output, whatever happened.
fn close(tally: &Tally) -> ExitCode {
    println!("{tally}");
    if tally.has_failures() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn run_tests(cells: Cells, tally: &mut Tally) -> Result<()> {
    let builder = match Builder::build() {
        Ok(builder) => builder,
        Err(error) => {
            println!("build: FAILED: {error:#}");
            tally.count(false);
            return Ok(());
        }
    };
    if let Err(error) = builder.prepare_aarch64() {
        say(&format!("going on without a toybox for aarch64: {error:#}"));
    }
    for profile in ["ram", "live", "grub", "systemd-boot", "uki", "aarch64", "sysvinit", "openrc", "runit", "contain"] {
        if let Err(error) = builder.fetch(&format!("tests/profiles/{profile}.toml")) {
            // What needs it is skipped, and fails in CI.
            say(&format!("going on with what is in the cache: {error:#}"));
        }
    }
    oracles::fetch();
    let mut test = run::cargo();
    test.args(["test", "--workspace", "--no-fail-fast"]);
    if cells == Cells::Some {
        test.env("LIVEROOT_QUICK", "1");
    }
    let libfuse = run::succeeds(Command::new("pkg-config").args(["--exists", "fuse"]));
    if libfuse || std::env::var_os("CI").is_some() {
        test.args(["--features", "liveroot-tests/cdfs-oracle"]);
    } else {
        say("no libfuse here: going without the cdfs oracle");
    }
    // An error's text is for its reader; where it was made is not.
    builder.environment(oracles::environment(&mut test)).env("RUST_LIB_BACKTRACE", "0");
    let ended_well = stream(test, |line| tally.read(line))?;
    if !ended_well && !tally.has_failures() {
        // It did not compile, or a runner died before it could count.
        tally.count(false);
    }
    Ok(())
}

/// Passes the program's output on as it comes, errors and results in one stream
/// so that they stay in order, and says whether it ended well.
fn stream(mut command: Command, mut read: impl FnMut(&str)) -> Result<bool> {
    let (reader, writer) = std::io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn().context("cannot start cargo")?;
    // It holds the pipe's writing end, and the reader below would never see the end.
    drop(command);
    for line in BufReader::new(reader).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        read(&line);
    }
    Ok(child.wait()?.success())
}
