//! The index of kernel modules that the builder puts in an initramfs, so that
//! `/init` reads one small file instead of depmod's seven large ones.
//!
//! ```text
//! liveroot-kmods 1.0 6.1.0-40-amd64
//! kmod scsi_common kernel/drivers/scsi/scsi_common.ko - -
//! kmod scsi_mod kernel/drivers/scsi/scsi_mod.ko 0 -
//! kmod sd_mod kernel/drivers/scsi/sd_mod.ko 0,1 3
//! after 2 4
//! alias 2 scsi:t-0x00*
//! builtin ext4
//! ```
//!
//! A kmod's number is its place among the `kmod` lines. The first list has
//! everything it needs, in loading order, its dependencies' dependencies
//! included (modules.dep reversed); the second, what softdeps ask to try first.
//! What they ask to try afterwards has lines of its own, which are as few as such kmods.
//! Names have `_` for `-`, as /proc/modules prints them. Globs are those of
//! fnmatch(3): `*`, `?` and `[…]`.

use std::fmt::Write;

use crate::contract::{FormatError, check_header};

const NAME: &str = "liveroot-kmods";
const MAJOR: u32 = 1;

/// Borrows everything from the text it was read from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KmodIndex<'a> {
    /// The kernel release these modules are for: `uname -r`.
    pub release: &'a str,
    pub kmods: Vec<Kmod<'a>>,
    pub afters: Vec<After>,
    pub aliases: Vec<Alias<'a>>,
    /// Names of what is in the kernel itself and needs no loading.
    pub builtin: Vec<&'a str>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kmod<'a> {
    pub name: &'a str,
    /// Relative to the release's directory.
    pub path: &'a str,
    /// Numbers of kmods to load before, in this order; all that are needed.
    pub deps: Vec<u32>,
    /// Numbers of kmods to try before; a failure of theirs is not ours.
    pub soft: Vec<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct After {
    pub kmod: u32,
    /// To be tried once that is loaded.
    pub later: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alias<'a> {
    pub kmod: u32,
    pub glob: &'a str,
}

impl<'a> KmodIndex<'a> {
    pub fn print(&self) -> String {
        let mut text = format!("{NAME} {MAJOR}.0 {}\n", self.release);
        for Kmod { name, path, deps, soft } in &self.kmods {
            let _ = writeln!(text, "kmod {name} {path} {} {}", Numbers(deps), Numbers(soft));
        }
        for After { kmod, later } in &self.afters {
            let _ = writeln!(text, "after {kmod} {later}");
        }
        for Alias { kmod, glob } in &self.aliases {
            let _ = writeln!(text, "alias {kmod} {glob}");
        }
        for name in &self.builtin {
            let _ = writeln!(text, "builtin {name}");
        }
        text
    }

    pub fn parse(text: &'a str) -> Result<Self, FormatError> {
        let mut index = Self { release: check_header(text.lines().next(), NAME, MAJOR)?, ..Self::default() };
        let mut numbers = 0;
        for (n, line) in text.lines().enumerate().skip(1) {
            let bad = || FormatError { line: n + 1, problem: format!("not an entry of this index: `{line}`") };
            let (key, value) = line.split_once(' ').ok_or_else(bad)?;
            match key {
                "kmod" => {
                    let mut words = value.split(' ');
                    let mut word = || words.next().ok_or_else(bad);
                    let (name, path) = (word()?, word()?);
                    let deps = parse_numbers(word()?).ok_or_else(bad)?;
                    let soft = parse_numbers(word()?).ok_or_else(bad)?;
                    numbers = deps.iter().chain(&soft).fold(numbers, |max, &n| max.max(n as usize + 1));
                    index.kmods.push(Kmod { name, path, deps, soft });
                }
                "after" => {
                    let (kmod, later) = value.split_once(' ').ok_or_else(bad)?;
                    let after =
                        After { kmod: kmod.parse().map_err(|_| bad())?, later: later.parse().map_err(|_| bad())? };
                    numbers = numbers.max(after.kmod.max(after.later) as usize + 1);
                    index.afters.push(after);
                }
                "alias" => {
                    let (kmod, glob) = value.split_once(' ').ok_or_else(bad)?;
                    let kmod: u32 = kmod.parse().map_err(|_| bad())?;
                    numbers = numbers.max(kmod as usize + 1);
                    index.aliases.push(Alias { kmod, glob });
                }
                "builtin" => index.builtin.push(value),
                _ => {}
            }
        }
        // Checked once here, so that nothing that uses a number has to.
        if numbers > index.kmods.len() {
            return Err(FormatError {
                line: 1,
                problem: format!("it names kmod {} of {}", numbers - 1, index.kmods.len()),
            });
        }
        Ok(index)
    }
}

struct Numbers<'a>(&'a [u32]);

impl std::fmt::Display for Numbers<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return f.write_str("-");
        }
        for (n, number) in self.0.iter().enumerate() {
            write!(f, "{}{number}", if n == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

fn parse_numbers(word: &str) -> Option<Vec<u32>> {
    if word == "-" {
        return Some(Vec::new());
    }
    word.split(',').map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_as_it_was() {
        let kmod = |name, path, deps: &[u32], soft: &[u32]| Kmod { name, path, deps: deps.into(), soft: soft.into() };
        let index = KmodIndex {
            release: "6.1.0-40-amd64",
            kmods: vec![kmod("a", "kernel/a.ko", &[], &[]), kmod("b", "kernel/b.ko.xz", &[0], &[0])],
            afters: vec![After { kmod: 1, later: 0 }],
            aliases: vec![Alias { kmod: 1, glob: "pci:v*d0000[0-4]*" }],
            builtin: vec!["ext4"],
        };
        assert_eq!(KmodIndex::parse(&index.print()), Ok(index));
    }

    #[test]
    fn numbers_past_the_end_are_refused() {
        for text in [
            "kmod a p 1 -",
            "kmod a p - 7",
            "kmod a p - -\nalias 1 x",
            "kmod a p - -\nafter 0 1",
            "after 0",
            "kmod a p x -",
            "kmod a p",
            "what",
        ] {
            assert!(KmodIndex::parse(&format!("liveroot-kmods 1.0 r\n{text}\n")).is_err(), "{text}");
        }
    }
}
