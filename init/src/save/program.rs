//! The program that saves: /init by another name, in the system that it booted.

use std::fs::{self, File};
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};
use nix::mount::MsFlags;

use super::{Place, store};
use crate::contract::{params, run, system};
use crate::early::make_dir;
use crate::mounts::Mounted;

/// For scripts that stop a system.
const AT_SHUTDOWN: &str = "--at-shutdown";

/// Whether a program of this name is this one.
pub fn is(name: &str) -> bool {
    Path::new(name).file_name() == Path::new(system::SAVE_PROGRAM).file_name()
}

/// Its exit status.
pub fn run(arguments: &[String]) -> i32 {
    let saved = match arguments {
        [] => save(false),
        [only] if only == AT_SHUTDOWN => save(true),
        _ => Err(format!("it takes nothing, or {AT_SHUTDOWN}: to save if {}=shutdown was asked for", params::SAVE_AT)),
    };
    match saved {
        Ok(told) => {
            eprint!("{told}");
            0
        }
        Err(why) => {
            eprintln!("live-save: {why}");
            1
        }
    }
}

fn save(at_shutdown: bool) -> Result<String, String> {
    let Ok(text) = fs::read_to_string(run::SAVE) else {
        // Every system may call it when it stops.
        return if at_shutdown {
            Ok(String::new())
        } else {
            Err(format!("this system was started without {}, and knows no place to save to", params::SAVE))
        };
    };
    let place = Place::parse(&text).ok_or_else(|| format!("{} is damaged", run::SAVE))?;
    if at_shutdown && !place.at_shutdown {
        return Ok(String::new());
    }
    let lock = File::open(run::SAVE).map_err(|e| format!("{}: {e}", run::SAVE))?;
    let _lock = Flock::lock(lock, FlockArg::LockExclusiveNonblock).map_err(|_| "another one is saving")?;
    make_dir(run::SAVED);
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOATIME;
    let mounted = Mounted::new(&place.device, run::SAVED, &place.fs, flags, "")?;
    let (dir, root) = (Path::new(run::SAVED).join(&place.dir), Path::new("/"));
    fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    let (list, mut notes) = store::list(&dir, root);
    let (entries, passed_over) = store::write(&dir, root, &list)?;
    drop(mounted);
    notes.extend(passed_over.into_iter().map(|what| format!("not saved: {what}")));
    notes.push(format!("{entries} entries are saved on {}", place.device));
    Ok(notes.join("\n") + "\n")
}
