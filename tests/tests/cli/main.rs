//! The command as its users meet it.

mod hostile;
mod profiles;
mod reading;
mod reproducible;
