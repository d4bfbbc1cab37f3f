//! What the image's modprobe.d(5) says of kmods: blacklists and options. The rest of it
//! is done when the image is built, or not at all.

use std::fs;
use std::path::Path;

use crate::status::Status;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Modprobe {
    pub blacklist: Vec<String>,
    /// A kmod's name, and options of its.
    pub options: Vec<(String, String)>,
}

/// All its `.conf` files, by name; a folder that is not there has none.
pub(crate) fn load(dir: &Path, status: &mut Status) -> Modprobe {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "conf"));
    files.sort_unstable();
    let mut modprobe = Modprobe::default();
    for file in files {
        match fs::read_to_string(&file) {
            Ok(text) => {
                // kmod joins such lines so, without a blank.
                for command in modprobe.take(&text.replace("\\\n", "")) {
                    status.degrade(format!("{}: `{command}` has no effect here", file.display()));
                }
            }
            Err(e) => status.degrade(format!("{}: {e}", file.display())),
        }
    }
    modprobe
}

impl Modprobe {
    /// Gives the lines that mean nothing here.
    fn take<'a>(&mut self, text: &'a str) -> Vec<&'a str> {
        let mut others = Vec::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (command, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            let (name, options) = rest.trim_start().split_once(char::is_whitespace).unwrap_or((rest.trim_start(), ""));
            let name = name.replace('-', "_");
            match command {
                "blacklist" if !name.is_empty() => self.blacklist.push(name),
                "options" if !options.is_empty() => self.options.push((name, options.trim_start().into())),
                _ => others.push(line),
            }
        }
        others
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blacklists_and_options_are_read_and_the_rest_is_named() {
        let mut modprobe = Modprobe::default();
        let text = "# of this image\n\nblacklist pc-speaker\n  options\tusb-storage  delay_use=3 quirks=\"a b\"\n\
            install ahci /bin/true\nblacklist\noptions ahci\n";
        assert_eq!(modprobe.take(text), ["install ahci /bin/true", "blacklist", "options ahci"]);
        let options = ("usb_storage".into(), "delay_use=3 quirks=\"a b\"".into());
        assert_eq!(modprobe, Modprobe { blacklist: vec!["pc_speaker".into()], options: vec![options] });
    }

    #[test]
    fn files_are_read_by_name_and_others_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let goes_on = "blacklist a\noptions x y=1 \\\n  z=2\nalias x y";
        for (name, text) in [("b.conf", "blacklist b"), ("a.conf", goes_on), ("c.bak", "blacklist c")] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let mut status = Status::new();
        status.begin(crate::status::State::Devices);
        let modprobe = load(dir.path(), &mut status);
        assert_eq!(modprobe.blacklist, ["a", "b"]);
        assert_eq!(modprobe.options, [("x".to_owned(), "y=1   z=2".to_owned())]);
        assert_eq!(load(&dir.path().join("none"), &mut status), Modprobe::default());
    }
}
