//! What the tasks need beyond cargo, rustup, git and gcc, as Debian calls it.

use std::path::Path;

use crate::run;

pub(super) struct Package {
    pub(super) debian: &'static str,
    pub(super) purpose: &'static str,
    shows: Shows,
}

/// What is there when the package is.
enum Shows {
    Program(&'static str),
    File(&'static str),
    /// A library that pkg-config knows.
    Library(&'static str),
}

impl Package {
    pub(super) fn is_here(&self) -> bool {
        match self.shows {
            Shows::Program(name) => run::find(name).is_some(),
            Shows::File(path) => Path::new(path).exists(),
            Shows::Library(name) => run::succeeds(std::process::Command::new("pkg-config").args(["--exists", name])),
        }
    }

    pub(super) fn shows(&self) -> &'static str {
        match self.shows {
            Shows::Program(name) | Shows::File(name) | Shows::Library(name) => name,
        }
    }
}

const fn program(debian: &'static str, name: &'static str, purpose: &'static str) -> Package {
    Package { debian, purpose, shows: Shows::Program(name) }
}

pub(super) const PACKAGES: &[Package] = &[
    program("qemu-system-x86", "qemu-system-x86_64", "booting images"),
    program("qemu-utils", "qemu-img", "booting images"),
    program("qemu-system-arm", "qemu-system-aarch64", "booting images for arm64"),
    Package {
        debian: "ovmf",
        purpose: "booting images by UEFI",
        shows: Shows::File("/usr/share/qemu/firmware/60-edk2-x86_64.json"),
    },
    Package {
        debian: "qemu-efi-aarch64",
        purpose: "booting images for arm64",
        shows: Shows::File("/usr/share/qemu/firmware/60-edk2-aarch64.json"),
    },
    Package {
        debian: "isolinux",
        purpose: "the BIOS boot loader of our images",
        shows: Shows::File("/usr/lib/ISOLINUX/isolinux.bin"),
    },
    Package {
        debian: "syslinux-common",
        purpose: "the BIOS boot loader of our images",
        shows: Shows::File("/usr/lib/syslinux/modules/bios/ldlinux.c32"),
    },
    program("mmdebstrap", "mmdebstrap", "the root of profiles/live.toml"),
    program("make", "make", "building toybox"),
    program("gcc-aarch64-linux-gnu", "aarch64-linux-gnu-gcc", "/init for aarch64"),
    Package {
        debian: "libc6-dev-arm64-cross",
        purpose: "/init and toybox for aarch64",
        shows: Shows::File("/usr/aarch64-linux-gnu/lib/libc.a"),
    },
    program("musl-tools", "musl-gcc", "building toybox"),
    Package {
        debian: "linux-libc-dev",
        purpose: "building toybox",
        shows: Shows::File("/usr/include/linux/version.h"),
    },
    program("xz-utils", "xz", "unpacking toybox's source"),
    program("libarchive-tools", "bsdtar", "an oracle of the tests"),
    program("xorriso", "xorriso", "an oracle of the tests"),
    program("genisoimage", "isoinfo", "an oracle of the tests"),
    program("squashfs-tools", "unsquashfs", "an oracle of the tests"),
    program("cpio", "cpio", "an oracle of the tests"),
    program("kmod", "modinfo", "an oracle of the tests"),
    program("gdisk", "sgdisk", "an oracle of the tests"),
    program("fdisk", "sfdisk", "an oracle of the tests"),
    program("grub-common", "grub-mkimage", "an oracle of the tests"),
    program("isomd5sum", "checkisomd5", "an oracle of the tests"),
    program("cryptsetup-bin", "veritysetup", "an oracle of the tests"),
    program("disorderfs", "disorderfs", "reading folders in another order"),
    program("dosfstools", "mkfs.vfat", "an oracle of the tests"),
    program("e2fsprogs", "mke2fs", "an oracle of the tests"),
    program("exfatprogs", "mkfs.exfat", "an oracle of the tests"),
    program("ntfs-3g", "mkfs.ntfs", "an oracle of the tests"),
    program("xfsprogs", "mkfs.xfs", "an oracle of the tests"),
    program("btrfs-progs", "mkfs.btrfs", "an oracle of the tests"),
    program("f2fs-tools", "mkfs.f2fs", "an oracle of the tests"),
    program("erofs-utils", "mkfs.erofs", "an oracle of the tests"),
    program("binutils", "objdump", "an oracle of the tests"),
    program("mtools", "mcopy", "an oracle of the tests"),
    program("openssl", "openssl", "an oracle of the tests"),
    program("runc", "runc", "running containers in the tests' systems"),
    program("pax-utils", "lddtree", "an oracle of the tests"),
    Package {
        debian: "python3-pyelftools",
        purpose: "lddtree, an oracle of the tests",
        shows: Shows::File("/usr/lib/python3/dist-packages/elftools"),
    },
    program("python3-pip", "pip3", "fetching pycdlib, an oracle of the tests"),
    program("p7zip-full", "7z", "an oracle of the tests"),
    program("zstd", "zstd", "an oracle of the tests"),
    program("attr", "getfattr", "reading xattrs in a guest"),
    program("lz4", "lz4", "an oracle of the tests"),
    program("pkg-config", "pkg-config", "building cdfs, an oracle of the tests"),
    Package { debian: "libfuse-dev", purpose: "building cdfs, an oracle of the tests", shows: Shows::Library("fuse") },
];
