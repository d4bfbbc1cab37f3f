//! Command lines as other projects' documentation writes them: they boot one of
//! our media to the same effect, or every word that does not is named.

use std::time::Duration;

use crate::cmdline::{Check, Cmdline, Persist, RamRoot, Shell, Size, ToRam};
use crate::identity::Identity;
use crate::log::Level;
use crate::medium::{IsoFile, Spec};
use crate::status::State;

/// A command line; what it makes of the default; words that the notes name.
type Row = (&'static str, fn(&mut Cmdline), &'static [&'static str]);

fn label(text: &str) -> Vec<Spec> {
    vec![Spec::Label(text.into())]
}

fn check(rows: &[Row]) {
    for (text, change, named) in rows {
        let (found, notes) = Cmdline::parse(&[text]);
        let mut expected = Cmdline::default();
        change(&mut expected);
        assert_eq!(found, expected, "{text}");
        for name in *named {
            assert!(
                notes.iter().any(|note| note.split([' ', ':']).next() == Some(name)),
                "{name} of {text}: {notes:?}"
            );
        }
        assert_eq!(notes.len(), named.len(), "{text}: {notes:?}");
    }
}

/// dracut.cmdline(7), "Booting live images".
#[test]
fn dracut_s_lines_mean_the_same_or_are_named() {
    check(&[
        (
            "root=live:CDLABEL=Fedora-Live rd.live.image quiet rhgb",
            |c| {
                c.medium = label("Fedora-Live");
                c.log = Level::Warn;
            },
            &[],
        ),
        (
            r"root=live:LABEL=My\x20Stick rd.live.dir=LiveOS2 rd.live.ram=1 rd.live.check",
            |c| {
                c.medium = label("My Stick");
                c.dir = "LiveOS2".into();
                c.to_ram = ToRam::Yes;
                c.check = Check::Full;
            },
            &[],
        ),
        (
            "root=live:/dev/sdb1 rd.live.overlay=UUID=ABCD-BEEF:/kept rd.live.overlay.size=2048",
            |c| {
                c.medium = vec![Spec::Device("sdb1".into())];
                (c.persist, c.persist_on, c.persist_dir) =
                    (Persist::Auto, Some(Spec::Uuid("ABCD-BEEF".into())), "kept".into());
                c.upper_size = Size::Bytes(2 << 30);
            },
            &[],
        ),
        (
            "root=live:CDLABEL=X rd.live.overlay=LABEL=persist:auto rd.live.overlay.readonly rd.live.overlay.reset",
            |c| {
                c.medium = label("X");
                (c.persist, c.persist_on) = (Persist::Auto, Some(Spec::Label(b"persist".into())));
                (c.persist_ro, c.persist_reset) = (true, true);
            },
            &[],
        ),
        (
            "root=live:CDLABEL=X rd.live.squashimg=root.img rd.live.overlay.overlayfs rd.live.overlay.thin rd.retry=20 rd.shell=0",
            |c| {
                c.medium = label("X");
                c.timeout = Some(Duration::from_secs(20));
                c.shell = Shell::Never;
            },
            &["rd.live.squashimg", "rd.live.overlay.overlayfs", "rd.live.overlay.thin"],
        ),
        ("root=live:http://example.com/live.iso rd.neednet=1", |_| {}, &["root", "rd.neednet"]),
        (
            "iso-scan/filename=/images/x.iso root=live:CDLABEL=X rd.break=pre-pivot rd.driver.blacklist=nouveau",
            |c| {
                c.iso = Some(IsoFile { path: "images/x.iso".into(), holders: vec![] });
                c.medium = label("X");
                c.breaks = vec![State::Handover];
                c.blacklist = vec!["nouveau".into()];
            },
            &[],
        ),
    ]);
}

/// live-boot(7).
#[test]
fn live_boot_s_lines_mean_the_same_or_are_named() {
    check(&[
        (
            "boot=live components quiet splash findiso=/isos/debian.iso",
            |c| {
                c.iso = Some(IsoFile { path: "isos/debian.iso".into(), holders: vec![] });
                c.log = Level::Warn;
            },
            &["components"],
        ),
        (
            "boot=live toram live-media=removable live-media-timeout=10",
            |c| {
                c.to_ram = ToRam::Yes;
                c.medium = vec![Spec::Removable];
                c.timeout = Some(Duration::from_secs(10));
            },
            &[],
        ),
        (
            "boot=live persistence persistence-label=keep persistence-read-only",
            |c| {
                (c.persist, c.persist_on, c.persist_ro) = (Persist::Auto, Some(Spec::Label(b"keep".into())), true);
            },
            &[],
        ),
        (
            "boot=live persistence persistence-encryption=luks persistence-media=removable",
            |c| {
                (c.persist, c.persist_on) = (Persist::Auto, Some(Spec::Removable));
            },
            &["persistence-encryption"],
        ),
        (
            "boot=live fromiso=/dev/sda1/isos/x.iso live-media-path=/other verify-checksums overlay-size=40%",
            |c| {
                c.iso = Some(IsoFile { path: "isos/x.iso".into(), holders: vec![Spec::Device("sda1".into())] });
                c.dir = "other".into();
                c.check = Check::Full;
                c.upper_size = Size::Percent(40);
            },
            &[],
        ),
        (
            "boot=live netboot=nfs nfsroot=10.0.0.1:/live fetch=http://10.0.0.1/x.squashfs union=overlay swap=true",
            |_| {},
            &["netboot", "nfsroot", "fetch", "union", "swap"],
        ),
        ("boot=live module=xfce dm-verity-root-hash=00ff", |c| c.verity = vec!["00ff".into()], &["module"]),
    ]);
}

/// casper(7), and what Ubuntu's own menus have.
#[test]
fn casper_s_lines_mean_the_same_or_are_named() {
    check(&[
        (
            "boot=casper iso-scan/filename=/ubuntu.iso maybe-ubiquity quiet splash ---",
            |c| {
                c.iso = Some(IsoFile { path: "ubuntu.iso".into(), holders: vec![] });
                c.log = Level::Warn;
            },
            &["maybe-ubiquity"],
        ),
        (
            "boot=casper persistent toram username=live hostname=aurora",
            |c| {
                c.persist = Persist::Auto;
                c.to_ram = ToRam::Yes;
                c.identity.user = Some("live".into());
                c.identity.hostname = Some("aurora".into());
            },
            &[],
        ),
        (
            "boot=casper fsck.mode=skip layerfs-path=minimal.squashfs live-media=/dev/sdb2 nopersistent",
            |c| {
                c.check = Check::Off;
                c.medium = vec![Spec::Device("sdb2".into())];
            },
            &["layerfs-path"],
        ),
        (
            "boot=casper netboot=cifs nfsroot=//10.0.0.1/u integrity-check noprompt",
            |_| {},
            &["netboot", "nfsroot", "integrity-check", "noprompt"],
        ),
    ]);
}

/// The README of mkinitcpio-archiso.
#[test]
fn archiso_s_lines_mean_the_same_or_are_named() {
    check(&[
        (
            "archisobasedir=arch archisolabel=ARCH_202611 cow_spacesize=2G copytoram=y",
            |c| {
                c.dir = "arch".into();
                c.medium = label("ARCH_202611");
                c.upper_size = Size::Bytes(2 << 30);
                c.to_ram = ToRam::Yes;
            },
            &[],
        ),
        (
            "archisobasedir=arch archisosearchuuid=2026-11-21-00-00-00-00 checksum=y copytoram=auto",
            |c| {
                c.dir = "arch".into();
                c.medium = vec![Spec::Uuid("2026-11-21-00-00-00-00".into())];
                c.check = Check::Full;
                c.to_ram = ToRam::Auto;
            },
            &[],
        ),
        (
            "archisodevice=/dev/disk/by-partlabel/arch cow_label=keep cow_directory=/state",
            |c| {
                c.medium = vec![Spec::PartLabel(b"arch".into())];
                (c.persist, c.persist_on, c.persist_dir) =
                    (Persist::Auto, Some(Spec::Label(b"keep".into())), "state".into());
            },
            &[],
        ),
        (
            "img_dev=/dev/disk/by-uuid/ABCD img_loop=/isos/arch.iso archisosearchfilename=/boot/x.uuid",
            |c| {
                c.iso = Some(IsoFile { path: "isos/arch.iso".into(), holders: vec![Spec::Uuid("ABCD".into())] });
                c.medium = vec![Spec::File("boot/x.uuid".into())];
            },
            &[],
        ),
        (
            "archiso_http_srv=http://10.0.0.1/ verify=y cms_verify=y cow_flags=defaults script=/x.sh",
            |_| {},
            &["archiso_http_srv", "verify", "cms_verify", "cow_flags", "script"],
        ),
    ]);
}

/// The boot codes of Tiny Core's F2 to F4 screens.
#[test]
fn tiny_core_s_lines_mean_the_same_or_are_named() {
    check(&[
        (
            "waitusb=5 tce=sda1 quiet",
            |c| {
                c.timeout = Some(Duration::from_secs(5));
                c.log = Level::Warn;
            },
            &["tce"],
        ),
        (
            "waitusb=10:UUID=ABCD-0123 noembed blacklist=nouveau",
            |c| {
                c.timeout = Some(Duration::from_secs(10));
                c.ram = RamRoot::Tmpfs;
                c.blacklist = vec!["nouveau".into()];
            },
            &[],
        ),
        (
            "loglevel=3 cde base norestore showapps nozswap noswap home=sda1 opt=sda1 restore=sda1/tce",
            |_| {},
            &["base", "norestore", "showapps", "nozswap", "noswap", "home", "opt", "restore"],
        ),
        (
            "host=box user=tc kmap=qwerty/us lang=en tz=UTC text superuser",
            |c| {
                let text = |text: &str| Some(text.into());
                c.identity = Identity { hostname: text("box"), user: text("tc"), ..Identity::default() };
                (c.identity.locale, c.identity.keymap, c.identity.timezone) = (text("en"), text("us"), text("UTC"));
            },
            &["text", "superuser"],
        ),
        (
            "nfsmount=10.0.0.1:/x httplist=10.0.0.1/l iso=/isos/core.iso",
            |c| {
                c.iso = Some(IsoFile { path: "isos/core.iso".into(), holders: vec![] });
            },
            &["nfsmount", "httplist"],
        ),
    ]);
}
