use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

/// What a plan leaves of a root that is these files, and what it could not do.
fn planned(root: &[(&str, &str)], consoles: &[&str], identity: &Identity) -> (BTreeMap<String, String>, Vec<String>) {
    let files: BTreeMap<&str, &str> = root.iter().copied().collect();
    let consoles: Vec<String> = consoles.iter().map(|&tty| tty.into()).collect();
    let seen = Seen {
        text: &|path| match files.get(path) {
            Some(&"unreadable") => Err(format!("{path}: it cannot be read")),
            text => Ok(text.map(|&text| text.into())),
        },
        has: &|path| files.keys().any(|file| *file == path || file.starts_with(&format!("{path}/"))),
        consoles: &consoles,
    };
    let (changes, notes) = plan(identity, &seen);
    let told = changes.into_iter().map(|change| match change {
        Change::File { path, text } => (path, text),
        Change::Link { path, target } => (path, format!("-> {target}")),
        Change::Home { path, id, group } => (path, format!("{id}:{group}")),
    });
    (told.collect(), notes)
}

fn with(parameters: &[(&str, &str)]) -> Identity {
    let mut identity = Identity::default();
    for (name, value) in parameters {
        identity.set(name, value).unwrap_or_else(|| panic!("{name}={value}"));
    }
    identity
}

/// Each of these stands after a plan, and nothing else of its kind.
fn check(root: &[(&str, &str)], parameters: &[(&str, &str)], expected: &[(&str, &str)]) {
    let (changes, notes) = planned(root, &[], &with(parameters));
    assert_eq!(notes, Vec::<String>::new());
    let told: Vec<(&str, &str)> = changes.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    assert_eq!(told, expected, "{parameters:?}");
}

#[test]
fn no_value_can_leave_its_line_its_directory_or_its_quotes() {
    let table: [(&str, &[&str], &[&str]); 5] = [
        (
            params::HOSTNAME,
            &["a", "box-1", "box.example.org"],
            &["", "-a", "a-", "a..b", ".a", "a b", "a\nb", "a/b", "ä", &"x".repeat(65)],
        ),
        (params::USER, &["live", "_x", "a-1"], &["", "Live", "a:b", "a\n", "1a", "-a", "a b", "$a", &"x".repeat(33)]),
        (params::LOCALE, &["C", "de_DE.UTF-8", "ca_ES@valencia"], &["", ".", "../x", "de DE", "$(x)", "a\"b", "a\0"]),
        (params::KEYMAP, &["us", "de-latin1-nodeadkeys"], &["", "-x", "qwerty/us", "a;b", "a\tb", "`x`"]),
        (
            params::TIMEZONE,
            &["UTC", "Europe/Berlin", "America/Indiana/Knox", "Etc/GMT+1"],
            &["", "/etc/shadow", "../shadow", "Europe/", "Europe//x", "a.b", "Europe/\n"],
        ),
    ];
    for (name, good, bad) in table {
        for value in good {
            assert!(Identity::default().set(name, value).is_some(), "{name}={value}");
        }
        for value in bad {
            let mut identity = Identity::default();
            assert!(identity.set(name, value).is_none() && identity == Identity::default(), "{name}={value:?}");
        }
    }
}

#[test]
fn a_name_is_written_where_its_root_reads_it() {
    let name = [(params::HOSTNAME, "aurora")];
    let new = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.1.1 aurora\n";
    check(&[], &name, &[("/etc/hostname", "aurora\n"), ("/etc/hosts", new)]);
    check(
        &[("/etc/hosts", "127.0.0.1 localhost\n127.0.1.1 old\n"), ("/etc/conf.d/hostname", "# name\nhostname=old\n")],
        &name,
        &[
            ("/etc/conf.d/hostname", "# name\nhostname=aurora\n"),
            ("/etc/hostname", "aurora\n"),
            ("/etc/hosts", "127.0.0.1 localhost\n127.0.1.1 aurora\n"),
        ],
    );
}

#[test]
fn language_keyboard_and_clock_are_written_where_their_root_reads_them() {
    check(&[], &[(params::LOCALE, "C.UTF-8")], &[("/etc/locale.conf", "LANG=C.UTF-8\n")]);
    check(
        &[("/etc/default/locale", "LANGUAGE=de\nLANG=C"), ("/etc/vconsole.conf", "FONT=x\nKEYMAP=us\n")],
        &[(params::LOCALE, "de_DE.UTF-8"), (params::KEYMAP, "uk-x")],
        &[
            ("/etc/default/keyboard", "XKBLAYOUT=gb\n"),
            ("/etc/default/locale", "LANGUAGE=de\nLANG=de_DE.UTF-8\n"),
            ("/etc/locale.conf", "LANG=de_DE.UTF-8\n"),
            ("/etc/vconsole.conf", "FONT=x\nKEYMAP=uk-x\n"),
        ],
    );
    let zone = [(params::TIMEZONE, "Europe/Berlin")];
    check(
        &[("/usr/share/zoneinfo/Europe/Berlin", "TZif")],
        &zone,
        &[("/etc/localtime", "-> /usr/share/zoneinfo/Europe/Berlin"), ("/etc/timezone", "Europe/Berlin\n")],
    );
    let (changes, notes) = planned(&[], &[], &with(&zone));
    assert!(changes.is_empty() && notes.len() == 1 && notes[0].contains("no such time zone"), "{notes:?}");
}

#[test]
fn a_user_is_made_whole_or_left_as_it_is() {
    let user = [(params::USER, "live")];
    let passwd = "root:x:0:0::/root:/bin/sh\nother:x:1000:1000::/:/bin/sh";
    check(
        &[("/etc/passwd", passwd)],
        &user,
        &[
            ("/etc/group", "live:x:1001:\n"),
            ("/etc/passwd", &format!("{passwd}\nlive:*:1001:1001::/home/live:/bin/sh\n")),
            ("/home/live", "1001:1001"),
        ],
    );
    check(
        &[
            ("/etc/passwd", ""),
            ("/etc/group", "audio:x:29:\nvideo:x:44:a\nlive:x:70:\nothers:x:1000:\n"),
            ("/etc/shadow", "root:*:1::::::"),
            ("/etc/gshadow", "audio:*::\n"),
            ("/bin/bash", ""),
        ],
        &user,
        &[
            ("/etc/group", "audio:x:29:live\nvideo:x:44:a,live\nlive:x:70:\nothers:x:1000:\n"),
            ("/etc/gshadow", "audio:*::live\n"),
            ("/etc/passwd", "live:x:1001:70::/home/live:/bin/bash\n"),
            ("/etc/shadow", "root:*:1::::::\nlive:*::0:99999:7:::\n"),
            ("/home/live", "1001:70"),
        ],
    );
    check(&[("/etc/passwd", "live:x:1000:1000::/:/bin/sh\n")], &user, &[]);
    let (changes, notes) = planned(&[("/etc/passwd", "unreadable")], &[], &with(&user));
    assert!(changes.is_empty() && notes.len() == 1, "what cannot be read is not replaced: {changes:?}");
}

#[test]
fn every_console_gets_a_login_of_its_init_s_own_form() {
    let sysvinit =
        "id:2:initdefault:\n1:2345:respawn:/sbin/getty 38400 tty1\n#T0:23:respawn:/sbin/getty -L ttyS0 9600\n";
    let busybox = "::sysinit:/etc/rc\ntty1::respawn:/sbin/getty 38400 tty1\n";
    let none = "::sysinit:/etc/rc\n";
    let as_user = with(&[(params::USER, "live")]);
    let as_user = Identity { user: None, autologin: true, ..as_user };
    let nobody = Identity::default();
    let (agetty, systemd) = (("/sbin/agetty", ""), ("/usr/lib/systemd/systemd", ""));
    for (root, consoles, identity, path, expected) in [
        (
            vec![("/etc/inittab", sysvinit)],
            ["tty0", "ttyS0"],
            &nobody,
            "/etc/inittab",
            Some(format!("{sysvinit}S0:2345:respawn:/sbin/getty -L ttyS0 115200 vt100\n")),
        ),
        (
            vec![("/etc/inittab", busybox)],
            ["tty1", "ttyAMA0"],
            &nobody,
            "/etc/inittab",
            Some(format!("{busybox}ttyAMA0::respawn:/sbin/getty -L ttyAMA0 115200 vt100\n")),
        ),
        (vec![("/etc/inittab", none)], ["tty1", "ttyS0"], &nobody, "/etc/inittab", None),
        (vec![("/etc/inittab", sysvinit)], ["tty1", "tty0"], &nobody, "/etc/inittab", None),
        (
            vec![("/etc/inittab", sysvinit), agetty],
            ["tty1", "ttyUSB10"],
            &as_user,
            "/etc/inittab",
            Some(
                "id:2:initdefault:\n#T0:23:respawn:/sbin/getty -L ttyS0 9600\n\
                 1:2345:respawn:/sbin/agetty --autologin root --noclear tty1 115200 linux\n\
                 SB10:2345:respawn:/sbin/agetty --autologin root --noclear -L ttyUSB10 115200 vt100\n"
                    .into(),
            ),
        ),
        (
            vec![("/etc/inittab", busybox)],
            ["tty1", "tty1"],
            &as_user,
            "/etc/inittab",
            Some("::sysinit:/etc/rc\ntty1::respawn:/bin/login -f root\n".into()),
        ),
        (
            vec![systemd],
            ["tty1", "ttyS0"],
            &as_user,
            "/etc/systemd/system/serial-getty@ttyS0.service.d/zz-live.conf",
            Some(
                "[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin root \
                 --keep-baud 115200,57600,38400,9600 %I $TERM\n"
                    .into(),
            ),
        ),
    ] {
        let (changes, notes) = planned(&root, &consoles, identity);
        assert_eq!((changes.get(path), notes.len()), (expected.as_ref(), 0), "{root:?} {consoles:?} {notes:?}");
    }
    for root in [vec![("/etc/inittab", sysvinit)], vec![]] {
        let (changes, notes) = planned(&root, &["ttyS0"], &as_user);
        assert!(changes.is_empty() && notes.len() == 1, "a root that cannot: {changes:?}");
    }
}

#[test]
fn changes_stay_below_their_root_and_replace_whole_files() {
    let outside = tempfile::tempdir().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    fs::create_dir_all(root.join("real/etc")).unwrap();
    symlink("/real/etc", root.join("etc")).unwrap();
    fs::write(root.join("real/etc/shadow"), "old").unwrap();
    fs::set_permissions(root.join("real/etc/shadow"), fs::Permissions::from_mode(0o640)).unwrap();
    let victim = outside.path().join("victim");
    fs::write(&victim, "kept").unwrap();
    symlink(&victim, root.join("real/etc/hostname")).unwrap();
    symlink(outside.path(), root.join("real/etc/systemd")).unwrap();
    let change = |path: &str| write::write(root, &file(path, "new\n".into()));

    assert_eq!(write::read(root, "/etc/shadow"), Ok(Some("old".into())));
    assert_eq!(write::read(root, "/etc/hostname"), Ok(None), "a link leads to nothing of this root's");
    change("/etc/shadow").unwrap();
    change("/etc/hostname").unwrap();
    change("/etc/systemd/system/x.conf").unwrap();
    write::write(root, &Change::Link { path: "/etc/localtime".into(), target: "/x".into() }).unwrap();
    write::write(root, &Change::Link { path: "/etc/localtime".into(), target: "/y".into() }).unwrap();

    assert_eq!(fs::metadata(root.join("real/etc/shadow")).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(fs::read_to_string(root.join("real/etc/shadow")).unwrap(), "new\n");
    assert_eq!(fs::read_link(root.join("real/etc/localtime")).unwrap().to_str(), Some("/y"));
    assert_eq!(fs::read_to_string(&victim).unwrap(), "kept");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    let below = outside.path().strip_prefix("/").unwrap();
    assert!(root.join(below).join("system/x.conf").exists(), "a link that is absolute is so in its root");
    assert_eq!(fs::read_dir(root.join("real/etc")).unwrap().count(), 4, "nothing half-written is left");
}

#[test]
fn a_home_has_what_new_users_get() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    fs::create_dir_all(root.join("etc/skel/.config")).unwrap();
    fs::write(root.join("etc/skel/.profile"), "new").unwrap();
    fs::write(root.join("etc/skel/.config/x"), "x").unwrap();
    symlink("/nowhere", root.join("etc/skel/link")).unwrap();
    fs::create_dir_all(root.join("home/live")).unwrap();
    fs::write(root.join("home/live/.profile"), "mine").unwrap();
    let (id, group) = (nix::unistd::getuid().as_raw(), nix::unistd::getgid().as_raw());
    write::write(root, &Change::Home { path: "/home/live".into(), id, group }).unwrap();
    let home = root.join("home/live");
    assert_eq!(fs::read_to_string(home.join(".profile")).unwrap(), "mine");
    assert_eq!(fs::read_to_string(home.join(".config/x")).unwrap(), "x");
    assert_eq!(fs::read_link(home.join("link")).unwrap().to_str(), Some("/nowhere"));
}
