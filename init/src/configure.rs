//! The root becomes somebody's, before its init looks at it.

use std::path::Path;

use crate::identity::{Identity, Seen, plan, write};
use crate::log::{self, info};
use crate::preflight::resolve;
use crate::status::Status;

/// What cannot be done is told, and the boot goes on without it.
pub(crate) fn identity(root: &Path, identity: &Identity, status: &mut Status) {
    let consoles: Vec<String> =
        log::console_paths().iter().filter_map(|path| path.strip_prefix("/dev/").map(Into::into)).collect();
    let seen = Seen {
        text: &|path| write::read(root, path),
        has: &|path| resolve(root, Path::new(path)).is_ok(),
        consoles: &consoles,
    };
    let (changes, notes) = plan(identity, &seen);
    for note in notes {
        status.degrade(note);
    }
    let count = changes.len();
    let failed: Vec<String> = changes.iter().filter_map(|change| write::write(root, change).err()).collect();
    if count > 0 {
        info!("identity: {} of {count} changes done", count - failed.len());
    }
    for why in failed {
        status.degrade(why);
    }
}
