//! `/init` of a live Linux system, and the contract its images are built to.

pub mod contract;
pub mod decompress;
pub mod facts;
pub mod glob;
pub mod kmods;
pub mod manifest;
pub mod superblock;
pub mod unpack;
