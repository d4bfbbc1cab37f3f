//! `liveroot deps`: what lddtree(1) does, for any root and machine.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use builder::elf::{self, HostSysroot};
use clap::Args;
use tree::TreePath;

#[derive(Debug, Args)]
pub(crate) struct Deps {
    /// Programs or libraries
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// One path a line instead of a tree
    #[arg(long, short)]
    list: bool,
    /// The root they and their libraries are in; FILE and what is printed are paths in it
    #[arg(long, value_name = "FOLDER", default_value = "/")]
    root: PathBuf,
}

impl Deps {
    /// One file that cannot be read does not keep the others from being shown.
    pub(crate) fn run(&self) -> Result<()> {
        let sysroot = HostSysroot::new(&self.root);
        let mut failures = Vec::new();
        for file in &self.files {
            match self.in_root(file).and_then(|path| Ok(elf::deps(&sysroot, &path)?)) {
                Ok(deps) => super::show(&if self.list { deps.list() } else { deps.tree() })?,
                Err(error) => failures.push(format!("{}: {error:#}", file.display())),
            }
        }
        ensure!(failures.is_empty(), "{}", failures.join("\n"));
        Ok(())
    }

    /// A relative path is one of this folder, unless another root was named.
    fn in_root(&self, file: &Path) -> Result<TreePath> {
        let absolute = if self.root == Path::new("/") { std::path::absolute(file)? } else { file.to_owned() };
        Ok(TreePath::new(absolute.as_os_str().as_encoded_bytes())?)
    }
}
