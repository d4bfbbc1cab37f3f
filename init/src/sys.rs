//! The system calls that the compiler cannot check, and nothing else.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, signal, sigprocmask};
use nix::unistd::{ForkResult, Pid};

/// linux/loop.h, `struct loop_info64`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct LoopInfo {
    device: u64,
    inode: u64,
    rdevice: u64,
    pub offset: u64,
    pub size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    pub flags: u32,
    pub file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// linux/loop.h, `struct loop_config`, since Linux 5.8.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

/// linux/dm-ioctl.h, `struct dm_ioctl`.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct DmHeader {
    pub version: [u32; 3],
    pub data_size: u32,
    pub data_start: u32,
    pub target_count: u32,
    open_count: i32,
    pub flags: u32,
    event: u32,
    padding: u32,
    pub device: u64,
    pub name: [u8; 128],
    pub uuid: [u8; 129],
    data: [u8; 7],
}

/// The header, and what stands behind it in all of our calls: one target, as
/// `struct dm_target_spec`, and its parameters.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct DmRequest {
    pub header: DmHeader,
    pub start: u64,
    pub sectors: u64,
    status: i32,
    next: u32,
    pub target: [u8; 16],
    pub params: [u8; 1024],
}

/// scsi/sg.h, `struct sg_io_hdr`.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct SgRequest {
    interface: i32,
    direction: i32,
    command_len: u8,
    sense_len: u8,
    vectors: u16,
    data_len: u32,
    data: *mut libc::c_void,
    command: *const u8,
    sense: *mut u8,
    timeout_ms: u32,
    flags: u32,
    pack_id: i32,
    user: *mut libc::c_void,
    status: u8,
    masked_status: u8,
    message_status: u8,
    sense_written: u8,
    host_status: u16,
    driver_status: u16,
    left: i32,
    duration: u32,
    info: u32,
}

/// `DM_*_CMD`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum DmCommand {
    Create = 3,
    Remove = 4,
    /// With no flag: resume.
    Suspend = 6,
    Load = 9,
    Status = 12,
}

pub(crate) const DM_READONLY: u32 = 1;
pub(crate) const DM_DEFERRED_REMOVE: u32 = 1 << 17;

pub(crate) const LO_FLAGS_READ_ONLY: u32 = 1;
pub(crate) const LO_FLAGS_AUTOCLEAR: u32 = 4;

mod raw {
    use nix::libc;

    nix::ioctl_none_bad!(loop_ctl_get_free, 0x4C82);
    nix::ioctl_write_int_bad!(loop_set_fd, 0x4C00);
    nix::ioctl_none_bad!(loop_clr_fd, 0x4C01);
    nix::ioctl_write_ptr_bad!(loop_set_status64, 0x4C04, super::LoopInfo);
    nix::ioctl_write_ptr_bad!(loop_configure, 0x4C0A, super::LoopConfig);
    nix::ioctl_write_int_bad!(cdrom_drive_status, 0x5326);
    nix::ioctl_write_int_bad!(cdrom_lock_door, 0x5329);
    nix::ioctl_none_bad!(cdrom_eject, 0x5309);
    nix::ioctl_readwrite_bad!(sg_io, 0x2285, super::SgRequest);
    nix::ioctl_write_int_bad!(tiocsctty, libc::TIOCSCTTY);
    nix::ioctl_read_bad!(tiocoutq, libc::TIOCOUTQ, libc::c_int);
    nix::ioctl_readwrite_bad!(fibmap, 1, libc::c_int);
    nix::ioctl_read_bad!(figetbsz, 2, libc::c_int);
}

impl LoopInfo {
    pub(crate) fn new(flags: u32) -> Self {
        // SAFETY: integers and arrays of integers, for which zero is a value.
        let zero: Self = unsafe { std::mem::zeroed() };
        Self { flags, ..zero }
    }
}

/// The number of a loop device that nothing is bound to.
pub(crate) fn loop_get_free(control: &File) -> nix::Result<i32> {
    // SAFETY: takes no argument.
    unsafe { raw::loop_ctl_get_free(control.as_raw_fd()) }
}

/// EINVAL or ENOTTY before Linux 5.8.
pub(crate) fn loop_configure(device: &File, backing: &File, info: LoopInfo) -> nix::Result<()> {
    let config = LoopConfig { fd: backing.as_raw_fd().cast_unsigned(), block_size: 0, info, reserved: [0; 8] };
    // SAFETY: the struct is the kernel's, and outlives the call.
    unsafe { raw::loop_configure(device.as_raw_fd(), &raw const config) }.map(drop)
}

/// The two steps that LOOP_CONFIGURE made one; EBUSY when another was faster.
pub(crate) fn loop_set(device: &File, backing: &File, info: LoopInfo) -> nix::Result<()> {
    // SAFETY: both descriptors are open.
    unsafe { raw::loop_set_fd(device.as_raw_fd(), backing.as_raw_fd()) }?;
    // SAFETY: the struct is the kernel's, and outlives the call.
    let set = unsafe { raw::loop_set_status64(device.as_raw_fd(), &raw const info) };
    if set.is_err() {
        // SAFETY: takes no argument. Its own failure leaves one loop device
        // bound, which the error that is returned already tells of.
        let _ = unsafe { raw::loop_clr_fd(device.as_raw_fd()) };
    }
    set.map(drop)
}

impl DmRequest {
    pub(crate) fn new() -> Self {
        // SAFETY: integers and arrays of integers, for which zero is a value.
        let mut zero: Self = unsafe { std::mem::zeroed() };
        zero.header.version = [4, 0, 0];
        zero.header.data_size = size_of::<Self>() as u32;
        zero.header.data_start = size_of::<DmHeader>() as u32;
        zero
    }
}

/// The kernel answers into the request.
pub(crate) fn device_mapper(control: &File, command: DmCommand, request: &mut DmRequest) -> nix::Result<()> {
    let number = nix::request_code_readwrite!(0xfd, command as u32, size_of::<DmHeader>());
    // SAFETY: the struct is the kernel's and as long as its header says, which
    // is as far as the kernel reads and writes; it outlives the call.
    let done = unsafe { libc::ioctl(control.as_raw_fd(), number as _, &raw mut *request) };
    Errno::result(done).map(drop)
}

/// Bytes that a terminal was given and has not sent: ioctl_tty(2), TIOCOUTQ.
pub(crate) fn unsent(terminal: &File) -> Option<i32> {
    let mut bytes = 0;
    // SAFETY: the kernel writes one int, which outlives the call.
    unsafe { raw::tiocoutq(terminal.as_raw_fd(), &raw mut bytes) }.ok()?;
    Some(bytes)
}

/// The file system's block, in bytes: linux/fs.h, FIGETBSZ.
pub(crate) fn block_size(file: &File) -> nix::Result<u64> {
    let mut size = 0;
    // SAFETY: the kernel writes one int, which outlives the call.
    unsafe { raw::figetbsz(file.as_raw_fd(), &raw mut size) }?;
    Ok(u64::from(size.cast_unsigned()))
}

/// Where a file's block stands on its device, in blocks: linux/fs.h, FIBMAP.
pub(crate) fn block_of(file: &File, block: u32) -> nix::Result<u64> {
    let mut number = block.cast_signed();
    // SAFETY: the kernel reads and writes one int, which outlives the call.
    unsafe { raw::fibmap(file.as_raw_fd(), &raw mut number) }?;
    match number {
        // A hole, or a file system whose files are nowhere.
        0 => Err(Errno::ENODATA),
        number => Ok(u64::from(number.cast_unsigned())),
    }
}

/// linux/cdrom.h, CDS_*; an error on what is not an optical drive.
pub(crate) fn cdrom_drive_status(device: &File) -> nix::Result<i32> {
    // SAFETY: the argument is a number: CDSL_CURRENT.
    unsafe { raw::cdrom_drive_status(device.as_raw_fd(), i32::MAX) }
}

/// linux/cdrom.h: the door was locked by the mount.
pub(crate) fn cdrom_eject(device: &File) -> nix::Result<()> {
    // SAFETY: the argument is a number.
    unsafe { raw::cdrom_lock_door(device.as_raw_fd(), 0) }?;
    // SAFETY: takes no argument.
    unsafe { raw::cdrom_eject(device.as_raw_fd()) }.map(drop)
}

/// START STOP UNIT with LoEj (MMC-6, 6.41): whatever the kernel thinks of the door.
pub(crate) fn scsi_eject(device: &File) -> nix::Result<()> {
    let command = [0x1b_u8, 0, 0, 0, 2, 0];
    // SAFETY: integers and pointers, for which zero is a value.
    let zero: SgRequest = unsafe { std::mem::zeroed() };
    let mut request = SgRequest {
        interface: i32::from(b'S'),
        // SG_DXFER_NONE
        direction: -1,
        command_len: command.len() as u8,
        command: command.as_ptr(),
        timeout_ms: 10_000,
        ..zero
    };
    // SAFETY: the struct is the kernel's; it and the command outlive the call,
    // and no other pointer in it is followed, their lengths being 0.
    unsafe { raw::sg_io(device.as_raw_fd(), &raw mut request) }?;
    if request.status == 0 && request.host_status == 0 { Ok(()) } else { Err(Errno::EIO) }
}

pub(crate) fn set_controlling_terminal(tty: &File) -> nix::Result<()> {
    // SAFETY: the argument is a number.
    unsafe { raw::tiocsctty(tty.as_raw_fd(), 1) }.map(drop)
}

/// Runs `child` in a process of its own, which ends with what it returns.
pub(crate) fn fork(child: impl FnOnce() -> i32) -> nix::Result<Pid> {
    // SAFETY: /init has one thread, so that the child has everything a
    // process can have, locks included, in a state that is whole.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            let code = child();
            // SAFETY: ends this process without what is PID 1's to do at exit.
            unsafe { libc::_exit(code) }
        }
    }
}

/// A descriptor that polls readable when the process has ended; Linux 5.3.
pub(crate) fn pidfd_open(pid: Pid) -> io::Result<OwnedFd> {
    // SAFETY: two numbers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
    let fd = i32::try_from(fd).unwrap_or(-1);
    // SAFETY: the kernel made this descriptor for us just now.
    if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(unsafe { OwnedFd::from_raw_fd(fd) }) }
}

/// What nix has not: fsetxattr(2).
pub(crate) fn set_xattr(file: BorrowedFd<'_>, name: &CStr, value: &[u8]) -> nix::Result<()> {
    // SAFETY: the name ends in NUL, and the length is the value's own.
    let done = unsafe { libc::fsetxattr(file.as_raw_fd(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    Errno::result(done).map(drop)
}

/// What nix has not: flistxattr(2) and fgetxattr(2). Names and values.
pub(crate) fn xattrs(file: BorrowedFd<'_>) -> nix::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    // linux/limits.h, XATTR_LIST_MAX and XATTR_SIZE_MAX.
    let mut names = vec![0_u8; 64 << 10];
    // SAFETY: the length is the buffer's own.
    let len = unsafe { libc::flistxattr(file.as_raw_fd(), names.as_mut_ptr().cast(), names.len()) };
    names.truncate(Errno::result(len)? as usize);
    let mut xattrs = Vec::new();
    for name in names.split_inclusive(|&byte| byte == 0) {
        let name = CStr::from_bytes_with_nul(name).map_err(|_| Errno::EINVAL)?;
        let mut value = vec![0_u8; 64 << 10];
        // SAFETY: the name ends in NUL, and the length is the buffer's own.
        let len = unsafe { libc::fgetxattr(file.as_raw_fd(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
        value.truncate(Errno::result(len)? as usize);
        xattrs.push((name.to_bytes().to_vec(), value));
    }
    Ok(xattrs)
}

/// The kernel reaps children whose parent ignores SIGCHLD, orphans included:
/// PID 1 never has to.
pub(crate) fn ignore_children() {
    // SAFETY: no handler runs.
    let _ = unsafe { signal(Signal::SIGCHLD, SigHandler::SigIgn) };
}

/// From now on PID 1 has to, and can ask how they ended.
pub(crate) fn heed_children() {
    // SAFETY: no handler runs.
    let _ = unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) };
}

/// As the kernel starts its init: Rust's runtime ignores SIGPIPE, which an
/// exec would hand on.
pub(crate) fn default_signals() {
    for one in Signal::iterator().filter(|one| !matches!(one, Signal::SIGKILL | Signal::SIGSTOP)) {
        // SAFETY: no handler runs. None of the rest can be refused.
        let _ = unsafe { signal(one, SigHandler::SigDfl) };
    }
    // Cannot fail with arguments of the right kind.
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None);
}

/// mlockall(2): what is there, and what will be.
pub(crate) fn lock_memory() -> nix::Result<()> {
    // SAFETY: takes a number.
    Errno::result(unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE) }).map(drop)
}

pub(crate) fn end_process(code: i32) -> ! {
    // SAFETY: ends this process, a child of PID 1, and runs nothing of its parent's.
    unsafe { libc::_exit(code) }
}

/// Whether `error` says that the kernel does not know an ioctl.
pub(crate) fn is_unknown_ioctl(error: Errno) -> bool {
    matches!(error, Errno::EINVAL | Errno::ENOTTY | Errno::ENOSYS)
}
