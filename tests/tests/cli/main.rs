//! The command as its users meet it.

mod profiles;
mod reproducible;
