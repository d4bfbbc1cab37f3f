//! What an entry of an initramfs is there as. The chain of causes is prose;
//! this is the one place that knows the words which begin its sentences.

use tree::{Item, Provenance, TreePath};

/// The first words of causes, behind which stands what they are about.
pub mod words {
    pub const KMOD: &str = "kmod";
    pub const FIRMWARE: &str = "firmware of kmod";
    pub const PROGRAM: &str = "program";
    /// A file that a program opens or starts by its name.
    pub const COMPANION: &str = "goes with";
    pub const INTERPRETER: &str = "interpreter of";
    pub const LOADER: &str = "loader";
    pub const LIBRARY: &str = "library";
    pub const OPENED_LIBRARY: &str = "opened library";
    pub const OVERLAY: &str = "overlay";
    pub const TOYBOX: &str = "toybox";
    pub const TOYBOX_COMMAND: &str = "command of toybox";
    pub const INIT: &str = "liveroot's /init";
    pub const EVERY_INITRAMFS: &str = "every initramfs has it";
    pub const KMOD_INDEX: &str = "index of the kernel modules";
    pub const FACTS: &str = "facts of this image";
    pub const SHELL_PASSWORD: &str = "password of the rescue prompt, hashed";
    pub const CONTENTS: &str = "list of the initramfs, which /init checks";
    /// Of a Debian system, by dpkg's lists.
    pub const PACKAGE: &str = "Debian package";
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Kmod,
    Firmware,
    Library,
    Program,
    Userland,
    Overlay,
    Init,
    List,
    Other,
}

const ROLES: &[(&str, Role)] = &[
    (words::KMOD, Role::Kmod),
    (words::FIRMWARE, Role::Firmware),
    (words::PROGRAM, Role::Program),
    (words::COMPANION, Role::Program),
    (words::INTERPRETER, Role::Program),
    (words::LOADER, Role::Library),
    (words::LIBRARY, Role::Library),
    (words::OPENED_LIBRARY, Role::Library),
    (words::OVERLAY, Role::Overlay),
    (words::TOYBOX, Role::Userland),
    (words::TOYBOX_COMMAND, Role::Userland),
    (words::INIT, Role::Init),
    (words::EVERY_INITRAMFS, Role::Init),
    (words::KMOD_INDEX, Role::List),
    (words::FACTS, Role::List),
    (words::SHELL_PASSWORD, Role::List),
    (words::CONTENTS, Role::List),
];

impl Role {
    /// Of all that have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kmod => "kmods",
            Self::Firmware => "firmware",
            Self::Library => "libraries",
            Self::Program => "programs",
            Self::Userland => "userland",
            Self::Overlay => "overlays",
            Self::Init => "init",
            Self::List => "lists",
            Self::Other => "other",
        }
    }
}

/// An entry's role, and which of several things in that role it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub role: Role,
    pub name: String,
}

/// What its chain of causes says of an entry.
pub fn told(item: &Item<'_>, from: &Provenance) -> Part {
    let Some((_, role, about)) = nearest(from) else {
        return Part { role: Role::Other, name: from.causes().next().unwrap_or_default().into() };
    };
    let name = match role {
        Role::Kmod => subsystem(item.path),
        // A library is there for the program that was asked for, as is its interpreter.
        Role::Library | Role::Program => {
            let programs = from.causes().filter_map(|cause| after(cause, words::PROGRAM));
            programs.last().unwrap_or(about).into()
        }
        Role::Firmware | Role::Overlay => about.into(),
        Role::Userland => words::TOYBOX.into(),
        Role::Init | Role::List | Role::Other => item.path.to_string(),
    };
    Part { role, name }
}

/// What its path suggests, for an entry that nothing is known of.
pub fn guessed(item: &Item<'_>) -> Part {
    let written = item.path.to_string();
    let path = written.strip_prefix("/usr").unwrap_or(&written);
    let name = path.rsplit('/').next().unwrap_or_default();
    let dir = || item.path.parent().unwrap_or_default().to_string();
    if path.starts_with("/lib/modules/") {
        let is_kmod = name.contains(".ko");
        return Part {
            role: if is_kmod { Role::Kmod } else { Role::List },
            name: if is_kmod { subsystem(item.path) } else { dir() },
        };
    }
    let role = if path.starts_with("/lib/firmware/") {
        Role::Firmware
    } else if name.split('.').skip(1).any(|part| part == "so") {
        Role::Library
    } else if item.content().is_some() && item.meta.mode & 0o111 != 0 {
        Role::Program
    } else {
        Role::Other
    };
    Part { role, name: dir() }
}

/// The causes of an entry beyond what it is itself: who wants it.
pub fn wanted_by(from: &Provenance) -> impl Iterator<Item = &str> {
    let own = nearest(from).map_or(1, |(n, ..)| n + 1);
    from.causes().skip(own)
}

/// The first cause that has a role, its place in the chain, and what it is about.
fn nearest(from: &Provenance) -> Option<(usize, Role, &str)> {
    from.causes()
        .enumerate()
        .find_map(|(n, cause)| ROLES.iter().find_map(|(word, role)| after(cause, word).map(|about| (n, *role, about))))
}

fn after<'a>(cause: &'a str, word: &str) -> Option<&'a str> {
    let rest = cause.strip_prefix(word)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix(' ') }
}

/// `drivers/net` of …/kernel/drivers/net/ethernet/intel/e1000/e1000.ko.
fn subsystem(path: &TreePath) -> String {
    const SHOWN: usize = 2;
    let written = path.parent().unwrap_or_default().to_string();
    // Which release it is, and that these are the kernel's own, goes without saying.
    let below = written.split_once("/modules/").and_then(|(_, rest)| rest.split_once('/'));
    let dir = below.map_or("", |(_, dir)| dir.strip_prefix("kernel/").unwrap_or(dir));
    dir.split('/').take(SHOWN).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use tree::Tree;

    use super::*;

    fn part(path: &str, mode: u32, part: impl Fn(&Item<'_>) -> Part) -> (&'static str, String) {
        let mut tree = Tree::new();
        let path = TreePath::new(path).unwrap();
        tree.insert_file(path.clone(), mode, b"x"[..].into(), Provenance::new("test")).unwrap();
        let Part { role, name } = part(&tree.get(&path).unwrap());
        (role.name(), name)
    }

    #[test]
    fn chains_tell_what_an_entry_is_and_for_whom() {
        const NIC: &str = "lib/modules/6.1/kernel/drivers/net/ethernet/intel/e1000.ko";
        for (path, causes, role, name) in [
            (NIC, &["package linux", "kmod e1000", "set @net: cards"][..], "kmods", "drivers/net"),
            ("lib/modules/6.1/updates/dkms/zfs.ko", &["kmod zfs"], "kmods", "updates/dkms"),
            ("lib/firmware/a.bin", &["firmware of kmod e1000", "set @net: cards"], "firmware", "e1000"),
            ("lib/libb.so", &["library libb.so", "library liba.so", "program /bin/x", "p"], "libraries", "/bin/x"),
            ("bin/sh", &["interpreter of /bin/x", "program /bin/x"], "programs", "/bin/x"),
            ("etc/motd", &["overlay live-user", "profile p.toml:3"], "overlays", "live-user"),
            ("bin/ls", &["command of toybox", "profile p.toml:3"], "userland", "toybox"),
            ("init", &["liveroot's /init"], "init", "/init"),
            ("etc/live/kmods", &["index of the kernel modules", "p"], "lists", "/etc/live/kmods"),
            ("etc/live/x", &["password of the rescue prompt, hashed", "profile p.toml:3"], "lists", "/etc/live/x"),
            ("etc/x", &["kmodules are no word of it"], "other", "kmodules are no word of it"),
        ] {
            let chain = causes[1..].iter().fold(Provenance::new(causes[0]), |chain, cause| chain.because(*cause));
            assert_eq!(part(path, 0o644, |item| told(item, &chain)), (role, name.into()), "{path}");
        }
    }

    #[test]
    fn paths_suggest_what_nobody_wrote_down() {
        for (path, mode, role, name) in [
            ("usr/lib/modules/6.1/kernel/fs/ext4/ext4.ko.xz", 0o644, "kmods", "fs/ext4"),
            ("lib/modules/6.1/modules.dep", 0o644, "lists", "/lib/modules/6.1"),
            ("usr/lib/firmware/i915/a.bin", 0o644, "firmware", "/usr/lib/firmware/i915"),
            ("lib/x86_64-linux-gnu/libc.so.6", 0o755, "libraries", "/lib/x86_64-linux-gnu"),
            ("usr/bin/busybox", 0o755, "programs", "/usr/bin"),
            ("etc/fstab", 0o644, "other", "/etc"),
        ] {
            assert_eq!(part(path, mode, guessed), (role, name.into()), "{path}");
        }
    }

    #[test]
    fn who_wants_an_entry_is_what_stands_behind_its_role() {
        let chain = Provenance::new("package linux").because("kmod a").because("needed by b").because("profile");
        assert_eq!(wanted_by(&chain).collect::<Vec<_>>(), ["needed by b", "profile"]);
        assert_eq!(wanted_by(&Provenance::new("x").because("y")).collect::<Vec<_>>(), ["y"]);
    }
}
