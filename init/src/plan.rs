//! From a manifest to what will be done with its parts: decided before
//! anything is done.

use crate::contract::{Mode, params};
use crate::fault::{Code, Fault};
use crate::manifest::Part;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RootPlan {
    /// In this order, over the root that /init runs on.
    Ram { packages: Vec<Part>, unpacked: u64 },
    /// Bottom first.
    Overlay { layers: Vec<Part> },
}

impl RootPlan {
    /// `asked` is the command line's word; None takes the manifest's.
    pub(crate) fn new(mode: Mode, asked: Option<Mode>, parts: Vec<Part>) -> Result<Self, Fault> {
        if let Some(asked) = asked.filter(|&asked| asked != mode) {
            let what = format!("this medium's parts are for {mode} mode, and {}={asked} was asked for", params::MODE);
            return Err(Fault::new(Code::Mode, what).advise(format!("leave {} away", params::MODE)));
        }
        if parts.is_empty() {
            let what = "its manifest names no part that a root could be made of";
            return Err(Fault::new(Code::Manifest, what).advise("build the image again, with a root"));
        }
        Ok(match mode {
            Mode::Overlay => Self::Overlay { layers: parts },
            Mode::Ram => {
                let unpacked = parts.iter().fold(0_u64, |sum, part| sum.saturating_add(part.unpacked));
                Self::Ram { packages: parts, unpacked }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(path: &str, unpacked: u64) -> Part {
        Part { path: path.into(), size: 1, unpacked, sha256: [0; 32], required: true, privileged: false }
    }

    #[test]
    fn the_manifest_decides_unless_the_command_line_agrees() {
        let parts = vec![part("a", 7), part("b", u64::MAX)];
        for asked in [None, Some(Mode::Ram)] {
            let plan = RootPlan::new(Mode::Ram, asked, parts.clone()).unwrap();
            assert_eq!(plan, RootPlan::Ram { packages: parts.clone(), unpacked: u64::MAX });
        }
        let plan = RootPlan::new(Mode::Overlay, None, parts.clone()).unwrap();
        assert_eq!(plan, RootPlan::Overlay { layers: parts.clone() });
        assert_eq!(RootPlan::new(Mode::Overlay, Some(Mode::Ram), parts).unwrap_err().code, Code::Mode);
        assert_eq!(RootPlan::new(Mode::Ram, None, vec![]).unwrap_err().code, Code::Manifest);
    }
}
