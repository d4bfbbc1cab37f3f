//! Debian's package manager.

use std::process::Command;

use anyhow::{Result, bail};

use crate::run::{self, say};

pub(super) fn is_here() -> bool {
    run::find("apt-get").is_some() && run::find("dpkg").is_some()
}

pub(super) fn install(packages: &[&str]) -> Result<()> {
    let Some(privilege) = Privilege::of_this_user() else {
        bail!(
            "installing packages takes root, and `sudo` does not work without a password here; run\n  \
             sudo apt-get install --no-install-recommends {}\nand then this again",
            packages.join(" ")
        );
    };
    say(&format!("installing Debian packages: {}", packages.join(" ")));
    run::run(privilege.apt_get().args(["-q", "update"]))?;
    let install = |extra: &[String]| {
        // --no-remove: what this machine already has is not ours to take away.
        run::run(
            privilege
                .apt_get()
                .args(["-qy", "install", "--no-install-recommends", "--no-remove"])
                .args(packages)
                .args(extra),
        )
    };
    let first = install(&[]);
    if first.is_ok() || !packages.contains(&"qemu-system-x86") {
        return first;
    }
    let os_release = std::fs::read_to_string("/etc/os-release")?;
    let Some(codename) = codename(&os_release) else { return first };
    // Backports and snapshots leave machines with a qemu-utils newer than the
    // release's qemu-system-x86, and the two must be of one version.
    say("trying again with the qemu-utils of this release, in case another one is in the way");
    install(&["--allow-downgrades".into(), format!("qemu-utils/{codename}")])
}

enum Privilege {
    Root,
    Sudo,
}

impl Privilege {
    fn of_this_user() -> Option<Self> {
        if run::output(Command::new("id").arg("-u")).is_ok_and(|uid| uid == "0") {
            return Some(Self::Root);
        }
        run::succeeds(Command::new("sudo").args(["-n", "true"])).then_some(Self::Sudo)
    }

    fn apt_get(&self) -> Command {
        let settings = ["apt-get", "-o", "DPkg::Lock::Timeout=300"];
        let mut command = match self {
            Self::Root => Command::new("env"),
            Self::Sudo => Command::new("sudo"),
        };
        if matches!(self, Self::Sudo) {
            command.args(["-n", "env"]);
        }
        command.arg("DEBIAN_FRONTEND=noninteractive").args(settings);
        command
    }
}

fn codename(os_release: &str) -> Option<&str> {
    os_release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_codename_is_read_from_os_release() {
        assert_eq!(super::codename("ID=debian\nVERSION_CODENAME=bookworm\n"), Some("bookworm"));
        assert_eq!(super::codename("ID=debian\n"), None);
    }
}
