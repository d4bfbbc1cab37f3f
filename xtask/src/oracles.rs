//! What oracles read beyond installed packages: fetched into the cache, where
//! tests find it by a variable. What cannot be had is skipped, and fails in CI.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::run::{self, say};
use crate::{debian, target};

struct Sample {
    variable: &'static str,
    /// Below the cache's folder of samples.
    file: &'static str,
    fetch: fn(&Path) -> Result<PathBuf>,
}

/// What mounts the disks of an installed system; with what they depend on, 130 MB.
const DISK_PROGRAMS: &[&str] = &["cryptsetup-bin", "mdadm", "lvm2", "e2fsprogs", "dosfstools", "util-linux"];

/// With what they depend on 330 packages in 53 MB, most of them very small: Perl's.
const MANY_PACKAGES: &[&str] = &[
    "systemd-sysv",
    "apt",
    "iputils-ping",
    "libcatalyst-perl",
    "libdbix-class-schema-loader-perl",
    "libdist-zilla-perl",
    "libkiokudb-perl",
    "libtest-most-perl",
];

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
    Sample {
        variable: "LIVEROOT_TEST_DISK_ROOT",
        file: "disk-root.tar",
        fetch: |samples| debian::extracted(DISK_PROGRAMS, &samples.join("disk-root.tar")),
    },
    Sample {
        variable: "LIVEROOT_TEST_DEBIAN_ROOT",
        file: "debian-root.tar",
        fetch: |samples| debian::extracted(MANY_PACKAGES, &samples.join("debian-root.tar")),
    },
    Sample {
        variable: "LIVEROOT_TEST_KERNEL_DEB_5_10",
        file: "linux-image-bullseye.deb",
        fetch: |samples| debian::kernel_of("bullseye", samples),
    },
    Sample {
        variable: "LIVEROOT_TEST_KERNEL_DEB_6_12",
        file: "linux-image-trixie.deb",
        fetch: |samples| debian::kernel_of("trixie", samples),
    },
    Sample { variable: "LIVEROOT_TEST_GEN_INIT_CPIO", file: "gen_init_cpio.c", fetch: gen_init_cpio },
];

pub(crate) fn fetch() {
    for sample in SAMPLES.iter().filter(|sample| !folder().join(sample.file).exists()) {
        if let Err(error) = fs::create_dir_all(folder()).map_err(Into::into).and_then(|()| (sample.fetch)(&folder())) {
            say(&format!("going on without {}: {error:#}", sample.file));
        }
    }
}

pub(crate) fn environment(command: &mut Command) -> &mut Command {
    command.envs(SAMPLES.iter().map(|sample| (sample.variable, folder().join(sample.file))))
}

/// One file of the kernel's source; the rest goes again.
fn gen_init_cpio(samples: &Path) -> Result<PathBuf> {
    let scratch = samples.join("linux-source");
    let package = debian::dependency("linux-source", "amd64", &scratch)?;
    run::run(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(&scratch))?;
    let sources = scratch.join("usr/src");
    let tar = debian::only_file(&sources, ".tar.xz")?;
    let name = tar.file_name().unwrap_or_default().to_string_lossy().replace(".tar.xz", "/usr/gen_init_cpio.c");
    // It goes on to the end of the tar without the former.
    run::run(Command::new("tar").args(["--occurrence=1", "-xf"]).arg(&tar).arg("-C").arg(&sources).arg(&name))?;
    let target = samples.join("gen_init_cpio.c");
    fs::rename(sources.join(&name), &target)?;
    fs::remove_dir_all(&scratch)?;
    Ok(target)
}

fn folder() -> PathBuf {
    target().join("cache/samples")
}
