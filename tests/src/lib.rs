//! What the tests stand on: the builder run as a user runs it, virtual machines
//! with deadlines, and the field's own tools as oracles.

pub mod builder;
pub mod exfat;
pub mod medium;
pub mod newc;
pub mod oracle;
pub mod qmp;
pub mod tiny;
pub mod vm;
pub mod vmlinux;
