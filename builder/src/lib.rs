//! Builds live Linux images: the library behind the `liveroot` command.

pub mod elf;
pub mod kernel;
pub mod profile;
