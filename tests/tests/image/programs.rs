//! Programs for the disks of an installed system, out of a Debian root, run
//! where there is nothing but the initramfs.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};
use harness::builder::{liveroot, succeed};
use harness::oracle::{Tool, or_skip, skip};

fn given(variable: &str) -> Result<Option<PathBuf>> {
    let file = std::env::var_os(variable).map(PathBuf::from).filter(|file| file.is_file());
    or_skip(file, variable, "`cargo xtask test` fetches it")
}

/// What is started, and what it says then.
const RUNS: &[(&[&str], &str)] = &[
    (&["/sbin/cryptsetup", "--version"], "cryptsetup 2."),
    (&["/sbin/mdadm", "--version"], "mdadm - v"),
    (&["/sbin/mdmon", "--help"], "mdmon"),
    (&["/sbin/lvm", "version"], "LVM version"),
    (&["/sbin/fsck", "--version"], "util-linux"),
    (&["/sbin/fsck.ext4", "-V"], "e2fsck"),
    (&["/sbin/fsck.vfat", "--help"], "Check FAT"),
    (&["/sbin/dmsetup", "--help"], "dmsetup"),
];

const FILES: &[&str] = &[
    "lib/udev/rules.d/55-dm.rules",
    "lib/udev/rules.d/56-lvm.rules",
    "lib/udev/rules.d/63-md-raid-arrays.rules",
    "lib/udev/rules.d/64-md-raid-assembly.rules",
    "etc/lvm/lvm.conf",
    "lib/x86_64-linux-gnu/libgcc_s.so.1",
    "usr/lib/x86_64-linux-gnu/ossl-modules/legacy.so",
];

#[test]
fn programs_of_an_installed_system_run_in_the_initramfs_alone() -> Result<()> {
    let (Some(liveroot), Some(unshare)) = (liveroot()?, Tool::find("unshare")?) else { return Ok(()) };
    let (Some(kernel), Some(root)) = (given("LIVEROOT_TEST_KERNEL_DEB")?, given("LIVEROOT_TEST_DISK_ROOT")?) else {
        return Ok(());
    };
    let dir = tempfile::tempdir()?;
    let profile = dir.path().join("disk.toml");
    fs::write(
        &profile,
        format!(
            "name = \"disk\"\nlabel = \"DISK\"\nmode = \"overlay\"\n[kernel]\nfrom = \"deb:{}\"\n\
             modules = [\"@crypto\", \"@raid\"]\n[initramfs]\ncompress = \"zstd:1\"\n\
             programs = [\"/sbin/cryptsetup\", \"/sbin/mdadm\", \"/sbin/lvm\", \"/sbin/fsck\"]\n\
             [root]\nfrom = \"tar:{}\"\n",
            kernel.display(),
            root.display()
        ),
    )?;
    let (image, unpacked) = (dir.path().join("disk.img"), dir.path().join("unpacked"));
    succeed(Command::new(&liveroot).arg("initramfs").arg(&profile).arg("-o").arg(&image))?;
    succeed(Command::new(&liveroot).arg("extract").arg(&image).arg("-o").arg(&unpacked))?;
    for file in FILES {
        ensure!(unpacked.join(file).is_file(), "{file} is not in the initramfs");
    }
    let why = succeed(Command::new(&liveroot).arg("explain").arg(&image).args(["/lib/udev/rules.d/56-lvm.rules"]))?;
    let why = String::from_utf8_lossy(&why.stdout).into_owned();
    ensure!(why.contains("goes with /sbin/lvm") && why.contains("disk.toml:9"), "{why}");

    if succeed(unshare.command().args(["--user", "--map-root-user", "true"])).is_err() {
        return skip("nobody may chroot here");
    }
    for (run, says) in RUNS {
        let mut chroot = unshare.command();
        chroot.args(["--user", "--map-root-user", "chroot"]).arg(&unpacked).args(*run);
        let output = chroot.output()?;
        let told = [output.stdout, output.stderr].concat();
        let told = String::from_utf8_lossy(&told);
        ensure!(told.contains(says) && !told.contains("shared libraries"), "{run:?} says:\n{told}");
    }
    Ok(())
}

#[test]
fn a_program_is_stripped_where_the_profile_asks_for_it() -> Result<()> {
    let Some(liveroot) = liveroot()? else { return Ok(()) };
    let Some(kernel) = given("LIVEROOT_TEST_KERNEL_DEB")? else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    let len_of = |strip: bool| -> Result<u64> {
        let at = |ending: &str| dir.path().join(format!("{strip}{ending}"));
        // The builder itself, which cargo leaves its symbols.
        let profile = format!(
            "name = \"tools\"\nlabel = \"TOOLS\"\nmode = \"ram\"\n[kernel]\nfrom = \"deb:{}\"\nmodules = [\"loop\"]\n\
             [initramfs]\ncompress = \"zstd:1\"\nstrip = {strip}\nprograms = [\"host:{}\"]\n\
             [[package]]\nname = \"base\"\noverlays = [\"ram-system\"]\n",
            kernel.display(),
            liveroot.display()
        );
        fs::write(at(".toml"), profile)?;
        succeed(Command::new(&liveroot).arg("initramfs").arg(at(".toml")).arg("-o").arg(at(".img")))?;
        succeed(Command::new(&liveroot).arg("extract").arg(at(".img")).arg("-o").arg(at("")))?;
        let program = at("").join(liveroot.strip_prefix("/")?);
        succeed(Command::new(&program).arg("--version"))?;
        Ok(program.metadata()?.len())
    };
    let (whole, less) = (len_of(false)?, len_of(true)?);
    ensure!(whole == liveroot.metadata()?.len() && less < whole, "{whole} to {less}");
    Ok(())
}
