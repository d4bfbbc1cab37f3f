//! Disks as QEMU can make them unwell.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

#[derive(Debug, Clone)]
pub struct Disk {
    pub bus: Bus,
    pub content: Content,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bus {
    Cdrom,
    Virtio,
    /// Such a disk with sectors of 4096 bytes.
    Large,
    /// Behind a controller whose driver no image of ours has.
    Unserved,
    /// A stick, in a machine with [`super::Machine::usb`].
    Usb,
}

#[derive(Debug, Clone)]
pub enum Content {
    /// A drive without a disc, until [`super::Guest::insert`].
    Empty,
    File(PathBuf),
    /// One that the guest may write to.
    Kept(PathBuf),
    /// Reads that touch this sector of 512 bytes fail, so many times or always.
    Unreadable {
        file: PathBuf,
        sector: u64,
        times: Option<u32>,
    },
    Slow {
        file: PathBuf,
        bytes_per_second: u64,
    },
}

impl Disk {
    pub fn new(bus: Bus, file: &Path) -> Self {
        Self { bus, content: Content::File(file.into()) }
    }

    /// QEMU's arguments for the disk of that number.
    pub(super) fn arguments(&self, number: usize) -> Result<Vec<String>> {
        let name = |file: &Path| {
            Ok::<_, anyhow::Error>(file.to_str().context("QEMU takes names that are text")?.replace(',', ",,"))
        };
        if matches!(self.content, Content::Empty) {
            return Ok(vec!["-device".into(), format!("ide-cd,bus=ide.{},id=drive{number}", 2 + number)]);
        }
        let media = if self.bus == Bus::Cdrom { "cdrom" } else { "disk" };
        let access = if matches!(self.content, Content::Kept(_)) { "off" } else { "on" };
        let mut drive = vec![format!("if=none,id=disk{number},media={media},readonly={access}")];
        match &self.content {
            Content::Empty => {}
            Content::File(file) | Content::Kept(file) => drive.push(format!("format=raw,file={}", name(file)?)),
            Content::Slow { file, bytes_per_second } => {
                drive.push(format!("format=raw,file={},throttling.bps-read={bytes_per_second}", name(file)?));
            }
            Content::Unreadable { file, sector, times } => {
                drive.push("driver=raw,file.driver=blkdebug,file.image.driver=file".into());
                drive.push(format!("file.image.filename={}", name(file)?));
                for n in 0..times.unwrap_or(1) {
                    let rule = format!("file.inject-error.{n}");
                    drive.push(format!("{rule}.event=read_aio,{rule}.errno=5,{rule}.sector={sector}"));
                    if times.is_some() {
                        drive.push(format!("{rule}.once=on"));
                    }
                }
            }
        }
        let device = match self.bus {
            // IDE's first places are the machine's own.
            Bus::Cdrom => format!("ide-cd,bus=ide.{},drive=disk{number}", 2 + number),
            Bus::Virtio => format!("virtio-blk-pci,drive=disk{number}"),
            Bus::Large => {
                format!("virtio-blk-pci,logical_block_size=4096,physical_block_size=4096,drive=disk{number}")
            }
            Bus::Unserved => {
                let controller = format!("lsi53c895a,id=scsi{number}");
                let disk = format!("scsi-hd,bus=scsi{number}.0,drive=disk{number}");
                return Ok(["-drive", &drive.join(","), "-device", &controller, "-device", &disk]
                    .map(Into::into)
                    .into());
            }
            Bus::Usb => format!("usb-storage,bus=usb.0,removable=on,drive=disk{number}"),
        };
        Ok(vec!["-drive".into(), drive.join(","), "-device".into(), device])
    }
}
