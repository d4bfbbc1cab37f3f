//! What a kmod says about itself: its `.modinfo` section, `key=value` strings
//! each ended by NUL (kernel: include/linux/moduleparam.h).

/// The keys that decide what a kmod needs and what needs it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Modinfo {
    /// Module names as the kernel's build wrote them, hard dependencies only.
    pub depends: Vec<String>,
    /// Globs over modaliases, and other names it answers to (`fs-ext4`).
    pub aliases: Vec<String>,
    /// A line of modules.softdep each.
    pub softdeps: Vec<Softdep>,
    /// Names it may ask for while it runs: they should be at hand, not loaded.
    pub weak: Vec<String>,
    /// Paths or globs below lib/firmware.
    pub firmware: Vec<String>,
    /// Release and build options it was made for: `6.1.0-40-amd64 SMP …`.
    pub vermagic: Option<String>,
}

/// Names or aliases to try before a kmod and after it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Softdep {
    pub pre: Vec<String>,
    pub post: Vec<String>,
}

impl Modinfo {
    /// Never fails: what is not `key=value`, and keys of no meaning here
    /// (license, parm …), are passed over, as the kernel does.
    pub fn parse(section: &[u8]) -> Self {
        let mut info = Self::default();
        for entry in section.split(|&b| b == 0) {
            let entry = String::from_utf8_lossy(entry);
            let Some((key, value)) = entry.split_once('=') else { continue };
            info.add(key, value);
        }
        info
    }

    fn add(&mut self, key: &str, value: &str) {
        match key {
            "depends" => self.depends.extend(value.split(',').filter(|name| !name.is_empty()).map(String::from)),
            "alias" => self.aliases.push(value.to_string()),
            "softdep" => self.softdeps.push(Softdep::parse(value)),
            "weakdep" => self.weak.extend(value.split_ascii_whitespace().map(String::from)),
            "firmware" => self.firmware.push(value.to_string()),
            "vermagic" => self.vermagic = Some(value.to_string()),
            _ => {}
        }
    }
}

impl Softdep {
    /// `pre: a b post: c`. Words before the first key mean nothing to
    /// modprobe (modprobe.d(5)), and cifs has some.
    fn parse(value: &str) -> Self {
        let mut softdep = Self::default();
        let mut list = None;
        for word in value.split_ascii_whitespace() {
            match word {
                "pre:" => list = Some(&mut softdep.pre),
                "post:" => list = Some(&mut softdep.post),
                word => {
                    if let Some(list) = &mut list {
                        list.push(word.to_string());
                    }
                }
            }
        }
        softdep
    }
}

/// A kmod's name from its file's: `snd-pcm.ko.xz` is `snd_pcm`. `None` for
/// what is not named as a kmod.
pub fn kmod_name(file: &[u8]) -> Option<String> {
    let stem = [".ko", ".ko.gz", ".ko.xz", ".ko.zst"].iter().find_map(|end| file.strip_suffix(end.as_bytes()))?;
    let name = std::str::from_utf8(stem).ok()?;
    (!name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control())).then(|| canonical(name))
}

/// `-` and `_` are one letter in the names of kmods.
pub fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_it_needs() {
        let info = Modinfo::parse(
            b"license=GPL\0alias=fs-ext4\0depends=jbd2,mbcache\0softdep=pre: crypto-crc32c post: b\0\
              firmware=a/b.bin\0softdep=gcm\0weakdep=x y\0vermagic=6.1.0 SMP\0noise\0",
        );
        assert_eq!(info.depends, ["jbd2", "mbcache"]);
        assert_eq!(info.aliases, ["fs-ext4"]);
        let both = Softdep { pre: vec!["crypto-crc32c".into()], post: vec!["b".into()] };
        assert_eq!(info.softdeps, [both, Softdep::default()]);
        assert_eq!(info.weak, ["x", "y"]);
        assert_eq!(info.firmware, ["a/b.bin"]);
        assert_eq!(info.vermagic.as_deref(), Some("6.1.0 SMP"));
        assert_eq!(Modinfo::parse(b"depends=\0").depends, [""; 0]);
    }

    #[test]
    fn a_kmod_is_known_by_its_file_name() {
        for (file, name) in [
            ("snd-pcm.ko", Some("snd_pcm")),
            ("ahci.ko.zst", Some("ahci")),
            ("modules.order", None),
            (".ko", None),
            ("a b.ko", None),
            ("x.ko.bz2", None),
        ] {
            assert_eq!(kmod_name(file.as_bytes()).as_deref(), name, "{file}");
        }
    }
}
