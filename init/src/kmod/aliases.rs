//! From a modalias to the kmods that serve it. An index has thousands of
//! globs, and a boot asks a hundred times: what stands before a glob's first
//! wildcard is looked up, and only what is left is matched.

use crate::glob;
use crate::kmods::Alias;

#[derive(Debug)]
pub(super) struct Aliases<'a> {
    /// By their literal beginnings.
    sorted: Vec<(&'a str, Alias<'a>)>,
    /// Which lengths those beginnings have, each once.
    lengths: Vec<usize>,
}

impl<'a> Aliases<'a> {
    pub(super) fn new(aliases: &[Alias<'a>]) -> Self {
        let mut sorted: Vec<_> = aliases.iter().map(|&alias| (literal(alias.glob), alias)).collect();
        sorted.sort_by_key(|&(literal, alias)| (literal, alias.kmod));
        let mut lengths: Vec<usize> = sorted.iter().map(|(literal, _)| literal.len()).collect();
        lengths.sort_unstable();
        lengths.dedup();
        Self { sorted, lengths }
    }

    /// Each kmod once.
    pub(super) fn find(&self, modalias: &str) -> Vec<u32> {
        let mut found = Vec::new();
        for &length in self.lengths.iter().take_while(|&&length| length <= modalias.len()) {
            let Some(beginning) = modalias.get(..length) else { continue };
            let first = self.sorted.partition_point(|(literal, _)| *literal < beginning);
            for (_, alias) in self.sorted[first..].iter().take_while(|(literal, _)| *literal == beginning) {
                if !found.contains(&alias.kmod) && glob::matches(alias.glob, modalias) {
                    found.push(alias.kmod);
                }
            }
        }
        found
    }
}

fn literal(glob: &str) -> &str {
    &glob[..glob.find(['*', '?', '[', '\\']).unwrap_or(glob.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_matching_every_glob_would_find() {
        let globs = [
            "pci:v00008086d00001234sv*sd*bc*sc*i*",
            "pci:v00008086d*",
            "pci:v*d*sv*sd*bc01sc06i01*",
            "pci:v0000808[67]d*bc01*",
            "*",
            "usb:v1234p*d*dc*",
            "",
            "scsi:t-0x05*",
            "fs-isofs",
        ];
        let aliases: Vec<Alias> =
            globs.iter().enumerate().map(|(kmod, &glob)| Alias { kmod: kmod as u32, glob }).collect();
        let table = Aliases::new(&aliases);
        for text in [
            "pci:v00008086d00001234sv00000000sd00000000bc01sc06i01",
            "pci:v00008087d00001111sv0sd0bc01sc06i01",
            "scsi:t-0x05",
            "usb:v1234p5678d1dc2",
            "fs-isofs",
            "fs-isof\u{e9}",
            "",
        ] {
            let mut found = table.find(text);
            found.sort_unstable();
            let expected: Vec<u32> =
                aliases.iter().filter(|alias| glob::matches(alias.glob, text)).map(|alias| alias.kmod).collect();
            assert_eq!(found, expected, "{text}");
        }
    }
}
