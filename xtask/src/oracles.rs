//! What oracles read beyond installed packages: fetched into the cache, where
//! tests find it by a variable. What cannot be had is skipped, and fails in CI.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::run::say;
use crate::{debian, target};

struct Sample {
    variable: &'static str,
    /// Below the cache's folder of samples.
    file: &'static str,
    fetch: fn(&Path) -> Result<PathBuf>,
}

const SAMPLES: &[Sample] = &[
    Sample {
        variable: "LIVEROOT_TEST_KERNEL_DEB_ARM64",
        file: "linux-image-arm64.deb",
        fetch: |samples| debian::dependency("linux-image-arm64", "arm64", samples),
    },
    Sample {
        variable: "LIVEROOT_TEST_KMOD_SOURCE",
        file: "kmod/source",
        fetch: |samples| debian::source("kmod", &samples.join("kmod")),
    },
];

pub(crate) fn fetch() {
    for sample in SAMPLES.iter().filter(|sample| !folder().join(sample.file).exists()) {
        if let Err(error) =
            std::fs::create_dir_all(folder()).map_err(Into::into).and_then(|()| (sample.fetch)(&folder()))
        {
            say(&format!("going on without {}: {error:#}", sample.file));
        }
    }
}

pub(crate) fn environment(command: &mut Command) -> &mut Command {
    command.envs(SAMPLES.iter().map(|sample| (sample.variable, folder().join(sample.file))))
}

fn folder() -> PathBuf {
    target().join("cache/samples")
}
