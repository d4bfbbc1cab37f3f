//! The field's own tools, as judges of what we write.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// Something a test needs and this machine may lack. A laptop goes without and
/// says so ([`skip`]); CI does not go without.
pub fn or_skip<T>(needed: Option<T>, what: &str, remedy: &str) -> Result<Option<T>> {
    if needed.is_none() {
        ensure!(std::env::var_os("CI").is_none(), "there is no {what} here, and CI wants it: {remedy}");
        skip(&format!("there is no {what}; {remedy}"))?;
    }
    Ok(needed)
}

/// Says so in a line that `cargo xtask test` counts.
pub fn skip(why: &str) -> Result<()> {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    // One write, and past libtest's capture, which would hide it in a test that passes.
    Ok(std::io::stderr().write_all(format!("\nSKIPPED {test}: {why}\n").as_bytes())?)
}

#[derive(Debug)]
pub struct Tool {
    program: PathBuf,
}

impl Tool {
    /// The tool of that name, under [`or_skip`]'s rule.
    pub fn find(name: &str) -> Result<Option<Self>> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let dirs = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
        let program = dirs.map(|dir| dir.join(name)).find(|file| file.is_file());
        or_skip(program.map(|program| Self { program }), name, "`cargo xtask setup` installs it")
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env("LC_ALL", "C");
        command
    }

    /// What it prints; a tool that complains makes the test fail with its words.
    pub fn output(&self, arguments: &[&str], file: &Path) -> Result<String> {
        let name = self.program.display();
        let output = self
            .command()
            .args(arguments)
            .arg(file)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot start {name}"))?;
        let errors = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            bail!("{name} {} {} ended with {}:\n{errors}", arguments.join(" "), file.display(), output.status);
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
