//! `[root]` and the layers over it, resolved.

use std::path::Path;

use init::contract::{medium, params};

use super::resolve::{Resolver, is_package_name, is_verified, split_source};
use super::{LayerPlan, RootPlan, RootSource};
use crate::profile::{LayerSection, Located, Problem, Profile};
use crate::squashfs::{BlockSize, Compression, OptionError};

impl Resolver<'_> {
    pub(super) fn root(&mut self, profile: &Profile) -> Option<RootPlan> {
        let section = profile.root.as_ref()?;
        let from = self.root_source(&section.from, &section.include, "root")?;
        let compress = self.root_codec(section.compress.as_ref());
        let block = section.block.as_ref().map_or(Ok(BlockSize::default()), |written| written.value.parse());
        let block = block.map_err(|e: OptionError| self.refuse(section.block.as_ref(), &e.to_string())).ok();
        let order = section.order.as_ref().and_then(|written| {
            let value = self.existing(written, &written.value, Path::is_file, "a file")?;
            Some(Located { value, place: written.place.clone() })
        });
        let overlays = self.overlays(&section.overlays);
        let layers = profile.layers.iter().filter_map(|layer| self.layer(profile, layer)).collect();
        Some(RootPlan {
            from,
            exclude: section.exclude.clone(),
            exclude_usual: section.exclude_usual.as_ref().is_none_or(|usual| usual.value),
            compress: compress?,
            block: block?,
            tail_packing: section.pack_tails.as_ref().is_some_and(|pack| pack.value),
            order,
            overlays,
            layers,
            verity: is_verified(profile),
        })
    }

    fn layer(&mut self, profile: &Profile, section: &LayerSection) -> Option<LayerPlan> {
        let name = &section.name;
        // A file's name on the medium, and a word of the command line, where a
        // number in front is a place in an order.
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_+-".contains(c);
        let begins = name.value.starts_with(|c: char| c.is_ascii_lowercase());
        if !begins || name.value.len() > 64 || !name.value.chars().all(plain) {
            let problem = Problem::new(&name.place, format!("`{}` cannot be the name of a layer", name.value));
            let remedy = "a lower-case letter, then lower-case letters, digits, `-`, `_` and `+`, at most 64";
            self.problems.push(problem.remedy(remedy));
        }
        let named = |other: &&LayerSection| other.name.value == name.value;
        let twice = profile.layers.iter().find(named).is_some_and(|first| first.name.place != name.place);
        if twice || name.value == medium::ROOT_LAYER {
            let problem = Problem::new(&name.place, format!("two layers are called `{}`", name.value));
            self.problems.push(problem.remedy(format!("`{}` tells them apart by their names", params::LAYERS)));
        }
        let extra = section.extra.as_ref().filter(|extra| extra.value);
        if let (Some(extra), true) = (extra, is_verified(profile)) {
            let problem = Problem::new(&extra.place, "a layer that is not always there, and `image.verity`");
            self.problems
                .push(problem.remedy("boot entries name the root hashes of all layers: leave one of them out"));
        }
        if let (Some(first), None) = (section.include.first(), &section.from) {
            let problem = Problem::new(&first.place, "`layer.include` names packages, and there is no `from`");
            self.problems.push(problem.remedy("`include` goes with `from = \"mmdebstrap:SUITE\"`"));
        }
        let from = match &section.from {
            Some(from) => Some(self.root_source(from, &section.include, "layer")?),
            None => None,
        };
        let compress = section.compress.as_ref().or_else(|| profile.root.as_ref()?.compress.as_ref());
        Some(LayerPlan {
            name: name.clone(),
            from,
            exclude: section.exclude.clone(),
            compress: self.root_codec(compress)?,
            overlays: self.overlays(&section.overlays),
            extra: extra.is_some(),
        })
    }

    fn root_codec(&mut self, written: Option<&Located<String>>) -> Option<Compression> {
        let compress: Result<Compression, _> = written.map_or("zstd:15", |written| &written.value).parse();
        compress.map_err(|e: OptionError| self.refuse(written, &e.to_string())).ok()
    }

    /// A whole root; `section` is where it is written.
    fn root_source(
        &mut self,
        from: &Located<String>,
        include: &[Located<String>],
        section: &str,
    ) -> Option<Located<RootSource>> {
        let (kind, rest) = split_source(&from.value);
        let source = match kind {
            "dir" => RootSource::Dir(self.existing(from, rest, Path::is_dir, "a folder")?),
            "tar" => RootSource::Tar(self.existing(from, rest, Path::is_file, "a file")?),
            "mmdebstrap" if is_package_name(rest) => RootSource::Mmdebstrap {
                suite: rest.into(),
                include: include.iter().map(|package| package.value.clone()).collect(),
            },
            _ => {
                let problem = Problem::new(&from.place, format!("no root source: `{}`", from.value));
                self.problems.push(problem.remedy("`dir:PATH`, `tar:FILE` or `mmdebstrap:SUITE`"));
                return None;
            }
        };
        for package in include.iter().filter(|package| !is_package_name(&package.value)) {
            let problem = Problem::new(&package.place, format!("`{}` is not the name of a package", package.value));
            self.problems.push(problem.remedy("lower-case letters, digits, `+`, `-` and `.`"));
        }
        if let (Some(first), false) = (include.first(), matches!(source, RootSource::Mmdebstrap { .. })) {
            let what = format!("`{section}.include` names packages, and this root is finished");
            let remedy = "`include` goes with `from = \"mmdebstrap:SUITE\"`";
            self.problems.push(Problem::new(&first.place, what).remedy(remedy));
        }
        Some(Located { value: source, place: from.place.clone() })
    }
}
