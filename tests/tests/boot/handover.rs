//! The inits of the world, each handed over to in the same way: a login on the
//! serial console, and a clean end when the medium was pulled, or is given back.

use anyhow::{Result, ensure};
use harness::builder::{Image, succeed};
use harness::oracle::{Tool, skip};
use harness::vm::{self, Attach, Bus, Ended, Guest, Machine};
use tempfile::NamedTempFile;

use crate::faults::Run;
use crate::persist::{ext4, writable};
use crate::{BOOT, SOON};

/// An image with an init, and how that is told to end.
struct Init {
    image: &'static str,
    cmdline: &'static str,
    /// What PID 1 is a process of.
    program: &'static str,
    off: &'static str,
    /// Debian has no package of it: the variable that names a folder with one, to be laid
    /// over the root.
    given_by: Option<&'static str>,
}

const SYSTEMD: Init = Init { image: "live", cmdline: "", program: "/systemd", off: "poweroff", given_by: None };
const SYSVINIT: Init = Init { image: "sysvinit", cmdline: "", program: "/sbin/init", off: "poweroff", given_by: None };
const OPENRC: Init = Init { image: "openrc", cmdline: "", program: "/sbin/init", off: "poweroff", given_by: None };
const RUNIT: Init = Init { image: "runit", cmdline: "", program: "/runit", off: "poweroff", given_by: None };
const S6: Init = Init {
    image: "sysvinit",
    cmdline: "init=/etc/s6/init",
    program: "/s6-svscan",
    off: "s6-svscanctl -t /run/s6/services",
    given_by: None,
};
/// As if it had unmounted everything before its last step, as s6-linux-init does.
const SWEEPING: Init = Init { off: "umount -l /run/initramfs; s6-svscanctl -t /run/s6/services", ..S6 };
const S6_LINUX_INIT: Init = Init {
    image: "sysvinit",
    cmdline: "init=/etc/given/s6-linux-init",
    program: "/s6-svscan",
    off: "/etc/s6-linux-init/current/bin/poweroff",
    given_by: Some("LIVEROOT_TEST_S6_LINUX_INIT"),
};
const DINIT: Init = Init {
    image: "sysvinit",
    cmdline: "init=/etc/given/dinit",
    program: "/dinit",
    off: "/sbin/shutdown -p",
    given_by: Some("LIVEROOT_TEST_DINIT"),
};

macro_rules! rows {
    ($($name:ident: $how:ident $init:ident, $run:ident;)*) => {$(
        #[test]
        fn $name() -> Result<()> {
            if Run::$run == Run::Whole && std::env::var_os("LIVEROOT_QUICK").is_some() {
                return skip("it is no part of --quick");
            }
            $how(&$init)
        }
    )*};
}

rows! {
    systemd_ends_with_its_medium_pulled: pulled SYSTEMD, Whole;
    sysvinit_ends_with_its_medium_pulled: pulled SYSVINIT, Whole;
    openrc_ends_with_its_medium_pulled: pulled OPENRC, Whole;
    runit_ends_with_its_medium_pulled: pulled RUNIT, Whole;
    s6_ends_with_its_medium_pulled: pulled S6, Whole;
    s6_linux_init_ends_with_its_medium_pulled: pulled S6_LINUX_INIT, Whole;
    dinit_ends_with_its_medium_pulled: pulled DINIT, Whole;
    systemd_gives_its_medium_back: given_back SYSTEMD, Whole;
    sysvinit_gives_its_medium_back: given_back SYSVINIT, Always;
    an_init_that_unmounted_everything_gives_its_medium_back: given_back SWEEPING, Whole;
    s6_gives_its_medium_back: given_back S6, Always;
    s6_linux_init_gives_its_medium_back: given_back S6_LINUX_INIT, Whole;
    dinit_gives_its_medium_back: given_back DINIT, Whole;
}

fn pulled(init: &Init) -> Result<()> {
    let Some(mut guest) = start(init, Attach::Usb, "live.toram")? else { return Ok(()) };
    log_in(&mut guest, init)?;
    guest.pull()?;
    guest.type_line(init.off)?;
    is_off(&mut guest)
}

fn given_back(init: &Init) -> Result<()> {
    let Some(mut guest) = start(init, Attach::Cdrom, "live.eject")? else { return Ok(()) };
    log_in(&mut guest, init)?;
    guest.type_line(init.off)?;
    guest.expect("Take the medium (/dev/sr0)", BOOT)?;
    let tray = guest.qmp.event("DEVICE_TRAY_MOVED")?;
    ensure!(tray["data"]["tray-open"] == true, "the tray did not open: {tray}");
    guest.type_line("")?;
    is_off(&mut guest)
}

fn start(init: &Init, attach: Attach, cmdline: &str) -> Result<Option<Guest>> {
    let mut second = None;
    if let Some(variable) = init.given_by {
        let Some(disk) = given(variable)? else { return Ok(None) };
        second = Some(disk);
    }
    let Some(image) = Image::of(init.image)? else { return Ok(None) };
    let cmdline = format!("console=ttyS0 panic=-1 live.hostname=aurora {cmdline} {}", init.cmdline);
    let kernel = image.vmlinux(&cmdline)?;
    let accel = vm::accel(&image.file("boot/vmlinuz")?);
    // Its own report would end the machine.
    let machine = Machine::new(&image.iso, attach).with_kernel(kernel).with_order("none");
    let machine = second.iter().fold(machine, |machine, disk| machine.with_second(disk.path()));
    machine.start(accel).map(Some)
}

/// A disk with the folder that the variable names. It is skipped in CI too: there is
/// nothing that CI could install it from.
fn given(variable: &str) -> Result<Option<NamedTempFile>> {
    let Some(folder) = std::env::var_os(variable) else {
        skip(&format!("{variable} names no folder with this init, and Debian has no package of it"))?;
        return Ok(None);
    };
    let Some(bsdtar) = Tool::find("bsdtar")? else { return Ok(None) };
    let disk = NamedTempFile::new()?;
    succeed(bsdtar.command().arg("-cf").arg(disk.path()).arg("-C").arg(folder).arg("."))?;
    Ok(Some(disk))
}

fn log_in(guest: &mut Guest, init: &Init) -> Result<()> {
    shows(guest, "aurora login:")?;
    // No harm where somebody is logged in already.
    guest.type_line("root")?;
    shows(guest, "root@aurora:~#")?;
    guest.type_line("t=$(cat /sys/class/dmi/id/product_serial); echo \"$t pid1=$(readlink /proc/1/exe)\"")?;
    let program = guest.report("pid1", SOON)?;
    ensure!(program.ends_with(init.program), "PID 1 is {program}");
    guest.type_line("unshare -Urm true; echo \"$t unshare=$?\"; nsenter -t 1 -a true; echo \"$t nsenter=$?\"")?;
    assert_eq!(guest.report("unshare", SOON)?, "0");
    assert_eq!(guest.report("nsenter", SOON)?, "0");
    Ok(())
}

pub(crate) fn shows(guest: &Guest, words: &str) -> Result<()> {
    guest.wait(words, BOOT, |text| text.contains(words).then_some(()))
}

pub(crate) fn is_off(guest: &mut Guest) -> Result<()> {
    shows(guest, "reboot: Power down")?;
    let text = guest.console.text();
    ensure!(!text.contains("Kernel panic") && !text.contains("E_PULLED"), "no clean end:\n{text}");
    let ended = guest.end(SOON)?;
    ensure!(ended == Ended::Otherwise(0), "QEMU ended with {ended:?}");
    Ok(())
}

/// dinit alone starts anew, on what is mounted: its hook runs then, too, and lets go of nothing.
#[test]
fn dinit_starts_anew_on_its_medium() -> Result<()> {
    if std::env::var_os("LIVEROOT_QUICK").is_some() {
        return skip("it is no part of --quick");
    }
    let Some(mut guest) = start(&DINIT, Attach::Virtio, "")? else { return Ok(()) };
    log_in(&mut guest, &DINIT)?;
    guest.type_line("echo first > /run/first; /sbin/shutdown -s")?;
    let logins = |text: &str| (text.matches("aurora login:").count() == 2).then_some(());
    guest.wait("a second login", BOOT, logins)?;
    guest.type_line("root")?;
    guest.type_line("echo \"$(cat /sys/class/dmi/id/product_serial) kept=$(cat /run/first)\"")?;
    assert_eq!(guest.report("kept", BOOT)?, "first");
    guest.type_line(DINIT.off)?;
    is_off(&mut guest)
}

/// Hooks change the root before it, and one that fails stops nothing.
#[test]
fn a_user_is_logged_in_where_that_was_asked_for() -> Result<()> {
    let asked = "live.user=tester live.autologin live.tz=Europe/Berlin live.locale=C.UTF-8 live.keymap=../x";
    let Some(mut guest) = start(&SYSVINIT, Attach::Virtio, asked)? else { return Ok(()) };
    shows(&guest, "tester@aurora:~$")?;
    let text = guest.console.text();
    for told in [
        "liveroot: live.keymap: `../x` is not of the form",
        "hook /lib/live/hooks/configure/20-fail: it ended with 3",
        "liveroot: configure: degraded",
    ] {
        ensure!(text.contains(told), "`{told}` is not in {text}");
    }
    guest.type_line("echo zone $(date +%Z), home $PWD, hooked $(cat /etc/hooked)")?;
    shows(&guest, "T, home /home/tester, hooked configure")
}

/// PID 1 holds its root to the end, and what that stands on with it.
#[test]
fn what_is_kept_is_whole_on_its_disk() -> Result<()> {
    let (Some(image), Some(dumpe2fs)) = (Image::of("sysvinit")?, Tool::find("dumpe2fs")?) else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    let Some(disk) = ext4(dir.path().join("disk.img"), "keep")? else { return Ok(()) };
    let kernel = image.vmlinux("console=ttyS0 panic=-1 live.hostname=aurora live.persist=LABEL=keep")?;
    let accel = vm::accel(&image.file("boot/vmlinuz")?);
    let machine = Machine::new(&image.iso, Attach::Virtio).with_disks(vec![writable(Bus::Virtio, &disk)]);
    let mut guest = machine.with_kernel(kernel).with_order("none").start(accel)?;
    log_in(&mut guest, &SYSVINIT)?;
    guest.type_line("echo kept > /root/kept; poweroff")?;
    is_off(&mut guest)?;
    let told = dumpe2fs.output(&["-h"], &disk)?;
    ensure!(told.contains("has_journal") && !told.contains("needs_recovery"), "its journal was not ended: {told}");
    Ok(())
}

/// Nothing of a RAM system is on its medium.
#[test]
fn toybox_ends_with_its_medium_pulled() -> Result<()> {
    let Some(mut guest) = in_ram("ram", "")? else { return Ok(()) };
    guest.pull()?;
    guest.type_line("poweroff")?;
    is_off(&mut guest)
}

fn in_ram(image: &'static str, cmdline: &str) -> Result<Option<Guest>> {
    let Some(image) = Image::of(image)? else { return Ok(None) };
    let kernel = image.vmlinux(&format!("console=ttyS0 panic=-1 {cmdline}"))?;
    let accel = vm::accel(&image.file("boot/vmlinuz")?);
    let machine = Machine::new(&image.iso, Attach::Usb).with_kernel(kernel).with_order("none");
    // Two, so that packages are decoded beside each other.
    let guest = Machine { cpus: 2, ..machine }.start(accel)?;
    shows(&guest, "This system lives in RAM")?;
    shows(&guest, "~/ # ")?;
    Ok(Some(guest))
}

#[test]
fn containers_run_in_memory_where_its_root_is_a_tmpfs() -> Result<()> {
    let Some(mut guest) = in_ram("contain", "live.ram=tmpfs")? else { return Ok(()) };
    guest.type_line(
        "t=$(cat /sys/class/dmi/id/product_serial); /usr/bin/nsenter -t 1 -a true; echo \"$t nsenter=$?\"",
    )?;
    assert_eq!(guest.report("nsenter", SOON)?, "0");
    guest.type_line("echo \"$t contained=$(/usr/local/sbin/contain echo yes 2>&1)\"")?;
    assert_eq!(guest.report("contained", BOOT)?, "yes");
    Ok(())
}

#[test]
fn containers_run_over_an_overlay() -> Result<()> {
    let Some(mut guest) = start(&SYSVINIT, Attach::Virtio, "")? else { return Ok(()) };
    log_in(&mut guest, &SYSVINIT)?;
    guest.type_line("echo \"$t contained=$(contain echo yes 2>&1)\"")?;
    assert_eq!(guest.report("contained", BOOT)?, "yes");
    Ok(())
}
