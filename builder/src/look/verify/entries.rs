//! Boot entries: that their files are there, and their command lines fit.

use init::contract::Mode;
use tree::{Tree, TreePath};

use super::esp::Esp;
use super::{Report, Severity};
use crate::look::{loader, ours};

/// x86's COMMAND_LINE_SIZE, arm64's too: the kernel cuts off what is longer.
const CMDLINE_MAX: usize = 2048;

pub(super) fn check(tree: &Tree, esp: Option<&Esp>, is_ours: bool, report: &mut Report) {
    let is_ram = ours::manifest(tree).ok().flatten().is_some_and(|manifest| manifest.mode == Mode::Ram);
    // Others' loaders may find their files where nobody here can look.
    let severity = if is_ours { Severity::Fault } else { Severity::Advice };
    let trees: Vec<&Tree> = [Some(tree), esp.map(|esp| &esp.tree)].into_iter().flatten().collect();
    for tree in &trees {
        let entries = match loader::entries(tree) {
            Ok(entries) => entries,
            Err(error) => return report.fault("boot entries", error.to_string()),
        };
        for entry in entries {
            let place = format!("{}: entry \"{}\"", entry.config, entry.title);
            // GRUB in an ESP reads the ISO: a file may stand in either.
            for file in entry.files.iter().filter(|file| !trees.iter().any(|tree| is_there(tree, file))) {
                report.add(severity, &place, format!("names {file}, which is not there"));
            }
            let len = entry.cmdline.len();
            if len >= CMDLINE_MAX {
                report.fault(&place, format!("its command line has {len} bytes, and the kernel reads {CMDLINE_MAX}"));
            }
            if is_ram && entry.cmdline.split_whitespace().any(|word| word.starts_with("root=")) {
                report.fault(&place, "says root=, and in ram mode there is none: /init is the root's own");
            }
        }
    }
}

/// ISO loaders and UEFI take a name in any case.
fn is_there(tree: &Tree, path: &TreePath) -> bool {
    tree.contains(path) || tree.walk().any(|item| item.path.as_bytes().eq_ignore_ascii_case(path.as_bytes()))
}
