//! The command-line parameters, each with its aliases: one table.
pub const DIR: &str = "live.dir";
