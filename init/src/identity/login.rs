//! A login on every console, and nobody asked for a password where that is
//! wanted: for systemd as drop-ins to the units that its generator starts, for
//! others in an inittab that starts gettys.

use super::{Change, Part, Seen, file};

const SYSTEMD: [&str; 2] = ["/usr/lib/systemd/systemd", "/lib/systemd/systemd"];
const AGETTY: &str = "/sbin/agetty";
/// The speed of a serial line that nobody named: the kernel's consoles keep theirs.
const SPEED: &str = "115200";

/// `user` is who is logged in.
pub(super) fn on_consoles(user: Option<&str>, seen: &Seen<'_>) -> Part {
    // tty0 is whichever virtual console is in front.
    let name = |tty: &String| if tty == "tty0" { "tty1".to_owned() } else { tty.clone() };
    let consoles: Vec<String> = seen.consoles.iter().map(name).collect();
    let mut changes = Vec::new();
    let systemd = SYSTEMD.iter().any(|path| (seen.has)(path));
    if let (Some(user), true) = (user, systemd) {
        changes.extend(consoles.iter().map(|tty| drop_in(tty, user)));
    }
    // One that starts no getty leaves that to somebody else.
    let inittab = (seen.text)("/etc/inittab")?.filter(|text| entries(text).any(|entry| entry[3].contains("getty")));
    if let Some(text) = inittab {
        let with = consoles.iter().try_fold(text.clone(), |text, tty| with_login(&text, tty, user, seen))?;
        if with != text {
            changes.push(file("/etc/inittab", with));
        }
    } else if let (Some(user), false) = (user, systemd) {
        return Err(format!("nobody here knows how this root's init would log {user} in"));
    }
    Ok(changes)
}

fn is_virtual(tty: &str) -> bool {
    tty.strip_prefix("tty").is_some_and(|number| number.bytes().all(|c| c.is_ascii_digit()))
}

fn drop_in(tty: &str, user: &str) -> Change {
    let (unit, how) =
        if is_virtual(tty) { ("getty", "--noclear") } else { ("serial-getty", "--keep-baud 115200,57600,38400,9600") };
    // After any other: the last ExecStart that is emptied and set is the unit's.
    let path = format!("/etc/systemd/system/{unit}@{tty}.service.d/zz-live.conf");
    file(&path, format!("[Service]\nExecStart=\nExecStart=-{AGETTY} --autologin {user} {how} %I $TERM\n"))
}

/// inittab(5): what is no comment and has its four fields.
fn entries(text: &str) -> impl Iterator<Item = Vec<&str>> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines.map(|line| line.splitn(4, ':').collect::<Vec<_>>()).filter(|fields| fields.len() == 4)
}

fn with_login(text: &str, tty: &str, user: Option<&str>, seen: &Seen<'_>) -> Result<String, String> {
    let is_its = |entry: &[&str]| {
        entry[2] == "respawn" && (entry[0] == tty || entry[3].split_whitespace().any(|word| word == tty))
    };
    let is_there = entries(text).any(|entry| is_its(&entry));
    if is_there && user.is_none() {
        return Ok(text.into());
    }
    // Only sysvinit's has a default runlevel; the others' first field is the terminal.
    let sysvinit = entries(text).any(|entry| entry[2] == "initdefault");
    let getty = entries(text).find_map(|entry| entry[3].split_whitespace().find(|word| word.ends_with("getty")));
    let getty = getty.unwrap_or(AGETTY);
    let options = if is_virtual(tty) { ("", "linux") } else { ("-L ", "vt100") };
    let process = match user {
        Some(user) if sysvinit && (seen.has)(AGETTY) => {
            format!("{AGETTY} --autologin {user} --noclear {}{tty} {SPEED} {}", options.0, options.1)
        }
        Some(user) if sysvinit => return Err(format!("{user} is not logged in: this root has no {AGETTY}")),
        Some(user) => format!("/bin/login -f {user}"),
        None => format!("{getty} {}{tty} {SPEED} {}", options.0, options.1),
    };
    let (id, levels) = if sysvinit { (short(tty), "2345") } else { (tty, "") };
    let lines = text.lines().filter(|line| !entries(line).any(|entry| is_its(&entry)));
    let kept: Vec<&str> = lines.collect();
    Ok(format!("{}\n{id}:{levels}:respawn:{process}\n", kept.join("\n")))
}

/// sysvinit's identifiers have four bytes at most.
fn short(tty: &str) -> &str {
    let name = tty.strip_prefix("tty").unwrap_or(tty);
    name.get(name.len().saturating_sub(4)..).unwrap_or(name)
}
