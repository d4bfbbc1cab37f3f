//! The password that stands before the shell and `continue`, where the image
//! has one. What it is wanted for leads past a check; the other answers do not.

use std::sync::OnceLock;
use std::{fs, io};

use super::console::Console;
use super::prompt::Command;
use crate::contract::initramfs;
use crate::log::warn;
use crate::password::PasswordHash;

const CLOSED: &str = "no way on: the password's hash in the initramfs cannot be read\n";

#[derive(Debug)]
pub(super) enum Lock {
    Open,
    Password(PasswordHash),
    /// A password was meant, and nobody can know it.
    Closed,
}

impl Lock {
    /// As the initramfs has it when this is asked for the first time.
    pub(super) fn of_this_image() -> &'static Self {
        static LOCK: OnceLock<Lock> = OnceLock::new();
        LOCK.get_or_init(|| Self::new(fs::read_to_string(initramfs::SHELL_PASSWORD)))
    }

    fn new(file: io::Result<String>) -> Self {
        match file {
            Ok(text) => PasswordHash::parse(text.trim_end()).map_or(Self::Closed, Self::Password),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Self::Open,
            Err(_) => Self::Closed,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self, Self::Open)
    }

    /// What the line asks for, and whether that needs no password any more.
    pub(super) fn admit(&self, console: &mut Console, line: &[u8]) -> (Command, bool) {
        let Some(wanted) = console.take_asked() else {
            return (Command::parse(&String::from_utf8_lossy(line)), self.is_open());
        };
        if matches!(self, Self::Password(hash) if hash.is_of(line)) {
            return (wanted, true);
        }
        warn!("wrong password on {}", console.name());
        (Command::Nothing, false)
    }

    pub(super) fn ask(&self, console: &mut Console, wanted: Command) {
        match self {
            Self::Closed => console.write(CLOSED),
            _ => console.ask_password(wanted),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_image_without_the_file_is_open() {
        let hash = "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5";
        assert!(Lock::new(Err(io::ErrorKind::NotFound.into())).is_open());
        assert!(matches!(Lock::new(Ok(format!("{hash}\n"))), Lock::Password(_)));
        for file in [
            Ok(String::new()),
            Ok("secret\n".into()),
            Ok(hash[..hash.len() - 1].into()),
            Err(io::ErrorKind::PermissionDenied.into()),
            Err(io::ErrorKind::InvalidData.into()),
            Err(io::ErrorKind::NotADirectory.into()),
        ] {
            let lock = Lock::new(file);
            assert!(matches!(lock, Lock::Closed), "{lock:?}");
        }
    }
}
