//! What kernel code asks modprobe for while it runs, and no modinfo says. An
//! initramfs has no modprobe, so it has to be loaded before.

/// As if it were a softdep: kmod, names or aliases to try before it.
const UNSAID: &[(&str, &[&str])] = &[
    // fs/fat/inode.c loads the character sets of its mount options, and fails
    // without them; which are the defaults is the kernel's configuration.
    ("vfat", &["nls_cp437", "nls_ascii", "nls_iso8859_1", "nls_utf8"]),
    ("msdos", &["nls_cp437", "nls_ascii", "nls_iso8859_1", "nls_utf8"]),
    // fs/nls/nls_base.c, load_nls_default(): names on Joliet and NTFS.
    ("isofs", &["nls_utf8"]),
    ("ntfs3", &["nls_utf8"]),
    // crypto/api.c asks by the algorithm's name, when a table is loaded.
    ("dm_verity", &["crypto-sha256"]),
    ("dm_crypt", &["crypto-aes", "crypto-xts", "crypto-cbc", "crypto-essiv", "crypto-sha256"]),
    // drivers/md/md.c: a personality for the level found in the superblock.
    ("dm_raid", &["raid1", "raid10", "raid456"]),
];

pub(super) fn pre(kmod: &str) -> &'static [&'static str] {
    UNSAID.iter().find(|(name, _)| *name == kmod).map_or(&[], |(_, pre)| pre)
}
