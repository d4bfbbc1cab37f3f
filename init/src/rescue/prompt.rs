//! What can be answered.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    Retry,
    Continue,
    Log,
    Devices,
    Shell,
    Reboot,
    Poweroff,
    Nothing,
    Unknown,
}

pub(super) const PROMPT: &str = "liveroot> ";
pub(super) const PASSWORD: &str = "Password: ";
pub(super) const HELP: &str = "\
Answers: retry (after you changed something), continue (in spite of it), log,
devices, sh (a shell), reboot, poweroff
";

impl Command {
    pub(super) fn parse(line: &str) -> Self {
        match line.trim() {
            "retry" => Self::Retry,
            "continue" => Self::Continue,
            "log" => Self::Log,
            "devices" => Self::Devices,
            "sh" => Self::Shell,
            "reboot" => Self::Reboot,
            "poweroff" => Self::Poweroff,
            "" => Self::Nothing,
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_names_every_answer() {
        for word in HELP.split([' ', ',', '\n', '(', ')']).filter(|word| Command::parse(word) != Command::Unknown) {
            assert!(HELP.contains(word));
        }
        for word in ["retry", "continue", "log", "devices", "sh", "reboot", "poweroff"] {
            assert_ne!(Command::parse(&format!(" {word}\r\n")), Command::Unknown);
            assert!(HELP.contains(word), "{word}");
        }
        assert_eq!(Command::parse("rm -rf /"), Command::Unknown);
    }
}
