//! The rows. Each alias is a name that boots a live system elsewhere: dracut
//! (`rd.*`, `root=live:`), live-boot, casper, archiso, Tiny Core, grml, Slax,
//! initramfs-tools and the kernel.

use super::Reading::{Before, Begin, Fixed, Same, Unit, When};
use super::{
    AUTOLOGIN, Alias, BLACKLIST, BREAK, CHECK, DIR, EJECT, EMERGENCY, HOSTNAME, INIT, ISO, ISO_DEVICE, KEYMAP, LAYERS,
    LOCALE, LOG, MEDIUM, MODE, MODULES, PERSIST, PERSIST_RESET, PERSIST_RO, Param, RAM, RAM_SIZE, Reading, SHELL,
    TIMEOUT, TIMEZONE, TORAM, UPPER_SIZE, USER, VERITY,
};

const fn alias(name: &'static str, reading: Reading) -> Alias {
    Alias { name, reading }
}

const fn param(
    name: &'static str,
    form: &'static str,
    default: &'static str,
    help: &'static str,
    aliases: &'static [Alias],
) -> Param {
    Param { name, form, default, help, supported: true, aliases }
}

const fn planned(
    name: &'static str,
    form: &'static str,
    default: &'static str,
    help: &'static str,
    aliases: &'static [Alias],
) -> Param {
    Param { name, form, default, help, supported: false, aliases }
}

pub static TABLE: &[Param] = &[
    param(
        MODE,
        "auto|ram|overlay",
        "auto",
        "how the root comes to be; auto: as the medium's manifest says",
        &[
            alias("boot", When("live", "auto")),
            alias("boot", When("casper", "auto")),
            alias("rd.live.image", Fixed("auto")),
        ],
    ),
    param(
        MEDIUM,
        "SPEC[,SPEC...]",
        "the image's boot-id, then its label",
        "where the medium is: ID=, LABEL=, UUID=, PARTLABEL=, PARTUUID=, a device's path, FILE= for whatever holds that file, \
         removable for whatever can be taken out; best first",
        &[
            alias("root", Begin("live:CDLABEL=", "LABEL=")),
            alias("root", Begin("live:", "")),
            alias("CDLABEL", Begin("", "LABEL=")),
            alias("archisolabel", Begin("", "LABEL=")),
            alias("archisodevice", Same),
            alias("archisosearchuuid", Begin("", "UUID=")),
            alias("archisosearchfilename", Begin("", "FILE=")),
            alias("live-media", Same),
            alias("bootfrom", Same),
            alias("cdroot", Same),
        ],
    ),
    param(
        ISO,
        "PATH",
        "",
        "an ISO file on a partition is the medium",
        &[
            alias("iso-scan/filename", Same),
            alias("findiso", Same),
            alias("fromiso", Same),
            alias("isofrom", Same),
            alias("img_loop", Same),
            alias("isoboot", Same),
            alias("iso", Same),
        ],
    ),
    param(ISO_DEVICE, "SPEC", "", "the partition that holds the ISO file", &[alias("img_dev", Same)]),
    param(
        DIR,
        "DIR",
        "live",
        "the directory of the medium that the manifest stands in",
        &[alias("rd.live.dir", Same), alias("live-media-path", Same), alias("archisobasedir", Same)],
    ),
    param(
        LAYERS,
        "NAME[,-NAME...]",
        "",
        "layers or packages to add or, after a minus, to leave out",
        &[alias("load", Same), alias("noload", Begin("", "-"))],
    ),
    param(
        TIMEOUT,
        "SECONDS",
        "30",
        "how long to wait for the medium; 0 waits for ever",
        &[
            alias("rd.retry", Same),
            alias("rootdelay", Same),
            alias("rootwait", Fixed("0")),
            alias("live-media-timeout", Same),
            alias("waitusb", Before(':')),
            alias("usbdelay", Same),
        ],
    ),
    param(
        TORAM,
        "auto|yes|no",
        "no",
        "copy the layers to memory and let go of the medium; auto: if there is the memory for it",
        &[
            alias("toram", Fixed("yes")),
            alias("copytoram", When("n", "no")),
            alias("copytoram", When("auto", "auto")),
            alias("copytoram", Fixed("yes")),
            alias("rd.live.ram", When("0", "no")),
            alias("rd.live.ram", Fixed("yes")),
            alias("docache", Fixed("yes")),
        ],
    ),
    param(
        EJECT,
        "yes|no",
        "no",
        "open the tray when the medium is no longer needed: in ram mode, and after a copy to memory",
        &[],
    ),
    param(
        UPPER_SIZE,
        "SIZE|PERCENT%",
        "50%",
        "size of the tmpfs that changes go to in overlay mode",
        &[alias("overlay-size", Same), alias("cow_spacesize", Same), alias("rd.live.overlay.size", Unit("M"))],
    ),
    param(
        PERSIST,
        "off|auto|required|SPEC[:DIR]",
        "off",
        "keep changes on a partition or in a file",
        &[
            alias("persistence", Fixed("auto")),
            alias("persistent", Fixed("auto")),
            alias("perch", Fixed("auto")),
            alias("cow_label", Begin("", "LABEL=")),
            alias("cow_device", Same),
            alias("cow_directory", Begin("", "/")),
            alias("nopersistence", Fixed("off")),
            alias("nopersistent", Fixed("off")),
            alias("persistence-label", Begin("", "LABEL=")),
            alias("persistence-media", Same),
            alias("rd.live.overlay", When("none", "off")),
            alias("rd.live.overlay", Same),
            alias("rd.overlay", Same),
        ],
    ),
    param(
        PERSIST_RO,
        "yes|no",
        "no",
        "use what was kept, keep nothing new",
        &[alias("rd.live.overlay.readonly", Fixed("yes")), alias("persistence-read-only", Fixed("yes"))],
    ),
    param(
        PERSIST_RESET,
        "yes|no",
        "no",
        "set aside what was kept and begin anew",
        &[alias("rd.live.overlay.reset", Fixed("yes"))],
    ),
    param(
        CHECK,
        "off|fast|full",
        "fast",
        "fast: the manifest's own digest, and every part's size; full: every part's SHA-256. \
         A package's SHA-256 is always verified before it is used, unless this is off",
        &[
            alias("rd.live.check", When("0", "off")),
            alias("rd.live.check", Fixed("full")),
            alias("checksum", When("y", "full")),
            alias("verify-checksums", Fixed("full")),
            alias("fsck.mode", When("skip", "off")),
        ],
    ),
    param(
        VERITY,
        "HASH[,HASH...]",
        "",
        "dm-verity root hashes of the layers, bottom first: any other root is refused",
        &[alias("dm-verity-root-hash", Same)],
    ),
    param(
        RAM,
        "rootfs|tmpfs",
        "rootfs",
        "where ram mode lives: on the kernel's own root, or on a tmpfs that can be pivoted",
        &[alias("noembed", Fixed("tmpfs"))],
    ),
    param(RAM_SIZE, "SIZE|PERCENT%", "75%", "how far the root of ram mode may grow", &[]),
    param(
        MODULES,
        "NAME[,NAME...]",
        "",
        "kernel modules to load before any device asks",
        &[alias("modules", Same), alias("rd.driver.pre", Same)],
    ),
    param(
        BLACKLIST,
        "NAME[,NAME...]",
        "",
        "kernel modules that no device gets",
        &[
            alias("modprobe.blacklist", Same),
            alias("module_blacklist", Same),
            alias("rd.driver.blacklist", Same),
            alias("blacklist", Same),
        ],
    ),
    param(
        BREAK,
        "STATE[,STATE...]",
        "",
        "stop and prompt before a state",
        &[
            alias("rd.break", When("", "handover")),
            alias("rd.break", When("pre-udev", "devices")),
            alias("rd.break", When("pre-trigger", "devices")),
            alias("rd.break", When("initqueue", "medium")),
            alias("rd.break", When("pre-mount", "medium")),
            alias("rd.break", When("mount", "root")),
            alias("rd.break", When("pre-pivot", "handover")),
            alias("rd.break", When("cleanup", "handover")),
            alias("rd.break", Same),
            alias("break", When("", "medium")),
            alias("break", When("top", "devices")),
            alias("break", When("modules", "devices")),
            alias("break", When("premount", "medium")),
            alias("break", When("mount", "medium")),
            alias("break", When("mountroot", "medium")),
            alias("break", When("bottom", "handover")),
            alias("break", When("init", "handover")),
            alias("break", Same),
        ],
    ),
    param(
        SHELL,
        "onfail|now|never",
        "onfail",
        "whether the rescue prompt gives the image's shell; now: before the medium is looked for",
        &[alias("rd.shell", When("0", "never")), alias("rd.shell", Fixed("onfail"))],
    ),
    param(
        EMERGENCY,
        "shell|reboot|poweroff|halt[:SECONDS]",
        "shell",
        "what the rescue prompt does when nobody answers; shell: it waits",
        &[
            alias("rd.emergency", Same),
            alias("panic", When("0", "shell")),
            alias("panic", When("-1", "reboot:0")),
            alias("panic", Begin("", "reboot:")),
        ],
    ),
    param(
        LOG,
        "err|warn|info|debug",
        "info",
        "what the consoles show",
        &[
            alias("quiet", Fixed("warn")),
            alias("debug", Fixed("debug")),
            alias("rd.debug", Fixed("debug")),
            alias("verbose", Fixed("info")),
        ],
    ),
    planned(HOSTNAME, "NAME", "", "the system's name", &[alias("hostname", Same), alias("host", Same)]),
    planned(USER, "NAME", "", "the live user", &[alias("username", Same), alias("user", Same)]),
    planned(LOCALE, "LOCALE", "", "language and country", &[alias("locale.LANG", Same), alias("lang", Same)]),
    planned(KEYMAP, "KEYMAP", "", "the consoles' keyboard", &[alias("vconsole.keymap", Same), alias("kmap", Same)]),
    planned(TIMEZONE, "ZONE", "", "where the clock stands", &[alias("tz", Same)]),
    planned(AUTOLOGIN, "yes|no", "no", "log the live user in", &[]),
    param(INIT, "PATH", "", "the program to hand over to, before the usual ones", &[]),
];
