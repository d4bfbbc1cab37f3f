//! Builds live Linux images: the library behind the `liveroot` command.

pub mod deb;
pub mod elf;
pub mod kernel;
pub mod profile;
