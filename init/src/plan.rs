//! From a manifest to what will be done with its parts: decided before
//! anything is done.

use crate::contract::{Mode, params};
use crate::fault::{Code, Fault};
use crate::manifest::{Hex, Part};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RootPlan {
    /// In this order, over the root that /init runs on.
    Ram { packages: Vec<Part> },
    /// Bottom first.
    Overlay { layers: Vec<Part> },
}

impl RootPlan {
    /// `asked` is the command line's word; None takes the manifest's. Each of
    /// `verity` names the root hashes of all parts.
    pub(crate) fn new(mode: Mode, asked: Option<Mode>, parts: Vec<Part>, verity: &[String]) -> Result<Self, Fault> {
        if let Some(asked) = asked.filter(|&asked| asked != mode) {
            let what = format!("this medium's parts are for {mode} mode, and {}={asked} was asked for", params::MODE);
            return Err(Fault::new(Code::Mode, what).advise(format!("leave {} away", params::MODE)));
        }
        if parts.is_empty() {
            let what = "its manifest names no part that a root could be made of";
            return Err(Fault::new(Code::Manifest, what).advise("build the image again, with a root"));
        }
        let hashes: Vec<String> = parts.iter().map(root_hash).collect();
        let hashes = hashes.join(",");
        if let Some(other) = verity.iter().find(|&wanted| mode == Mode::Ram || *wanted != hashes) {
            let what = format!("the root on this medium has the root hash {hashes}, and {other} was asked for");
            let advice = "the medium was changed, or is of another build than its boot loader: write it again";
            return Err(Fault::new(Code::Verity, what).advise(advice));
        }
        Ok(match mode {
            Mode::Overlay => Self::Overlay { layers: parts },
            Mode::Ram => Self::Ram { packages: parts },
        })
    }
}

/// The parts of a medium that the command line leaves.
pub(crate) fn select(parts: &[Part], asked: &[String]) -> Vec<Part> {
    let chosen = |part: &&Part| {
        // The last word on each is what counts.
        let last = asked.iter().rev().find(|name| is_called(part, name.trim_start_matches('-')));
        last.map_or(!part.extra, |name| !name.starts_with('-'))
    };
    parts.iter().filter(chosen).cloned().collect()
}

/// A sentence for each of the command line's names that no part of any medium has.
pub(crate) fn unknown(parts: &[&Part], asked: &[String]) -> Vec<String> {
    let names = asked.iter().map(|name| name.trim_start_matches('-'));
    let unknown = names.filter(|name| !parts.iter().any(|part| is_called(part, name)));
    let known = || parts.iter().map(|part| short_name(&part.path)).collect::<Vec<_>>().join(" ");
    unknown.map(|name| format!("{}={name}: this medium has no such part, only {}", params::LAYERS, known())).collect()
}

fn is_called(part: &Part, name: &str) -> bool {
    let file = part.path.rsplit('/').next().unwrap_or_default();
    name == part.path || name == file || name == short_name(&part.path)
}

/// `packages/02-editor.tar.xz` is `editor`: the number keeps the order, and the
/// ending tells the format.
fn short_name(path: &str) -> &str {
    let file = path.rsplit('/').next().unwrap_or_default();
    let name = file.split('.').next().unwrap_or_default();
    let numbered = name.split_once('-').filter(|(n, _)| !n.is_empty() && n.bytes().all(|c| c.is_ascii_digit()));
    numbered.map_or(name, |(_, name)| name)
}

/// `none` is no hash, so that no command line can ask for it.
fn root_hash(part: &Part) -> String {
    part.verity.as_ref().map_or_else(|| "none".into(), |verity| Hex(&verity.root_hash).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Verity;

    fn part(path: &str, unpacked: u64) -> Part {
        Part {
            path: path.into(),
            size: 1,
            unpacked,
            sha256: [0; 32],
            required: true,
            privileged: false,
            extra: false,
            verity: None,
        }
    }

    #[test]
    fn the_manifest_decides_unless_the_command_line_agrees() {
        let parts = vec![part("a", 7), part("b", u64::MAX)];
        for asked in [None, Some(Mode::Ram)] {
            let plan = RootPlan::new(Mode::Ram, asked, parts.clone(), &[]).unwrap();
            assert_eq!(plan, RootPlan::Ram { packages: parts.clone() });
        }
        let plan = RootPlan::new(Mode::Overlay, None, parts.clone(), &[]).unwrap();
        assert_eq!(plan, RootPlan::Overlay { layers: parts.clone() });
        assert_eq!(RootPlan::new(Mode::Overlay, Some(Mode::Ram), parts, &[]).unwrap_err().code, Code::Mode);
        assert_eq!(RootPlan::new(Mode::Ram, None, vec![], &[]).unwrap_err().code, Code::Manifest);
    }

    #[test]
    fn parts_are_added_and_left_out_by_name() {
        let extra = |path| Part { extra: true, ..part(path, 1) };
        let parts = [part("packages/01-base.tar.xz", 1), part("packages/02-editor.tar.xz", 1), extra("games.squashfs")];
        let chosen = |asked: &[&str]| {
            let asked: Vec<String> = asked.iter().map(|&name| name.into()).collect();
            let (chosen, notes) = (select(&parts, &asked), unknown(&parts.each_ref(), &asked));
            (chosen.iter().map(|part| short_name(&part.path)).collect::<Vec<_>>().join(" "), notes.len())
        };
        for (asked, expected, notes) in [
            (&[][..], "base editor", 0),
            (&["games"], "base editor games", 0),
            (&["-editor", "games.squashfs"], "base games", 0),
            (&["-packages/02-editor.tar.xz"], "base", 0),
            (&["-editor", "editor"], "base editor", 0),
            (&["games", "-games"], "base editor", 0),
            (&["editor", "nothing", "-2"], "base editor", 2),
            (&["-base", "-editor"], "", 0),
        ] {
            assert_eq!(chosen(asked), (expected.to_owned(), notes), "{asked:?}");
        }
    }

    #[test]
    fn a_root_hash_that_was_asked_for_is_the_only_one_taken() {
        let layer = |byte: u8| {
            let verity = Verity { root_hash: [byte; 32], hashes: "x".into(), hashes_size: 1 };
            Part { verity: Some(verity), ..part("a", 1) }
        };
        let (one, two) = ("01".repeat(32), "02".repeat(32));
        let both = format!("{one},{two}");
        let taken = |mode, parts: &[Part], verity: &[&str]| {
            let verity: Vec<String> = verity.iter().map(|&text| text.into()).collect();
            RootPlan::new(mode, None, parts.to_vec(), &verity).map_err(|fault| fault.code)
        };
        let layers = [layer(1), layer(2)];
        for verity in [&[both.as_str()][..], &[&both, &both]] {
            assert!(taken(Mode::Overlay, &layers, verity).is_ok());
        }
        for (mode, parts, verity) in [
            (Mode::Overlay, &layers[..], &[one.as_str()][..]),
            (Mode::Overlay, &layers[..1], &[&both]),
            (Mode::Overlay, &[layer(2), layer(1)], &[&both]),
            // A second one cannot take the first one back.
            (Mode::Overlay, &layers, &[&both, &one]),
            (Mode::Overlay, &layers[..1], &[&both, &one]),
            (Mode::Overlay, &layers, &[""]),
            (Mode::Overlay, &[part("a", 1)], &[&one]),
            (Mode::Ram, &layers, &[&both]),
        ] {
            assert_eq!(taken(mode, parts, verity), Err(Code::Verity), "{verity:?}");
        }
    }
}
