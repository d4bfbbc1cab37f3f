//! Builds live Linux images: the library behind the `liveroot` command.

pub mod profile;
