//! Which kmod's symbols another uses first. `depends=` says which kmods are
//! needed but not always in that order, and depmod's order follows the symbols.

use std::collections::HashMap;

use super::modinfo::Modinfo;
use crate::elf::{Malformed, Sections};

/// Names, each ended by NUL.
#[derive(Debug, Default)]
pub(super) struct Symbols {
    exported: Vec<u8>,
    /// In the order of the symbol table; not read of a kmod with one
    /// dependency or none, where there is no order to tell.
    used: Vec<u8>,
}

impl Symbols {
    pub(super) fn load(sections: &Sections, info: &Modinfo) -> Result<Self, Malformed> {
        let exported = sections.get("__ksymtab_strings")?.unwrap_or_default();
        let used = if info.depends.len() > 1 { sections.undefined_symbols()? } else { Vec::new() };
        Ok(Self { exported, used })
    }
}

/// The number of the kmod that exports each symbol.
pub(super) struct Exporters<'a>(HashMap<&'a [u8], usize>);

impl<'a> Exporters<'a> {
    pub(super) fn of(symbols: &'a [Symbols]) -> Self {
        let names = |(n, symbols): (usize, &'a Symbols)| {
            symbols.exported.split(|&b| b == 0).filter(|name| !name.is_empty()).map(move |name| (name, n))
        };
        Self(symbols.iter().enumerate().flat_map(names).collect())
    }

    /// Sorts dependencies by which is used first; unused ones stay behind.
    pub(super) fn sort_by_use(&self, kmods: &mut [usize], user: &Symbols) {
        if kmods.len() < 2 {
            return;
        }
        let mut first_use = HashMap::new();
        for (place, name) in user.used.split(|&b| b == 0).enumerate() {
            if let Some(exporter) = self.0.get(name) {
                first_use.entry(*exporter).or_insert(place);
            }
        }
        kmods.sort_by_key(|kmod| first_use.get(kmod).copied().unwrap_or(usize::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_sorted_by_their_first_use() {
        let with = |exported: &str, used: &str| Symbols { exported: exported.into(), used: used.into() };
        let symbols = [with("a1\0a2\0", ""), with("b1\0", ""), with("", "printk\0b1\0a2\0a1\0"), with("c\0", "")];
        let mut kmods = [3, 0, 1];
        Exporters::of(&symbols).sort_by_use(&mut kmods, &symbols[2]);
        assert_eq!(kmods, [1, 0, 3]);
    }
}
