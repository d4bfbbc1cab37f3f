//! dm-verity: a device that gives a block only if it is the one that the root
//! hash is of. What is not is an EIO to its reader.

use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::libc;

use crate::devices::make_node;
use crate::manifest::Hex;
use crate::sys::{self, DM_DEFERRED_REMOVE, DM_READONLY, DmCommand, DmRequest};
use crate::verity::{BLOCK, Superblock};

const CONTROL: &str = "/dev/mapper/control";
/// Not the hash as a dependency: dm-verity asks the kernel for it by name,
/// and there is no modprobe here for the kernel to ask.
pub(crate) const KMODS: &[&str] = &["dm-mod", "dm-verity", "crypto-sha256"];
const SECTOR: u64 = 512;

/// Removed when dropped, or when the last that has it open by then, such as a
/// mount, lets go of it.
#[derive(Debug)]
pub(crate) struct Verified {
    pub path: String,
    control: File,
    name: String,
}

impl Verified {
    /// Both devices stay open for as long as this one is there.
    pub(crate) fn open(name: &str, image: &str, len: u64, hashes: &str, root_hash: &[u8; 32]) -> Result<Self, String> {
        let superblock = read_superblock(hashes)?;
        if superblock.data_blocks.checked_mul(BLOCK) != Some(len) {
            return Err(format!("its hash tree is over {} blocks, and it has {len} bytes", superblock.data_blocks));
        }
        let control = OpenOptions::new()
            .read(true)
            .write(true)
            .open(CONTROL)
            .map_err(|e| format!("{CONTROL}: {e}; the kernel has no device mapper, or the image no kmod for it"))?;
        let mut verified = Self { path: String::new(), control, name: name.into() };

        // What veritysetup calls it, so that `veritysetup status` knows it.
        let uuid = format!("CRYPT-VERITY-{}-{name}", Hex(&superblock.uuid));
        let mut request = verified.request();
        request.header.uuid[..uuid.len()].copy_from_slice(uuid.as_bytes());
        verified.call(DmCommand::Create, &mut request, "DM_DEV_CREATE")?;
        let minor = libc::minor(request.header.device);

        let table = superblock.table(image, hashes, root_hash);
        let mut request = verified.request();
        request.header.flags = DM_READONLY;
        request.header.target_count = 1;
        request.sectors = len / SECTOR;
        request.target[..6].copy_from_slice(b"verity");
        let room = request.params.get_mut(..table.len()).ok_or("its verity table is too long")?;
        room.copy_from_slice(table.as_bytes());
        verified.call(DmCommand::Load, &mut request, "DM_TABLE_LOAD")?;
        let mut request = verified.request();
        verified.call(DmCommand::Suspend, &mut request, "DM_DEV_SUSPEND")?;

        let device = format!("dm-{minor}");
        make_node(&device);
        verified.path = format!("/dev/{device}");
        Ok(verified)
    }

    /// Whether a block was read since that did not match.
    pub(crate) fn is_corrupted(&self) -> bool {
        let mut request = self.request();
        let asked = sys::device_mapper(&self.control, DmCommand::Status, &mut request);
        // verity.rst: the status is V, or C for corruption.
        asked.is_ok() && request.params[0] == b'C'
    }

    fn request(&self) -> DmRequest {
        let mut request = DmRequest::new();
        request.header.name[..self.name.len()].copy_from_slice(self.name.as_bytes());
        request
    }

    fn call(&self, command: DmCommand, request: &mut DmRequest, what: impl Display) -> Result<(), String> {
        sys::device_mapper(&self.control, command, request).map_err(|e| {
            let hint = if e == Errno::EINVAL {
                "; the kernel lacks dm-verity or sha256, or the image their kmods"
            } else {
                ""
            };
            format!("{what}: {}{hint}", e.desc())
        })
    }
}

impl Drop for Verified {
    fn drop(&mut self) {
        let mut request = self.request();
        request.header.flags = DM_DEFERRED_REMOVE;
        // One that was never made is not there, and one that stays is no more
        // than a name that a retry cannot have.
        let _ = sys::device_mapper(&self.control, DmCommand::Remove, &mut request);
    }
}

fn read_superblock(hashes: &str) -> Result<Superblock, String> {
    let mut bytes = [0; BLOCK as usize];
    let read = File::open(hashes).and_then(|file| file.read_exact_at(&mut bytes, 0));
    read.map_err(|e| format!("its hash tree cannot be read: {e}"))?;
    Superblock::parse(&bytes).map_err(|problem| format!("the file of its hash tree {problem}"))
}
