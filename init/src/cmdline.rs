//! The kernel command line, read into values: the last one wins, and a bad
//! one keeps the default and is named.

use std::fmt;
use std::time::Duration;

use crate::contract::{Mode, medium, params};
use crate::identity::Identity;
use crate::log::Level;
use crate::medium::{IsoFile, Spec, inside};
use crate::persist;
use crate::status::State;

/// The kernel's own COMMAND_LINE_SIZE is 2 or 4 KiB on every architecture;
/// bootconfig can add to it. What is beyond this is not read.
const MAX_LEN: usize = 64 << 10;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cmdline {
    /// None: as the medium's manifest says.
    pub mode: Option<Mode>,
    /// Empty: as the image's facts say.
    pub medium: Vec<Spec>,
    /// The medium is in there.
    pub iso: Option<IsoFile>,
    pub dir: String,
    /// None waits for ever.
    pub timeout: Option<Duration>,
    pub to_ram: ToRam,
    pub eject: bool,
    pub upper_size: Size,
    pub ram: RamRoot,
    pub ram_size: Size,
    /// Parts of the medium to use or, after a minus, not to.
    pub layers: Vec<String>,
    /// A second medium with packages of ram mode.
    pub packages: Option<PackageSet>,
    pub persist: Persist,
    /// None: on the medium's own disk.
    pub persist_on: Option<Spec>,
    /// A directory or file there, relative to its root.
    pub persist_dir: String,
    pub persist_ro: bool,
    pub persist_reset: bool,
    pub save: Save,
    pub check: Check,
    /// All that were given, since none may take back what another one asks.
    pub verity: Vec<String>,
    pub modules: Vec<String>,
    pub blacklist: Vec<String>,
    /// Of `kmod.option=value` parameters: the kmod's name, and the rest.
    pub options: Vec<(String, String)>,
    pub breaks: Vec<State>,
    pub shell: Shell,
    pub emergency: Emergency,
    pub log: Level,
    pub init: Option<String>,
    pub identity: Identity,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    Bytes(u64),
    Percent(u64),
}

/// Packages that are not on the medium.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PackageSet {
    pub on: Spec,
    /// Where its manifest stands, relative to the root there.
    pub dir: String,
}

/// Where files of a system in memory are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Save {
    pub asked: bool,
    /// None: on the medium's own disk.
    pub on: Option<Spec>,
    /// A directory there, relative to its root.
    pub dir: String,
    pub at_shutdown: bool,
}

/// Whether the medium's layers are copied to memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ToRam {
    No,
    /// If there is the memory for it.
    Auto,
    Yes,
}

/// What ram mode unpacks its packages into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RamRoot {
    /// The root that the kernel unpacked the initramfs into.
    Rootfs,
    /// A tmpfs, which root is then switched into: container runtimes want to
    /// pivot, and the kernel's own root cannot be before Linux 7.0.
    Tmpfs,
}

/// Whether changes are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Persist {
    Off,
    /// Where there is a place for them.
    Auto,
    /// There, or the boot stops.
    Required,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    Off,
    Fast,
    /// As [`Self::Full`], and what is wrong with a layer stops nothing.
    Warn,
    Full,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shell {
    OnFail,
    Now,
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Emergency {
    pub action: Action,
    /// How long the prompt waits for somebody before it.
    pub after: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Shell,
    Reboot,
    Poweroff,
    Halt,
}

impl Default for Cmdline {
    fn default() -> Self {
        Self {
            mode: None,
            medium: Vec::new(),
            iso: None,
            dir: medium::DIR.into(),
            timeout: Some(Duration::from_secs(30)),
            to_ram: ToRam::No,
            eject: false,
            upper_size: Size::Percent(50),
            ram: RamRoot::Rootfs,
            ram_size: Size::Percent(75),
            layers: Vec::new(),
            packages: None,
            persist: Persist::Off,
            persist_on: None,
            persist_dir: String::new(),
            persist_ro: false,
            persist_reset: false,
            save: Save { asked: false, on: None, dir: medium::DIR.into(), at_shutdown: false },
            check: Check::Fast,
            verity: Vec::new(),
            modules: Vec::new(),
            blacklist: Vec::new(),
            options: Vec::new(),
            breaks: Vec::new(),
            shell: Shell::OnFail,
            emergency: Emergency { action: Action::Shell, after: Duration::ZERO },
            log: Level::Info,
            init: None,
            identity: Identity::default(),
        }
    }
}

impl Cmdline {
    /// `texts` in rising precedence: what the builder baked in, then the
    /// kernel's. Beside the values come the sentences to log.
    pub(crate) fn parse(texts: &[&str]) -> (Self, Vec<String>) {
        let (mut cmdline, mut notes) = (Self::default(), Vec::new());
        for text in texts {
            if text.len() > MAX_LEN {
                notes.push(format!("the command line is {} bytes long: read up to {MAX_LEN}", text.len()));
            }
            for word in words(text.get(..MAX_LEN).unwrap_or(text)) {
                // What follows is the distribution's init's own.
                if word == "--" {
                    break;
                }
                let (name, value) = word.split_once('=').unwrap_or((&word, ""));
                cmdline.take(name, value, &mut notes);
            }
        }
        (cmdline, notes)
    }

    fn take(&mut self, name: &str, value: &str, notes: &mut Vec<String>) {
        let Some((param, native)) = params::resolve(name, value) else {
            if name.starts_with(params::PREFIX) {
                let hint = params::nearest(name).map_or(String::new(), |nearest| format!("; did you mean {nearest}?"));
                notes.push(format!("unknown parameter {name}{hint}"));
            } else if let Some(why) = params::foreign(name) {
                notes.push(format!("{name} is of another live system, and has no effect: {why}"));
            } else if let Some((kmod, option)) = name.split_once('.') {
                self.options.push((kmod.replace('-', "_"), kmod_option(option, value)));
            }
            return;
        };
        let shown = if name == param.name { name.to_owned() } else { format!("{name} ({})", param.name) };
        if self.set(param.name, &native).is_none() {
            notes.push(format!("{shown}: `{value}` is not of the form {}; it has no effect", param.form));
        }
    }

    /// None for a value that is none.
    fn set(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            params::MODE if value == "auto" => self.mode = None,
            params::MODE => self.mode = Some(value.parse().ok()?),
            params::MEDIUM => self.medium = specs(value)?,
            params::ISO => self.iso.get_or_insert_default().set_path(value)?,
            params::ISO_DEVICE => self.iso.get_or_insert_default().holders = specs(value)?,
            params::DIR => self.dir = inside(value)?,
            params::TIMEOUT => {
                let seconds: u32 = value.parse().ok()?;
                self.timeout = (seconds > 0).then(|| Duration::from_secs(seconds.into()));
            }
            params::TORAM => {
                let answers = [("", ToRam::Yes), ("yes", ToRam::Yes), ("no", ToRam::No), ("auto", ToRam::Auto)];
                self.to_ram = choose(value, &answers)?;
            }
            params::EJECT => self.eject = answer(value)?,
            params::LAYERS => self.layers.extend(list(value).map(Into::into)),
            params::PACKAGES if value == "off" => self.packages = None,
            params::PACKAGES => {
                let (on, dir) = persist::split(value)?;
                let dir = if dir.is_empty() { medium::DIR.into() } else { dir };
                self.packages = Some(PackageSet { on: on?, dir });
            }
            params::PERSIST => {
                let modes = [
                    ("off", Persist::Off),
                    ("auto", Persist::Auto),
                    ("", Persist::Auto),
                    ("required", Persist::Required),
                ];
                if let Some(mode) = choose(value, &modes) {
                    self.persist = mode;
                } else {
                    let (on, dir) = persist::split(value)?;
                    (self.persist_on, self.persist_dir) = (on.or(self.persist_on.take()), dir);
                    if self.persist == Persist::Off {
                        self.persist = Persist::Auto;
                    }
                }
            }
            params::PERSIST_RO => self.persist_ro = answer(value)?,
            params::PERSIST_RESET => self.persist_reset = answer(value)?,
            params::UPPER_SIZE => self.upper_size = Size::parse(value)?,
            params::RAM => {
                self.ram = choose(value, &[("rootfs", RamRoot::Rootfs), ("tmpfs", RamRoot::Tmpfs)])?;
            }
            params::RAM_SIZE => self.ram_size = Size::parse(value)?,
            params::SAVE if matches!(value, "off" | "auto" | "") => self.save.asked = value != "off",
            params::SAVE => {
                let (on, dir) = persist::split(value)?;
                (self.save.asked, self.save.on) = (true, on);
                if !dir.is_empty() {
                    self.save.dir = dir;
                }
            }
            params::SAVE_AT => self.save.at_shutdown = choose(value, &[("demand", false), ("shutdown", true)])?,
            params::CHECK => {
                let levels = ["off", "fast", "warn", "full"].into_iter();
                let levels = levels.zip([Check::Off, Check::Fast, Check::Warn, Check::Full]);
                self.check = choose(value, &levels.collect::<Vec<_>>())?;
            }
            // Also what can be no hash: then no medium has it.
            params::VERITY => self.verity.push(value.to_ascii_lowercase()),
            params::MODULES => self.modules.extend(list(value).map(Into::into)),
            params::BLACKLIST => self.blacklist.extend(list(value).map(|name| name.replace('-', "_"))),
            params::BREAK => self.breaks = list(value).map(State::from_name).collect::<Option<_>>()?,
            params::SHELL => {
                let shells =
                    [("onfail", Shell::OnFail), ("now", Shell::Now), ("never", Shell::Never), ("", Shell::OnFail)];
                self.shell = choose(value, &shells)?;
            }
            params::EMERGENCY => self.emergency = Emergency::parse(value)?,
            params::LOG => self.log = Level::from_name(value)?,
            params::INIT => self.init = Some(value.to_owned()).filter(|path| path.starts_with('/')),
            params::AUTOLOGIN => self.identity.autologin = answer(value)?,
            _ => self.identity.set(name, value)?,
        }
        Some(())
    }
}

impl Size {
    /// `50%`, or a number of bytes with K, M, G or T.
    fn parse(text: &str) -> Option<Self> {
        if let Some(percent) = text.strip_suffix('%') {
            return percent.parse().ok().filter(|percent| (1..=100).contains(percent)).map(Self::Percent);
        }
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let shift = match text[digits.len()..].to_ascii_uppercase().as_str() {
            "" => 0,
            "K" => 10,
            "M" => 20,
            "G" => 30,
            "T" => 40,
            _ => return None,
        };
        digits.parse::<u64>().ok()?.checked_mul(1 << shift).filter(|&bytes| bytes > 0).map(Self::Bytes)
    }

    /// As tmpfs's `size=` wants it: a percentage is of the machine's memory.
    pub(crate) fn option(self) -> String {
        match self {
            Self::Bytes(bytes) => format!("size={bytes}"),
            Self::Percent(percent) => format!("size={percent}%"),
        }
    }
}

impl Action {
    const NAMES: [(&'static str, Self); 4] =
        [("shell", Self::Shell), ("reboot", Self::Reboot), ("poweroff", Self::Poweroff), ("halt", Self::Halt)];
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::NAMES.iter().find(|(_, action)| action == self).map_or("", |(name, _)| name))
    }
}

/// As [`Emergency::parse`] reads it.
impl fmt::Display for Emergency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.action, self.after.as_secs())
    }
}

impl Emergency {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (action, seconds) = text.split_once(':').unwrap_or((text, "0"));
        let after = Duration::from_secs(seconds.parse::<u32>().ok()?.into());
        Some(Self { action: choose(action, &Action::NAMES)?, after })
    }
}

fn choose<T: Copy>(value: &str, choices: &[(&str, T)]) -> Option<T> {
    choices.iter().find(|(name, _)| *name == value).map(|&(_, choice)| choice)
}

/// As a kmod takes it, which reads its own as the kernel reads its line.
fn kmod_option(option: &str, value: &str) -> String {
    match value {
        "" => option.into(),
        value if value.contains(|c: char| c.is_ascii_whitespace()) => format!("{option}=\"{value}\""),
        value => format!("{option}={value}"),
    }
}

/// A name alone says yes.
fn answer(value: &str) -> Option<bool> {
    choose(value, &[("", true), ("yes", true), ("no", false)])
}

fn list(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').filter(|item| !item.is_empty())
}

fn specs(value: &str) -> Option<Vec<Spec>> {
    value.split(',').map(Spec::parse).collect()
}

/// Words as the kernel parts them (lib/cmdline.c, next_arg): blanks part, and
/// double quotes keep blanks and vanish.
fn words(text: &str) -> impl Iterator<Item = String> {
    let mut rest = text.chars();
    std::iter::from_fn(move || {
        let (mut word, mut quoted, mut begun) = (String::new(), false, false);
        for c in rest.by_ref() {
            match c {
                '"' => (quoted, begun) = (!quoted, true),
                c if c.is_ascii_whitespace() && !quoted => {
                    if begun {
                        break;
                    }
                }
                c => {
                    begun = true;
                    word.push(c);
                }
            }
        }
        begun.then_some(word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (Cmdline, Vec<String>) {
        Cmdline::parse(&[text])
    }

    #[test]
    fn quotes_keep_blanks_together() {
        let table: [(&str, &[&str]); 5] = [
            ("", &[]),
            ("  a  b\n", &["a", "b"]),
            (r#"a="b c" d"#, &["a=b c", "d"]),
            (r#""a=b c" d"#, &["a=b c", "d"]),
            (r#"a="never closed"#, &["a=never closed"]),
        ];
        for (text, expected) in table {
            assert_eq!(words(text).collect::<Vec<_>>(), expected, "{text}");
        }
    }

    #[test]
    fn the_last_one_wins_and_the_kernels_line_comes_last() {
        let (baked, kernel) = (format!("{}=60", params::TIMEOUT), format!("a {0}=5 {0}=7 -- {0}=9", params::TIMEOUT));
        let (cmdline, notes) = Cmdline::parse(&[&baked, &kernel]);
        assert_eq!(cmdline.timeout, Some(Duration::from_secs(7)));
        assert!(notes.is_empty(), "{notes:?}");
        assert_eq!(parse(&format!("{}=0", params::TIMEOUT)).0.timeout, None);
    }

    #[test]
    fn a_bad_value_keeps_the_default_and_is_named() {
        for bad in [
            format!("{}=soon", params::TIMEOUT),
            format!("{}=floppy", params::MODE),
            format!("{}=../..", params::DIR),
            format!("{}=120%", params::UPPER_SIZE),
            format!("{}=99999999999999999999G", params::UPPER_SIZE),
            format!("{}=maybe", params::CHECK),
            format!("{}=lunch", params::BREAK),
            format!("{}=explode:3", params::EMERGENCY),
            format!("{}=LABEL", params::MEDIUM),
            format!("{}medum=x", params::PREFIX),
            format!("{}=x", params::PERSIST),
            format!("{}=LABEL=x:/../..", params::PERSIST),
            format!("{}=maybe", params::PERSIST_RO),
            format!("{}=-x", params::HOSTNAME),
            format!("{}=a:b", params::USER),
            format!("{}=../shadow", params::TIMEZONE),
            format!("{}=what", params::AUTOLOGIN),
        ] {
            let (cmdline, notes) = parse(&bad);
            assert_eq!(cmdline, Cmdline::default(), "{bad}");
            let name = bad.split('=').next().unwrap();
            assert!(notes.len() == 1 && notes[0].contains(name), "{bad}: {notes:?}");
        }
    }

    #[test]
    fn values_become_what_they_say() {
        let text = format!(
            "{}=ram {}=ID=30313233343536373839616263646566,LABEL=A {}=/x/./live {}=512m {}=poweroff:5 {}=root,handover",
            params::MODE,
            params::MEDIUM,
            params::DIR,
            params::UPPER_SIZE,
            params::EMERGENCY,
            params::BREAK
        );
        let (cmdline, notes) = parse(&text);
        assert!(notes.is_empty(), "{notes:?}");
        assert_eq!((cmdline.mode, cmdline.medium.len(), cmdline.dir.as_str()), (Some(Mode::Ram), 2, "x/live"));
        assert_eq!(cmdline.upper_size, Size::Bytes(512 << 20));
        assert_eq!(cmdline.emergency, Emergency { action: Action::Poweroff, after: Duration::from_secs(5) });
        assert_eq!(cmdline.breaks, [State::Root, State::Handover]);
    }

    #[test]
    fn module_options_and_lists_are_gathered() {
        let text = format!("usb-storage.delay_use=0 {0}=a-b {0}=c,,d loop.max_part= x.a=\"b c\"", params::BLACKLIST);
        let (cmdline, _) = parse(&text);
        let option = |kmod: &str, rest: &str| (kmod.to_owned(), rest.to_owned());
        let quoted = option("x", "a=\"b c\"");
        assert_eq!(cmdline.options, [option("usb_storage", "delay_use=0"), option("loop", "max_part"), quoted]);
        assert_eq!(cmdline.blacklist, ["a_b", "c", "d"]);
    }

    #[test]
    fn lines_of_real_names_and_hostile_values_are_read_to_the_end() {
        const VALUES: [&str; 16] = [
            "",
            "=",
            "=,,,",
            "=LABEL=",
            "=/dev/",
            "=../..",
            "=99999999999999999999",
            "=-1",
            "=\"",
            "=%",
            "=\u{e9}\u{1}",
            "=x:/../y",
            "=:",
            "=101%",
            "=LABEL=\\x",
            "=reboot:reboot",
        ];
        let names = params::TABLE
            .iter()
            .flat_map(|param| [param.name].into_iter().chain(param.aliases.iter().map(|alias| alias.name)));
        let names: Vec<&str> = names.chain(["tce", "root", "usb_storage.delay_use", "--"]).collect();
        let mut seed = 11_usize;
        let mut next = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        for _ in 0..300 {
            let word = |_| format!("{}{}", names[next(names.len())], VALUES[next(VALUES.len())]);
            let line = (0..40).map(word).collect::<Vec<_>>().join(" ");
            let (_, notes) = parse(&line);
            assert!(notes.len() <= 41, "more notes than words: {line}");
        }
    }

    #[test]
    fn any_bytes_at_all_are_read_to_the_end() {
        let mut seed = 7_u32;
        for _ in 0..300 {
            let text: String = (0..200)
                .map(|_| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    char::from(b"live.medu=\"- ,:%/\\x\n0A"[(seed >> 16) as usize % 21])
                })
                .collect();
            parse(&text);
        }
    }
}
