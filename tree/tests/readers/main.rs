//! The readers, seen from outside: what each makes of its format, that the
//! oracles' archives of one directory list alike, and that no damaged archive
//! ends in anything but an error.

mod cpio;
mod fixture;
mod host;
mod oracles;
mod properties;
mod tar;
