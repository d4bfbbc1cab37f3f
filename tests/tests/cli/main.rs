//! The command as its users meet it.

mod cache;
mod hostile;
mod profiles;
mod reading;
mod reproducible;
