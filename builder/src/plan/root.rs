//! `[root]` resolved.

use std::path::Path;

use super::resolve::{Resolver, is_package_name, is_verified, split_source};
use super::{RootPlan, RootSource};
use crate::profile::{Located, Problem, Profile};
use crate::squashfs::{Compression, OptionError};

impl Resolver<'_> {
    pub(super) fn root(&mut self, profile: &Profile) -> Option<RootPlan> {
        let section = profile.root.as_ref()?;
        let from = &section.from;
        let (kind, rest) = split_source(&from.value);
        let source = match kind {
            "dir" => RootSource::Dir(self.existing(from, rest, Path::is_dir, "a folder")?),
            "tar" => RootSource::Tar(self.existing(from, rest, Path::is_file, "a file")?),
            "mmdebstrap" if is_package_name(rest) => RootSource::Mmdebstrap {
                suite: rest.into(),
                include: section.include.iter().map(|package| package.value.clone()).collect(),
            },
            _ => {
                let problem = Problem::new(&from.place, format!("no root source: `{}`", from.value));
                self.problems.push(problem.remedy("`dir:PATH`, `tar:FILE` or `mmdebstrap:SUITE`"));
                return None;
            }
        };
        for package in section.include.iter().filter(|package| !is_package_name(&package.value)) {
            let problem = Problem::new(&package.place, format!("`{}` is not the name of a package", package.value));
            self.problems.push(problem.remedy("lower-case letters, digits, `+`, `-` and `.`"));
        }
        if let (Some(first), false) = (section.include.first(), matches!(source, RootSource::Mmdebstrap { .. })) {
            let problem = Problem::new(&first.place, "`root.include` names packages, and this root is finished");
            self.problems.push(problem.remedy("`include` goes with `from = \"mmdebstrap:SUITE\"`"));
        }
        let written = section.compress.as_ref();
        let compress: Result<Compression, _> = written.map_or("zstd:15", |written| &written.value).parse();
        let compress = compress.map_err(|e: OptionError| self.refuse(written, &e.to_string())).ok();
        let order = section.order.as_ref().and_then(|written| {
            let value = self.existing(written, &written.value, Path::is_file, "a file")?;
            Some(Located { value, place: written.place.clone() })
        });
        let overlays = self.overlays(&section.overlays);
        Some(RootPlan {
            from: Located { value: source, place: from.place.clone() },
            exclude: section.exclude.clone(),
            compress: compress?,
            order,
            overlays,
            verity: is_verified(profile),
        })
    }
}
