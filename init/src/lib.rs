//! `/init` of a live Linux system, and the contract its images are built to.

pub mod boot;
mod check;
mod child;
mod cmdline;
mod coldplug;
mod configure;
pub mod contents;
pub mod contract;
pub mod decompress;
mod devices;
mod dm;
mod early;
mod eject;
pub mod facts;
mod fault;
pub mod glob;
mod handover;
mod hooks;
mod identity;
pub mod in_turn;
mod kmod;
pub mod kmods;
mod log;
mod loopdev;
pub mod manifest;
mod medium;
mod memory;
mod modprobe;
mod mounts;
mod overlay;
pub mod password;
mod persist;
mod plan;
mod preflight;
mod probe;
mod ram;
mod reading;
mod rescue;
pub mod save;
pub mod shutdown;
mod status;
pub mod superblock;
mod sys;
mod toram;
mod uevent;
pub mod unpack;
mod unpacked;
mod ventoy;
pub mod verity;
pub mod watch;
mod worker;
pub mod xz;

/// What is to be told of a command line: for fuzz/, which sees nothing else of it.
#[cfg(fuzzing)]
pub fn cmdline_notes(text: &str) -> Vec<String> {
    cmdline::Cmdline::parse(&[text]).1
}
