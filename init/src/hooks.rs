//! Programs of the image's own author, run at the end of a state: those of
//! `/lib/live/hooks/STATE/`, in the order of their names, each with a deadline.
//!
//! In overlay mode that is a directory of the initramfs; in ram mode packages
//! can bring some too, for the states after their own.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::child::{self, CANNOT_EXECUTE, is_program};
use crate::contract::{initramfs, run};
use crate::log::info;
use crate::status::{State, Status};

const PATIENCE: Duration = Duration::from_secs(30);

/// Whether there were any. One that fails is told, and the boot goes on.
pub(crate) fn run(state: State, root: Option<&Path>, status: &mut Status) -> bool {
    let hooks = programs(&Path::new(initramfs::HOOKS).join(state.name()));
    if hooks.is_empty() {
        return false;
    }
    for hook in &hooks {
        info!("hook {}", hook.display());
        let why = match child::run(hook, &[], &environment(state, root), PATIENCE) {
            Ok(0) => continue,
            Ok(CANNOT_EXECUTE) => format!("it cannot be executed, or says so ({CANNOT_EXECUTE})"),
            Ok(code) => format!("it ended with {code}"),
            Err(why) => why,
        };
        status.degrade(format!("hook {}: {why}", hook.display()));
    }
    true
}

/// By name; what cannot be executed, or is hidden, is none.
fn programs(dir: &Path) -> Vec<PathBuf> {
    let is_hidden = |path: &Path| path.file_name().is_some_and(|name| name.as_bytes().starts_with(b"."));
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut programs: Vec<PathBuf> =
        entries.map(|entry| entry.path()).filter(|path| !is_hidden(path) && is_program(path)).collect();
    programs.sort_unstable();
    programs
}

fn environment(state: State, root: Option<&Path>) -> [String; 3] {
    let root = root.map_or_else(String::new, |root| root.display().to_string());
    [format!("LIVE_STATE={}", state.name()), format!("LIVE_ROOT={root}"), format!("LIVE_MEDIUM={}", run::MEDIUM)]
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn programs_are_taken_by_name_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        for (name, mode) in [("20-b", 0o755), ("10-a", 0o700), ("30-text", 0o644), (".hidden", 0o755)] {
            fs::write(dir.path().join(name), "").unwrap();
            fs::set_permissions(dir.path().join(name), PermissionsExt::from_mode(mode)).unwrap();
        }
        fs::create_dir(dir.path().join("15-dir")).unwrap();
        assert_eq!(programs(dir.path()), [dir.path().join("10-a"), dir.path().join("20-b")]);
        assert!(programs(&dir.path().join("none")).is_empty());
    }

    #[test]
    fn a_hook_is_told_where_it_is() {
        assert_eq!(
            environment(State::Configure, Some(Path::new("/sysroot"))),
            ["LIVE_STATE=configure", "LIVE_ROOT=/sysroot", "LIVE_MEDIUM=/run/live/medium"]
        );
    }
}
