//! Rules of the source that the compiler does not hold: which crate may import
//! which, how large a file may be, where parameter names and `unsafe` may stand.

mod imports;
mod literals;
mod params;
mod sizes;
mod unsafe_code;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::{root, run};

/// One `.rs` file of the workspace.
struct Source {
    /// From the top of the checkout, with `/`.
    path: String,
    text: String,
}

pub(crate) fn run() -> Result<()> {
    let sources = sources()?;
    let metadata = run::output(run::cargo().args(["metadata", "--format-version=1", "--no-deps", "--offline"]))?;
    let metadata = serde_json::from_str(&metadata).context("cargo metadata printed no JSON")?;

    let mut faults = imports::check(&metadata)?;
    faults.extend(sizes::check(&sources));
    faults.extend(params::check(&sources)?);
    faults.extend(unsafe_code::check(&sources));
    if faults.is_empty() {
        println!("tidy: {} files, nothing to say", sources.len());
        return Ok(());
    }
    for fault in &faults {
        eprintln!("{fault}");
    }
    bail!("{} faults", faults.len())
}

/// What git tracks or would: generated and ignored files are not ours to judge.
fn sources() -> Result<Vec<Source>> {
    let mut git = std::process::Command::new("git");
    git.current_dir(root()).args(["ls-files", "--cached", "--others", "--exclude-standard", "--", "*.rs"]);
    let listed = run::output(&mut git)?;
    let mut sources = Vec::new();
    for path in listed.lines() {
        let file = root().join(path);
        // Listed and not there: deleted, and not committed yet.
        if file.exists() {
            sources.push(Source { path: path.into(), text: read(&file)? });
        }
    }
    Ok(sources)
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

#[cfg(test)]
fn source(path: &str, text: &str) -> Source {
    Source { path: path.into(), text: text.into() }
}
