//! The command as its users meet it.

mod bad_input;
mod cache;
mod hostile;
mod profiles;
mod reading;
mod reproducible;
mod squashfs;
