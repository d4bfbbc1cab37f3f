//! Other projects' command lines, booted: the same effect, or the parameter named.
//! Their words are those of dracut.cmdline(7), live-boot(7), casper(7), the README of
//! mkinitcpio-archiso and Tiny Core's boot codes (F2 to F4).

use harness::vm::Bus;

use super::rows;

rows! {
    dracut_s_line_boots: Whole, "tiny", |s| Ok(vec![s.whole(Bus::Virtio)]),
        "root=live:CDLABEL=TEST_TINY rd.live.image rd.live.ram=1 rd.live.squashimg=squashfs.img rd.retry=20"
        => Booting(&["rd.live.squashimg is of another live system", "liveroot: toram: ok"]);
    live_boot_s_line_boots: Whole, "tiny", |s| Ok(vec![s.whole(Bus::Virtio)]),
        "boot=live components live-media=/dev/vda1 live-media-timeout=20 nopersistence netboot=nfs"
        => Booting(&["components is of another live system", "netboot is of another live system", "medium: /dev/vda1 "]);
    casper_s_line_boots: Whole, "tiny", |s| Ok(vec![s.whole(Bus::Virtio)]),
        "boot=casper file=/cdrom/preseed/ubuntu.seed maybe-ubiquity toram noprompt fsck.mode=skip layerfs-path=minimal.squashfs quiet splash ---"
        => Booting(&["maybe-ubiquity is of another live system", "noprompt is of another live system", "layerfs-path is of another live system"]);
    archiso_s_line_boots: Whole, "tiny", |s| Ok(vec![s.whole(Bus::Virtio)]),
        "archisobasedir=arch archisolabel=TEST_TINY copytoram=y checksum=y cow_spacesize=64M verify=y"
        => Booting(&["no manifest in /arch; taking /live", "verify is of another live system"]);
    tiny_core_s_line_boots: Whole, "ram", |s| Ok(vec![s.whole(Bus::Virtio)]),
        "waitusb=5:LABEL=TEST_RAM tce=vda1 norestore noembed"
        => Booting(&["tce is of another live system", "norestore is of another live system"]);
}
