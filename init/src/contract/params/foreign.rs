//! Parameters of other live systems that mean something there and nothing
//! here: named when they are met, since a boot that passes over them in silence
//! is a riddle.

struct Group {
    why: &'static str,
    names: &'static [&'static str],
}

static GROUPS: &[Group] = &[
    Group {
        why: "/init uses no network",
        names: &[
            // live-boot and casper
            "fetch",
            "ftpfs",
            "httpfs",
            "netboot",
            "nfscow",
            "nfsopts",
            "nfsoverlay",
            "nfsroot",
            "url",
            // archiso
            "archiso_http_srv",
            "archiso_nbd_name",
            "archiso_nbd_srv",
            "archiso_nfs_srv",
            "archiso_pxe_http",
            // dracut
            "netroot",
            "rd.neednet",
            "rd.live.ram.net",
            // Tiny Core
            "aoe",
            "httplist",
            "nbd",
            "nfsmount",
            "tftplist",
        ],
    },
    Group {
        why: "the root here is layers under an overlayfs, as the medium's manifest lists them",
        names: &[
            // live-boot and casper
            "exposedroot",
            "layerfs-path",
            "module",
            "plainroot",
            "skipunion",
            "swapon",
            "union",
            // archiso
            "cow_chunksize",
            "cow_flags",
            "cow_persistent",
            "dm_snap_prefix",
            // dracut
            "rd.live.fsimg",
            "rd.live.overlay.overlayfs",
            "rd.live.overlay.thin",
            "rd.live.squashimg",
            "rd.writable.fsimg",
        ],
    },
    Group {
        why: "a signature is checked by live.verity= or by the boot loader",
        names: &["cms_verify", "verify", "integrity-check"],
    },
    Group {
        why: "/init opens no encrypted, logical or RAID volume",
        names: &[
            "persistence-encryption",
            "rd.auto",
            "rd.dm.uuid",
            "rd.luks",
            "rd.luks.uuid",
            "rd.lvm",
            "rd.lvm.lv",
            "rd.lvm.vg",
            "rd.md",
            "rd.md.uuid",
        ],
    },
    Group {
        why: "it is kept by live.persist=, or by the system's own means",
        names: &[
            // live-boot
            "persistence-method",
            "persistence-path",
            "persistence-storage",
            "persistence-subtext",
            // Tiny Core
            "home",
            "local",
            "lst",
            "mydata",
            "norestore",
            "opt",
            "protect",
            "restore",
            "safebackup",
            "tce",
            "tcvd",
        ],
    },
    Group { why: "swap is the system's own to turn on", names: &["noswap", "nozswap", "swap", "swapfile"] },
    Group {
        why: "it is for the system's own services, which read it themselves if they know it",
        names: &[
            // live-config and casper
            "components",
            "maybe-ubiquity",
            "noautologin",
            "noprompt",
            "only-ubiquity",
            "quickreboot",
            // archiso
            "script",
            // Tiny Core
            "base",
            "bkg",
            "cron",
            "desktop",
            "icons",
            "laptop",
            "multivt",
            "nodhcp",
            "noicons",
            "noutc",
            "pause",
            "secure",
            "settime",
            "showapps",
            "superuser",
            "syslog",
            "text",
            "xonly",
            "xsetup",
        ],
    },
];

/// Why a parameter of somebody else's has no effect; None for what is nobody's.
pub fn foreign(name: &str) -> Option<&'static str> {
    GROUPS.iter().find(|group| group.names.contains(&name)).map(|group| group.why)
}

#[cfg(test)]
mod tests {
    use super::super::{TABLE, resolve};
    use super::*;

    #[test]
    fn what_has_a_meaning_here_is_not_called_meaningless() {
        for group in GROUPS {
            for name in group.names {
                assert!(resolve(name, "x").is_none() && TABLE.iter().all(|param| param.name != *name), "{name}");
                assert_eq!(foreign(name), Some(group.why), "{name} stands twice");
            }
        }
        assert_eq!(foreign("console"), None);
    }
}
