//! Claims of speed, with the peers beside us in the same run.
//!
//! Every contestant is a process of its own, ours too: a benchmark starts
//! itself again for that ([`ours`]). So all are measured alike, by what the
//! kernel counted.

mod payload;
mod report;
mod sys;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

pub use payload::Payload;
pub use report::Report;

/// What one run took.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    pub wall: Duration,
    /// In user and kernel mode, children that were waited for included.
    pub cpu: Duration,
    /// Of the largest process, in bytes.
    pub peak_rss: u64,
}

/// Runs it to its end; a failure ends the benchmark.
pub fn run(command: &mut Command) -> Result<Cost> {
    let name = format!("{command:?}");
    let start = Instant::now();
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
    let child = child.with_context(|| format!("cannot start {name}"))?;
    let ended = sys::wait(&child).with_context(|| format!("cannot wait for {name}"))?;
    ensure!(ended.success, "{name} failed");
    Ok(Cost { wall: start.elapsed(), cpu: ended.cpu, peak_rss: ended.peak_rss })
}

/// A line of shell, with `$1`, `$2` and so on.
pub fn shell(line: &str, arguments: &[&std::path::Path]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-ec", line, "sh"]).args(arguments);
    command
}

/// This program once more, in the part of a contestant.
pub fn ours() -> Result<Command> {
    Ok(Command::new(std::env::current_exe().context("cannot find this program")?))
}

/// A peer that may not be installed is left out, and the report says so.
pub fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}
