//! Kmods: those that somebody asks for and no others, with their options and firmware.
//! kmod's depmod and modprobe say what a name asks for, from the image's own kmods.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use harness::builder::{Image, succeed};
use harness::oracle::Tool;
use harness::tiny;
use harness::vm::{self, Attach, Machine};

use crate::{BOOT, SOON};

/// What /init mounts a root with, beside what a device asks for.
const OF_THE_ROOT: [&str; 5] = ["loop", "fs-iso9660", "fs-squashfs", "fs-overlay", "nls_utf8"];

/// The medium comes when all else is loaded. `i2c_i801` is in the image's modprobe.d.
#[test]
fn what_was_asked_for_is_loaded_with_its_options_and_nothing_else() -> Result<()> {
    let (Some(image), Some(oracle)) = (tiny::image("modules")?, Oracle::find()?) else { return Ok(()) };
    let cmdline = "console=ttyS0 panic=-1 live.timeout=0 \
        usb-storage.delay_use=0 usb_storage.quirks=\"ffff:ffff:i, fffe:ffff:i\" \
        modprobe.blacklist=ahci module_blacklist=xfs live.modules=ext4,xfs,cfg80211,no-such,ipmi_msghandler \
        sysctl.kernel.firmware_config.force_sysfs_fallback=1";
    let accel = vm::accel(&image.file("boot/vmlinuz")?);
    let machine = Machine::new(&image.iso, Attach::UsbLater).with_kernel(image.vmlinux(cmdline)?);
    // Two, so that kmods are loaded while others are.
    let mut guest = Machine { cpus: 2, order: "report-kmods", ..machine }.start(accel)?;
    guest.expect(" 20 s so far", BOOT)?;
    guest.plug()?;
    let loaded = guest.report("kmods", BOOT)?;
    guest.passed(SOON)?;

    for (option, value) in [("delay_use", "0"), ("swi_tru_install", "2"), ("quirks", "ffff:ffff:i, fffe:ffff:i")] {
        assert_eq!(guest.report(option, SOON)?, value, "{option}");
    }
    let text = guest.console.text();
    for word in [
        "smp: Brought up 1 node, 2 CPUs",
        "there is no kmod no-such in this image",
        // It was asked for by name, and the kernel loads no such.
        "kmod xfs: Operation not permitted",
        // The kernel found the one, and was told that there is no other.
        "cfg80211: loaded regulatory.db is malformed or signature is missing/invalid",
        "firmware regulatory.db.p7s is not in this image",
    ] {
        ensure!(text.contains(word), "`{word}` is not in {text}");
    }

    let index = oracle.index(&image)?;
    // Those of processors are no device's.
    let modaliases: BTreeSet<String> =
        guest.reports("modalias").into_iter().filter(|a| !a.starts_with("cpu:")).collect();
    let mut asked = BTreeSet::new();
    for modalias in &modaliases {
        asked.extend(index.resolve(modalias)?);
    }
    for blacklisted in ["ahci", "i2c_i801"] {
        ensure!(asked.remove(blacklisted), "no device asks for {blacklisted}: {modaliases:?}");
    }
    asked.extend(["ext4", "xfs", "cfg80211", "ipmi_msghandler"].map(String::from));
    for name in OF_THE_ROOT {
        asked.extend(index.resolve(name)?);
    }
    let mut wanted = BTreeSet::new();
    for name in &asked {
        wanted.extend(index.needs(name)?);
    }
    wanted.remove(&("xfs".into(), true));
    let loaded: BTreeSet<String> = loaded.split_whitespace().map(String::from).collect();
    let surplus: Vec<_> = loaded.iter().filter(|&name| wanted.iter().all(|(wanted, _)| wanted != name)).collect();
    let missing: Vec<_> = wanted.iter().filter(|(name, always)| *always && !loaded.contains(name)).collect();
    ensure!(missing.is_empty() && surplus.is_empty(), "not loaded: {missing:?}; loaded for nothing: {surplus:?}");
    for (kmod, softdep) in [("ext4", "crc32c_generic"), ("ipmi_msghandler", "ipmi_devintf")] {
        ensure!(loaded.contains(softdep), "{kmod}'s softdep is not among {loaded:?}");
    }
    Ok(())
}

struct Oracle {
    bsdtar: Tool,
    depmod: Tool,
    modprobe: Tool,
}

/// An image's kmods, as kmod sees them.
struct Index<'a> {
    dir: tempfile::TempDir,
    release: String,
    modprobe: &'a Tool,
}

impl Oracle {
    fn find() -> Result<Option<Self>> {
        let (bsdtar, depmod, modprobe) = (Tool::find("bsdtar")?, Tool::find("depmod")?, Tool::find("modprobe")?);
        let (Some(bsdtar), Some(depmod), Some(modprobe)) = (bsdtar, depmod, modprobe) else { return Ok(None) };
        Ok(Some(Self { bsdtar, depmod, modprobe }))
    }

    fn index(&self, image: &Image) -> Result<Index<'_>> {
        let dir = tempfile::tempdir()?;
        let initramfs = image.file("boot/initramfs.img")?;
        succeed(self.bsdtar.command().arg("-xf").arg(initramfs).arg("-C").arg(dir.path()).arg("lib/modules"))?;
        let releases = fs::read_dir(dir.path().join("lib/modules"))?.collect::<Result<Vec<_>, _>>()?;
        let release = releases.first().context("the image has no kmods")?.file_name();
        let release = release.into_string().ok().context("a release that is no text")?;
        succeed(self.depmod.command().arg("-b").arg(dir.path()).arg(&release))?;
        fs::create_dir(dir.path().join("nothing"))?;
        Ok(Index { dir, release, modprobe: &self.modprobe })
    }
}

impl Index<'_> {
    /// The kmods that have this name or alias.
    fn resolve(&self, alias: &str) -> Result<Vec<String>> {
        let told = self.ask(&["--resolve-alias", alias])?;
        Ok(told.lines().map(|name| name.replace('-', "_")).collect())
    }

    /// That kmod and all that it needs, softdeps as well, and whether each runs on any
    /// processor.
    fn needs(&self, name: &str) -> Result<Vec<(String, bool)>> {
        let told = self.ask(&["--show-depends", name])?;
        let paths = told.lines().filter_map(|line| line.strip_prefix("insmod ")?.split_whitespace().next());
        let name = |path| Some(Path::new(path).file_stem()?.to_str()?.replace('-', "_"));
        Ok(paths.filter_map(|path| Some((name(path)?, !path.contains("/kernel/arch/")))).collect())
    }

    fn ask(&self, words: &[&str]) -> Result<String> {
        let mut command = self.modprobe.command();
        command.arg("-d").arg(self.dir.path()).arg("-C").arg(self.dir.path().join("nothing"));
        // It fails for what nothing answers to, and says nothing then.
        Ok(String::from_utf8(command.args(["-q", "-S", &self.release]).args(words).output()?.stdout)?)
    }
}
