//! Who the system is: what the command line says of it, and the changes to a
//! root that make it so. Decided here; [`write`] does it.
//!
//! The values come from whoever types at a boot menu: each has to be of a form
//! that can end no line, leave no directory and quote nothing.

mod account;
mod login;
pub(crate) mod write;

use crate::contract::params;

/// Each value is of its form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    pub hostname: Option<String>,
    pub user: Option<String>,
    pub locale: Option<String>,
    pub keymap: Option<String>,
    pub timezone: Option<String>,
    pub autologin: bool,
}

/// One step to be done below a root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// One that is there keeps its owner and mode.
    File {
        path: String,
        text: String,
    },
    Link {
        path: String,
        target: String,
    },
    /// A directory of its user's, with what new users get.
    Home {
        path: String,
        id: u32,
        group: u32,
    },
}

/// What a plan asks of the root, and nothing else of it.
pub(crate) struct Seen<'a> {
    /// None: there is no such file. An error is one that must not be replaced.
    pub text: &'a dyn Fn(&str) -> Result<Option<String>, String>,
    pub has: &'a dyn Fn(&str) -> bool,
    /// Names of the terminals that are the kernel's consoles.
    pub consoles: &'a [String],
}

impl Identity {
    /// None for a value that is not of the parameter's form.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Option<()> {
        let fits = |is: bool| is.then(|| value.to_owned());
        match name {
            params::HOSTNAME => self.hostname = Some(fits(is_hostname(value))?),
            params::USER => self.user = Some(fits(is_user(value))?),
            params::LOCALE => self.locale = Some(fits(is_word(value, "_.@-"))?),
            params::KEYMAP => self.keymap = Some(fits(is_word(value, "_.+-"))?),
            params::TIMEZONE => self.timezone = Some(fits(value.split('/').all(|part| is_word(part, "_+-")))?),
            _ => return None,
        }
        Some(())
    }
}

/// RFC 1123, 2.1, and sethostname(2)'s 64 bytes.
fn is_hostname(text: &str) -> bool {
    text.len() <= 64 && text.split('.').all(|label| is_word(label, "-") && !label.ends_with('-'))
}

/// What useradd(8) takes, and no shell or pattern makes anything of.
fn is_user(text: &str) -> bool {
    let first = text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    first
        && text.len() <= 32
        && text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || b"_-".contains(&c))
}

/// ASCII letters, digits and `others`, of which none is first.
fn is_word(text: &str, others: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c))
}

/// What is to be done, and a sentence for each wish that cannot be met.
pub(crate) fn plan(identity: &Identity, seen: &Seen<'_>) -> (Vec<Change>, Vec<String>) {
    let (mut changes, mut notes) = (Vec::new(), Vec::new());
    let user = identity.user.as_deref();
    for part in [
        identity.hostname.as_deref().map(|name| hostname(name, seen)),
        identity.locale.as_deref().map(|locale| assignments(LOCALE, locale, seen)),
        identity.keymap.as_deref().map(|keymap| keyboard(keymap, seen)),
        identity.timezone.as_deref().map(|zone| timezone(zone, seen)),
        user.map(|name| account::add(name, seen)),
        Some(login::on_consoles(identity.autologin.then_some(user.unwrap_or("root")), seen)),
    ] {
        match part {
            Some(Ok(part)) => changes.extend(part),
            Some(Err(why)) => notes.push(why),
            None => {}
        }
    }
    (changes, notes)
}

type Part = Result<Vec<Change>, String>;

/// Files of `KEY=value` lines, and what must be there for it to be one of this
/// root's.
type Assigned = &'static [(&'static str, &'static str, &'static str)];

/// locale.conf(5); Debian's own place.
const LOCALE: Assigned = &[("/etc/locale.conf", "LANG", ""), ("/etc/default/locale", "LANG", "/etc/default")];
/// vconsole.conf(5); OpenRC's keymaps service.
const KEYMAP: Assigned =
    &[("/etc/vconsole.conf", "KEYMAP", ""), ("/etc/conf.d/keymaps", "keymap", "/etc/conf.d/keymaps")];
/// keyboard(5), of console-setup.
const LAYOUT: Assigned = &[("/etc/default/keyboard", "XKBLAYOUT", "/etc/default")];
const HOSTNAME: Assigned = &[("/etc/conf.d/hostname", "hostname", "/etc/conf.d/hostname")];

fn hostname(name: &str, seen: &Seen<'_>) -> Part {
    const OWN: &str = "127.0.1.1";
    const HOSTS: &str = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n";
    let hosts = (seen.text)("/etc/hosts")?.unwrap_or_else(|| HOSTS.into());
    // Debian's way for a name that no network gave.
    let hosts = with_line(&hosts, |line| line.split_whitespace().next() == Some(OWN), &[OWN, " ", name].concat());
    let mut changes = vec![file("/etc/hostname", [name, "\n"].concat()), file("/etc/hosts", hosts)];
    changes.extend(assignments(HOSTNAME, name, seen)?);
    Ok(changes)
}

fn keyboard(keymap: &str, seen: &Seen<'_>) -> Part {
    // `de-latin1-nodeadkeys` is a keymap of the console; X's layout is its country.
    let layout = match keymap.split('-').next().unwrap_or_default() {
        "uk" => "gb",
        layout => layout,
    };
    let mut changes = assignments(KEYMAP, keymap, seen)?;
    changes.extend(assignments(LAYOUT, layout, seen)?);
    Ok(changes)
}

fn timezone(zone: &str, seen: &Seen<'_>) -> Part {
    let target = ["/usr/share/zoneinfo/", zone].concat();
    if !(seen.has)(&target) {
        return Err(format!("{}={zone}: this root has no such time zone", params::TIMEZONE));
    }
    Ok(vec![Change::Link { path: "/etc/localtime".into(), target }, file("/etc/timezone", [zone, "\n"].concat())])
}

fn assignments(files: Assigned, value: &str, seen: &Seen<'_>) -> Part {
    let of_this_root = files.iter().filter(|(_, _, with)| with.is_empty() || (seen.has)(with));
    let change = |&(path, key, _): &(&str, &str, &str)| {
        let line = [key, "=", value].concat();
        let is_same = |line: &str| line.split('=').next() == Some(key);
        Ok(file(path, with_line(&(seen.text)(path)?.unwrap_or_default(), is_same, &line)))
    };
    of_this_root.map(change).collect()
}

/// With that line in the place of those that are the same thing, or at the end.
fn with_line(text: &str, is_same: impl Fn(&str) -> bool, line: &str) -> String {
    let mut lines: Vec<&str> = text.lines().filter(|line| !is_same(line)).collect();
    lines.push(line);
    lines.join("\n") + "\n"
}

fn file(path: &str, text: String) -> Change {
    Change::File { path: path.into(), text }
}

#[cfg(test)]
mod tests;
