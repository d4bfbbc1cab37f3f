//! toybox: one static program and a symlink for each of its commands.

use std::path::Path;

use tree::{Conflict, Content, Provenance, Tree, TreePath};

use crate::builtin;
use crate::plan::Userland;
use crate::profile::Located;
use crate::provenance::role::words;

const PROGRAM: &str = "bin/toybox";

#[derive(Debug, thiserror::Error)]
pub enum UserlandError {
    #[error("{path}")]
    Read { path: String, source: std::io::Error },
    #[error("{path}: its list of commands is not there; `{toybox} --long > {path}` makes it")]
    NoList { path: String, toybox: String },
    #[error("the list of toybox's commands has `{0}` in it, which is not a path")]
    BadCommand(String),
    #[error("toybox")]
    Conflict(#[from] Conflict),
}

/// `/bin/toybox` and the links to it. Which commands a toybox has is read from
/// the list beside it, never asked of the program: it may be for another machine.
pub fn tree(userland: &Located<Userland>) -> Result<Tree, UserlandError> {
    let because = format!("profile {}: userland", userland.place.short());
    let (content, list) = match &userland.value {
        Userland::BuiltinToybox => {
            let toybox = builtin::toybox().expect("the plan has looked");
            (Content::from(toybox.bytes), toybox.applets.to_owned())
        }
        Userland::Toybox(path) => load(path)?,
    };
    let mut tree = Tree::new();
    let program = TreePath::new(PROGRAM).expect("a plain path");
    tree.insert_file(program, 0o755, content, Provenance::new(words::TOYBOX).because(because.clone()))?;
    for command in list.split_whitespace() {
        let path = TreePath::new(command).map_err(|_| UserlandError::BadCommand(command.into()))?;
        if path.is_root() || tree.contains(&path) {
            continue;
        }
        let up = "../".repeat(path.depth() - 1);
        let target = if path.parent().is_some_and(|dir| dir.as_bytes() == b"bin") {
            "toybox".to_owned()
        } else {
            format!("{up}{PROGRAM}")
        };
        tree.insert_symlink(path, target, Provenance::new(words::TOYBOX_COMMAND).because(because.clone()))?;
    }
    Ok(tree)
}

fn load(path: &Path) -> Result<(Content, String), UserlandError> {
    let shown = path.display().to_string();
    let len = path.metadata().map_err(|source| UserlandError::Read { path: shown.clone(), source })?.len();
    let list = format!("{shown}.applets");
    let text = std::fs::read_to_string(&list).map_err(|_| UserlandError::NoList { path: list, toybox: shown })?;
    Ok((Content::host(path, len), text))
}
