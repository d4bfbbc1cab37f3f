//! The command-line parameters: one table, which the command line is read by.
//!
//! Native names begin with `live.`: the dot keeps the kernel from handing
//! them to init's environment, and more than 32 unknown options without one
//! make it panic.

mod foreign;
mod table;

pub use foreign::foreign;
pub use table::TABLE;

pub const MODE: &str = "live.mode";
pub const MEDIUM: &str = "live.medium";
pub const ISO: &str = "live.iso";
pub const ISO_DEVICE: &str = "live.iso.dev";
pub const DIR: &str = "live.dir";
pub const LAYERS: &str = "live.layers";
pub const PACKAGES: &str = "live.packages";
pub const TIMEOUT: &str = "live.timeout";
pub const TORAM: &str = "live.toram";
pub const EJECT: &str = "live.eject";
pub const UPPER_SIZE: &str = "live.overlay.size";
pub const PERSIST: &str = "live.persist";
pub const PERSIST_RO: &str = "live.persist.ro";
pub const PERSIST_RESET: &str = "live.persist.reset";
pub const SAVE: &str = "live.save";
pub const SAVE_AT: &str = "live.save.at";
pub const CHECK: &str = "live.check";
pub const VERITY: &str = "live.verity";
pub const RAM: &str = "live.ram";
pub const RAM_SIZE: &str = "live.ram.size";
pub const MODULES: &str = "live.modules";
pub const BLACKLIST: &str = "live.blacklist";
pub const BREAK: &str = "live.break";
pub const SHELL: &str = "live.shell";
pub const EMERGENCY: &str = "live.emergency";
pub const LOG: &str = "live.log";
pub const HOSTNAME: &str = "live.hostname";
pub const USER: &str = "live.user";
pub const LOCALE: &str = "live.locale";
pub const KEYMAP: &str = "live.keymap";
pub const TIMEZONE: &str = "live.tz";
pub const AUTOLOGIN: &str = "live.autologin";
pub const INIT: &str = "init";

/// For the installers of Debian and Ubuntu what follows it is also the installed
/// system's. It is an option to no init, and a shell that is one stops at it.
pub const INSTALLED: &str = "---";

/// What every native name but [`INIT`] begins with.
pub const PREFIX: &str = "live.";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Param {
    pub name: &'static str,
    /// The value's form, as the manual page prints it.
    pub form: &'static str,
    pub default: &'static str,
    pub help: &'static str,
    pub aliases: &'static [Alias],
}

/// Another system's name. One name may stand in several rows; the first one
/// that can read the value does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alias {
    pub name: &'static str,
    pub reading: Reading,
}

/// How another system's value becomes ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    Same,
    /// Whatever it says, this is meant.
    Fixed(&'static str),
    /// Exactly the first means the second.
    When(&'static str, &'static str),
    /// A value that begins with the first begins with the second instead.
    Begin(&'static str, &'static str),
    /// Only what stands before that character.
    Before(char),
    /// Only what stands after the last of that character.
    After(char),
    /// A value without a unit has this one.
    Unit(&'static str),
}

impl Reading {
    fn read(self, value: &str) -> Option<String> {
        match self {
            Self::Fixed(ours) => Some(ours.into()),
            Self::When(theirs, ours) => (value == theirs).then(|| ours.into()),
            Self::Begin(theirs, ours) => value.strip_prefix(theirs).map(|rest| [ours, rest].concat()),
            Self::Before(end) => value.split(end).next().map(Into::into),
            Self::After(begin) => value.rsplit(begin).next().map(Into::into),
            Self::Unit(unit) if value.bytes().all(|c| c.is_ascii_digit()) => Some([value, unit].concat()),
            Self::Same | Self::Unit(_) => Some(value.into()),
        }
    }
}

/// The parameter that `name` stands for, and its value in native form.
pub fn resolve(name: &str, value: &str) -> Option<(&'static Param, String)> {
    if let Some(param) = TABLE.iter().find(|param| param.name == name) {
        return Some((param, value.into()));
    }
    TABLE.iter().find_map(|param| {
        let mut rows = param.aliases.iter().filter(|alias| alias.name == name);
        rows.find_map(|alias| alias.reading.read(value)).map(|value| (param, value))
    })
}

/// The native name that a mistyped one is likely to mean.
pub fn nearest(name: &str) -> Option<&'static str> {
    let (distance, nearest) = TABLE.iter().map(|param| (distance(name, param.name), param.name)).min()?;
    (distance <= 3).then_some(nearest)
}

/// Levenshtein's edit distance, by bytes.
pub fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod lines;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_systems_parameters_become_ours() {
        let table = [
            ("boot=live", MODE, "auto"),
            ("root=live:CDLABEL=AURORA", MEDIUM, "LABEL=AURORA"),
            ("root=live:/dev/sr0", MEDIUM, "/dev/sr0"),
            ("archisolabel=ARCH_202611", MEDIUM, "LABEL=ARCH_202611"),
            ("archisosearchuuid=2026-11-21-00-00-00-00", MEDIUM, "UUID=2026-11-21-00-00-00-00"),
            ("iso-scan/filename=/x.iso", ISO, "/x.iso"),
            ("rootwait", TIMEOUT, "0"),
            ("noload=extra", LAYERS, "-extra"),
            ("toram", TORAM, "yes"),
            ("copytoram=n", TORAM, "no"),
            ("rd.live.overlay.size=512", UPPER_SIZE, "512M"),
            ("cow_spacesize=2G", UPPER_SIZE, "2G"),
            ("fsck.mode=skip", CHECK, "off"),
            ("rd.break", BREAK, "handover"),
            ("rd.break=initqueue", BREAK, "medium"),
            ("panic=10", EMERGENCY, "reboot:10"),
            ("panic=0", EMERGENCY, "shell"),
            ("quiet", LOG, "warn"),
            ("kmap=qwerty/us", KEYMAP, "us"),
        ];
        for (theirs, name, value) in table {
            let (key, text) = theirs.split_once('=').unwrap_or((theirs, ""));
            let (param, ours) = resolve(key, text).unwrap_or_else(|| panic!("{theirs}"));
            assert_eq!((param.name, ours.as_str()), (name, value), "{theirs}");
        }
        for foreign in ["root=/dev/sda1", "boot=normal", "fsck.mode=force", "nosplash"] {
            let (key, text) = foreign.split_once('=').unwrap_or((foreign, ""));
            assert_eq!(resolve(key, text), None, "{foreign}");
        }
    }

    #[test]
    fn every_parameter_stands_once_and_no_alias_hides_one() {
        for (n, param) in TABLE.iter().enumerate() {
            assert!(TABLE[n + 1..].iter().all(|other| other.name != param.name), "{}", param.name);
            assert!(param.name.starts_with(PREFIX) || param.name == INIT, "{}", param.name);
            assert!(!param.help.is_empty() && !param.form.is_empty(), "{}", param.name);
            for alias in param.aliases {
                assert!(TABLE.iter().all(|other| other.name != alias.name), "{}", alias.name);
            }
        }
    }

    #[test]
    fn a_slip_of_the_finger_finds_its_name() {
        assert_eq!(nearest("live.medum"), Some(MEDIUM));
        assert_eq!(nearest("live.time-out"), Some(TIMEOUT));
        assert_eq!(nearest("live.something.else"), None);
    }
}
