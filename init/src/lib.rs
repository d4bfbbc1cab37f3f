//! `/init` of a live Linux system, and the contract its images are built to.

pub mod contract;
pub mod facts;
pub mod kmods;
pub mod manifest;
