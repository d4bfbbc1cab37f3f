//! A user, as lines of passwd(5), group(5) and shadow(5).

use super::{Change, Part, Seen, file};

/// Where the system's own accounts end (login.defs(5), UID_MIN).
const FIRST: u32 = 1000;
const LAST: u32 = 59_999;

/// What somebody who sits at the machine may use, where the root has it.
const GROUPS: &[&str] =
    &["audio", "cdrom", "dialout", "input", "netdev", "plugdev", "render", "sudo", "users", "video", "wheel"];

/// One that the root has is its image's own affair.
pub(super) fn add(name: &str, seen: &Seen<'_>) -> Part {
    let read = |path: &str| (seen.text)(path);
    let passwd = read("/etc/passwd")?.unwrap_or_default();
    if fields(&passwd).any(|entry| entry[0] == name) {
        return Ok(Vec::new());
    }
    let groups = read("/etc/group")?.unwrap_or_default();
    let taken = |text: &str, id: u32| fields(text).any(|entry| entry.get(2) == Some(&id.to_string().as_str()));
    let id = (FIRST..=LAST).find(|&id| !taken(&passwd, id) && !taken(&groups, id));
    let id = id.ok_or_else(|| format!("no number is free for the user {name}"))?;
    let own = fields(&groups).find(|entry| entry[0] == name).and_then(|entry| entry.get(2)?.parse().ok());
    let group: u32 = own.unwrap_or(id);
    let home = ["/home/", name].concat();
    let shell = if (seen.has)("/bin/bash") { "/bin/bash" } else { "/bin/sh" };

    let mut changes = Vec::new();
    let mut group_text = joined(&groups, name);
    if own.is_none() {
        group_text.extend([name, ":x:", &group.to_string(), ":\n"]);
    }
    changes.push(file("/etc/group", group_text));
    // No password is right for it: it is logged in, or its image lets it in.
    let password = if let Some(shadow) = read("/etc/shadow")? {
        changes.push(file("/etc/shadow", whole(&shadow) + name + ":*::0:99999:7:::\n"));
        "x"
    } else {
        "*"
    };
    if let Some(shadow) = read("/etc/gshadow")? {
        let own = if own.is_none() { [name, ":!::\n"].concat() } else { String::new() };
        changes.push(file("/etc/gshadow", joined(&shadow, name) + &own));
    }
    // Last: who is in here is complete.
    let entry = format!("{name}:{password}:{id}:{group}::{home}:{shell}\n");
    changes.push(file("/etc/passwd", whole(&passwd) + &entry));
    changes.push(Change::Home { path: home, id, group });
    Ok(changes)
}

fn fields(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().map(|line| line.split(':').collect())
}

/// The same with `name` among the members of [`GROUPS`]: the fourth field, of
/// group(5) and of gshadow(5).
fn joined(text: &str, name: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        out += line;
        if let [group, _, _, members] = line.split(':').collect::<Vec<_>>()[..]
            && GROUPS.contains(&group)
            && !members.split(',').any(|member| member == name)
        {
            if !members.is_empty() {
                out.push(',');
            }
            out += name;
        }
        out.push('\n');
    }
    out
}

/// With its last line ended.
fn whole(text: &str) -> String {
    if text.is_empty() || text.ends_with('\n') { text.into() } else { [text, "\n"].concat() }
}
