//! The kernel's own device events, straight from its netlink socket.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::sockopt::{RcvBuf, RcvBufForce};
use nix::sys::socket::{
    AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recvfrom, setsockopt, socket,
};

/// The kernel's own multicast group; group 2 is udev's.
const KERNEL_GROUP: u32 = 1;
/// A machine's whole coldplug fits, so that no event is dropped while we work.
const BUFFER: usize = 4 << 20;
/// lib/kobject_uevent.c: an event's variables are at most 2 KiB, its header a path.
const MAX_EVENT: usize = 8192;

#[derive(Debug)]
pub(crate) struct Socket(OwnedFd);

pub(crate) enum Received {
    Event(Uevent),
    /// From somebody who is not the kernel, or not of the form.
    Foreign,
    Nothing,
    /// The buffer ran over: what is in /sys must be looked at again.
    Lost,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Uevent {
    pub action: String,
    /// Below /sys.
    pub devpath: String,
    pub subsystem: String,
    pub modalias: String,
    /// Below /dev.
    pub devname: String,
    pub media_change: bool,
    /// What a driver waits for: a path below the kernel's folders of firmware.
    pub firmware: String,
}

impl Uevent {
    /// `add@/devices/…` and then `KEY=value`, each with a NUL behind it.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut words = text.split_terminator('\0');
        let (action, devpath) = words.next()?.split_once('@')?;
        let mut event = Self { action: action.into(), devpath: devpath.into(), ..Self::default() };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            match key {
                "SUBSYSTEM" => event.subsystem = value.into(),
                "MODALIAS" => event.modalias = value.into(),
                "DEVNAME" => event.devname = value.into(),
                "FIRMWARE" => event.firmware = value.into(),
                "DISK_MEDIA_CHANGE" => event.media_change = value == "1",
                _ => {}
            }
        }
        Some(event)
    }
}

impl Socket {
    pub(crate) fn open() -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(AddressFamily::Netlink, SockType::Datagram, flags, SockProtocol::NetlinkKObjectUEvent)?;
        // Only root of the first user namespace may pass the system's limit.
        setsockopt(&fd, RcvBufForce, &BUFFER).or_else(|_| setsockopt(&fd, RcvBuf, &BUFFER))?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, KERNEL_GROUP))?;
        Ok(Self(fd))
    }

    pub(crate) fn receive(&self) -> Received {
        let mut buffer = [0; MAX_EVENT];
        match recvfrom::<NetlinkAddr>(self.0.as_raw_fd(), &mut buffer) {
            // Port 0 is the kernel's; a process cannot have it.
            Ok((len, Some(sender))) if sender.pid() == 0 => {
                Uevent::parse(&buffer[..len]).map_or(Received::Foreign, Received::Event)
            }
            Ok(_) | Err(Errno::EINTR) => Received::Foreign,
            Err(Errno::ENOBUFS) => Received::Lost,
            Err(_) => Received::Nothing,
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernels_event_reads_as_it_was_sent() {
        let bytes = b"add@/devices/pci0000:00/virtio0/block/vda\0ACTION=add\0DEVPATH=/x\0SUBSYSTEM=block\0\
            MAJOR=254\0DEVNAME=vda\0DISK_MEDIA_CHANGE=1\0SEQNUM=9\0";
        let event = Uevent::parse(bytes).unwrap();
        assert_eq!(event.devpath, "/devices/pci0000:00/virtio0/block/vda");
        assert_eq!((event.action.as_str(), event.subsystem.as_str()), ("add", "block"));
        assert_eq!((event.devname.as_str(), event.media_change), ("vda", true));
        let event = Uevent::parse(b"add@/d\0MODALIAS=pci:v00001AF4d=\0FIRMWARE=a/b.bin\0").unwrap();
        assert_eq!((event.modalias.as_str(), event.firmware.as_str()), ("pci:v00001AF4d=", "a/b.bin"));
    }

    #[test]
    fn other_bytes_are_no_event() {
        for bytes in [&b""[..], b"\0", b"libudev\0\xfe\xed", b"add", b"\xff@/x\0"] {
            assert_eq!(Uevent::parse(bytes), None, "{bytes:?}");
        }
    }
}
