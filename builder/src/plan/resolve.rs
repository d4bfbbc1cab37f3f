//! From what is written to what is meant.

use std::path::{Path, PathBuf};

use init::contract::{Mode, medium};
use init::password::PasswordHash;
use iso::VolumeId;

use super::{
    DEFAULT_EPOCH, InitramfsPlan, KernelSource, OverlaySource, PackagePlan, PackageSource, Parts, Payload, Plan,
    ProgramSource, Request, Userland,
};
use crate::arch::Arch;
use crate::builtin;
use crate::compress::Codec;
use crate::kernel::{FormError, KmodForm};
use crate::profile::{Located, PackageSection, Problem, Problems, Profile, nearest};

impl Plan {
    /// Resolves the profile; looks at which files are there, reads none.
    pub fn resolve(profile: &Profile, request: &Request) -> Result<Self, Problems> {
        let mut problems = Vec::new();
        let arch = profile.arch.as_ref().map_or(Arch::X86_64, |arch| arch.value);
        let plan = Resolver { problems: &mut problems, arch }.plan(profile, request);
        match plan {
            Some(plan) if problems.is_empty() => Ok(plan),
            _ => Err(Problems(problems)),
        }
    }
}

/// Collects problems, so that one run tells them all.
pub(super) struct Resolver<'p> {
    pub(super) problems: &'p mut Vec<Problem>,
    pub(super) arch: Arch,
}

impl Resolver<'_> {
    fn plan(&mut self, profile: &Profile, request: &Request) -> Option<Plan> {
        self.check_init(profile);
        let name = self.name(&profile.name);
        let label = VolumeId::new(&profile.label.value)
            .map_err(|e| {
                let what = format!("`label` cannot be a volume ID: {e}");
                self.problems
                    .push(Problem::new(&profile.label.place, what).remedy("A-Z 0-9 _, at most 32, best at most 11"));
            })
            .ok();
        let kernel = self.kernel(&profile.kernel.from, profile.mode.value);
        let modules = match profile.kernel.modules.as_slice() {
            [] => vec![Located { value: "@live".into(), place: profile.kernel.from.place.clone() }],
            given => given.to_vec(),
        };
        let firmware = self.firmware("firmware", &profile.kernel.firmware, profile.mode.value);
        let compress = self.codec(profile.initramfs.compress.as_ref(), "zstd:19");
        let kmods = self.kmods(profile.initramfs.kmods.as_ref());
        let strip = profile.initramfs.strip.as_ref().is_some_and(|wanted| wanted.value);
        let max_size = self.size(profile.initramfs.max_size.as_ref());
        let shell_password = self.shell_password(profile.initramfs.shell_password.as_ref());
        let microcode = self.microcode(&profile.initramfs.microcode, profile.mode.value);
        let section = &profile.initramfs;
        let parts = self.parts(section.userland.as_ref(), &section.programs, &section.overlays, profile.mode.value);
        let payload = match profile.mode.value {
            Mode::Overlay => self.root(profile).map(Payload::Root),
            Mode::Ram => self.packages(&profile.packages).map(Payload::Packages),
        };
        if let (Some(written), true, Mode::Ram) = (&profile.image.verity, is_verified(profile), profile.mode.value) {
            let problem = Problem::new(&written.place, "`image.verity`, and `mode` is \"ram\"");
            let remedy = "leave it out: packages are read once, and checked against their SHA-256 then";
            self.problems.push(problem.remedy(remedy));
        }
        let boot = self.boot(profile, request);
        let mut plan = Plan {
            name: name?,
            label: label?,
            mode: profile.mode.value,
            arch: self.arch,
            epoch: request.epoch.unwrap_or(DEFAULT_EPOCH),
            clamp: request.epoch.is_some(),
            kernel: kernel?,
            modules,
            firmware,
            initramfs: InitramfsPlan {
                compress: compress?,
                kmods: kmods?,
                strip,
                max_size,
                shell_password,
                microcode,
                parts,
            },
            payload: payload?,
            boot,
            media_sum: profile.image.media_sum.as_ref().is_none_or(|wanted| wanted.value),
            advice: Vec::new(),
        };
        plan.advice = advice(&plan);
        Some(plan)
    }

    fn check_init(&mut self, profile: &Profile) {
        if builtin::init(self.arch).is_none() {
            let place = profile.arch.as_ref().map_or(&profile.name.place, |arch| &arch.place);
            let what = format!("this liveroot was built without an /init for {}", self.arch);
            let remedy = format!(
                "`LIVEROOT_INIT_FOR={} cargo build` builds one in; CONTRIBUTING.md says what it needs",
                self.arch
            );
            self.problems.push(Problem::new(place, what).remedy(remedy));
        }
    }

    /// The name becomes a file name and a line of the manifest.
    fn name(&mut self, name: &Located<String>) -> Option<String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let good = !name.value.is_empty() && name.value.chars().all(plain) && !name.value.starts_with('.');
        if !good {
            let problem = Problem::new(&name.place, format!("`name` cannot be {:?}", name.value));
            self.problems.push(problem.remedy("letters, digits, `.`, `_` and `-`, not beginning with a dot"));
        }
        good.then(|| name.value.clone())
    }

    fn codec(&mut self, written: Option<&Located<String>>, default: &str) -> Option<Codec> {
        let parsed = written.map_or(default, |written| &written.value).parse();
        parsed.map_err(|e: crate::compress::CodecError| self.refuse(written, &e.to_string())).ok()
    }

    fn kmods(&mut self, written: Option<&Located<String>>) -> Option<KmodForm> {
        let parsed = written.map_or("auto", |written| &written.value).parse();
        parsed.map_err(|e: FormError| self.refuse(written, &e.to_string())).ok()
    }

    fn size(&mut self, written: Option<&Located<String>>) -> Option<u64> {
        let size = written.and_then(|written| parse_size(&written.value));
        if size.is_none() {
            self.refuse(written, "not a size: bytes, or a number with KiB, MiB or GiB");
        }
        size
    }

    /// What is refused may be the password: it is not repeated.
    fn shell_password(&mut self, written: Option<&Located<String>>) -> Option<Located<PasswordHash>> {
        let written = written?;
        match PasswordHash::parse(&written.value) {
            Ok(value) => Some(Located { value, place: written.place.clone() }),
            Err(e) => {
                let remedy = "`openssl passwd -5` or `mkpasswd -m sha256crypt` makes `$5$SALT$HASH` of a password";
                let problem = Problem::new(&written.place, format!("`initramfs.shell_password`: {e}"));
                self.problems.push(problem.remedy(remedy));
                None
            }
        }
    }

    pub(super) fn refuse(&mut self, written: Option<&Located<String>>, what: &str) {
        if let Some(written) = written {
            self.problems.push(Problem::new(&written.place, what));
        }
    }

    fn kernel(&mut self, from: &Located<String>, mode: Mode) -> Option<Located<KernelSource>> {
        let (kind, rest) = split_source(&from.value);
        let source = match kind {
            "host" if rest.is_empty() => KernelSource::Host,
            "root" if rest.is_empty() && mode == Mode::Overlay => KernelSource::Root,
            "dir" => KernelSource::Dir(self.existing(from, rest, Path::is_dir, "a folder")?),
            "deb" if is_file_name(rest) => KernelSource::DebFile(self.existing(from, rest, Path::is_file, "a file")?),
            "deb" if is_package_name(rest) => KernelSource::Deb(rest.into()),
            _ => {
                let remedy = "`dir:PATH`, `host`, `deb:NAME`, `deb:FILE.deb`, and in overlay mode `root`";
                self.problems
                    .push(Problem::new(&from.place, format!("no kernel source: `{}`", from.value)).remedy(remedy));
                return None;
            }
        };
        Some(Located { value: source, place: from.place.clone() })
    }

    fn packages(&mut self, sections: &[PackageSection]) -> Option<Vec<PackagePlan>> {
        let mut plans: Vec<PackagePlan> = Vec::new();
        for section in sections {
            let [mut ending, ..] = medium::PACKAGE_ENDINGS;
            let source = match &section.from {
                Some(from) => {
                    let path = self.existing(from, &from.value, Path::is_file, "a file")?;
                    let known = medium::PACKAGE_ENDINGS.into_iter().find(|ending| from.value.ends_with(ending));
                    let Some(known) = known else {
                        let problem = Problem::new(&from.place, format!("`{}` is no package by its name", from.value));
                        let endings = medium::PACKAGE_ENDINGS.join(", ");
                        self.problems.push(problem.remedy(format!("name a tar archive or a squashfs: {endings}")));
                        continue;
                    };
                    ending = known;
                    PackageSource::Archive(path)
                }
                None => PackageSource::Parts(self.parts(
                    section.userland.as_ref(),
                    &section.programs,
                    &section.overlays,
                    Mode::Ram,
                )),
            };
            let name = match (&section.name, &source) {
                (Some(name), _) => self.name(name)?,
                (None, PackageSource::Archive(path)) => {
                    let file = path.file_name().unwrap_or_default().to_string_lossy();
                    let value = file.strip_suffix(ending).unwrap_or(&file).to_owned();
                    self.name(&Located { value, place: section.place.clone() })?
                }
                (None, PackageSource::Parts(_)) => return None, // the profile said so already
            };
            if let Some(first) = plans.iter().find(|plan| plan.name == name) {
                let what = format!("two packages are called `{name}`; the other one is at {}", first.place);
                self.problems.push(Problem::new(&section.place, what).remedy("give one of them another `name`"));
            }
            let PackageSection { required, privileged, extra, .. } = *section;
            plans.push(PackagePlan { place: section.place.clone(), name, ending, source, required, privileged, extra });
        }
        Some(plans)
    }

    fn parts(
        &mut self,
        userland: Option<&Located<String>>,
        programs: &[Located<String>],
        overlays: &[Located<String>],
        mode: Mode,
    ) -> Parts {
        let programs = programs.iter().filter_map(|program| self.program(program, mode)).collect();
        let userland = userland.and_then(|userland| self.userland(userland));
        Parts { userland, programs, overlays: self.overlays(overlays) }
    }

    fn userland(&mut self, written: &Located<String>) -> Option<Located<Userland>> {
        let value = match split_source(&written.value) {
            ("toybox", "") if self.arch != Arch::X86_64 => {
                let what =
                    format!("the toybox that liveroot carries is for x86_64, and this image is for {}", self.arch);
                self.problems.push(Problem::new(&written.place, what).remedy("`toybox:PATH` for one of your own"));
                return None;
            }
            ("toybox", "") if builtin::toybox().is_some() => Userland::BuiltinToybox,
            ("toybox", "") => {
                let problem = Problem::new(&written.place, "this liveroot was built without a toybox of its own");
                let remedy = "`LIVEROOT_TOYBOX=$(cargo xtask toybox) cargo build` builds one in; or say `toybox:PATH`";
                self.problems.push(problem.remedy(remedy));
                return None;
            }
            ("toybox", path) => Userland::Toybox(self.existing(written, path, Path::is_file, "a file")?),
            _ => {
                let problem = Problem::new(&written.place, format!("no userland is called `{}`", written.value));
                self.problems.push(problem.remedy("`toybox`, or `toybox:PATH` for one of your own"));
                return None;
            }
        };
        Some(Located { value, place: written.place.clone() })
    }

    fn program(&mut self, written: &Located<String>, mode: Mode) -> Option<Located<ProgramSource>> {
        let value = match (written.value.strip_prefix("host:"), mode) {
            (Some(path), _) if path.starts_with('/') => ProgramSource::Host(path.into()),
            (None, Mode::Overlay) if written.value.starts_with('/') => ProgramSource::Root(written.value.clone()),
            _ => {
                let remedy = match mode {
                    Mode::Overlay => "`/usr/sbin/NAME` takes it from the root, `host:/usr/sbin/NAME` from this system",
                    Mode::Ram => "there is no root in ram mode: `host:/usr/sbin/NAME` takes it from this system",
                };
                let problem = Problem::new(&written.place, format!("no program source: `{}`", written.value));
                self.problems.push(problem.remedy(remedy));
                return None;
            }
        };
        Some(Located { value, place: written.place.clone() })
    }

    pub(super) fn overlays(&mut self, written: &[Located<String>]) -> Vec<Located<OverlaySource>> {
        written.iter().filter_map(|overlay| self.overlay(overlay)).collect()
    }

    /// A path if there is a slash in it; else a name, looked for beside the
    /// profile, beside its folder (as in the source tree), and built in.
    fn overlay(&mut self, written: &Located<String>) -> Option<Located<OverlaySource>> {
        let located = |value| Some(Located { value, place: written.place.clone() });
        if written.value.contains('/') {
            let dir = self.existing(written, &written.value, Path::is_dir, "a folder")?;
            return located(OverlaySource::Dir(dir));
        }
        let here = written.place.dir();
        let dirs = [here.join("overlays").join(&written.value), here.join("../overlays").join(&written.value)];
        if let Some(dir) = dirs.into_iter().find(|dir| dir.is_dir()) {
            return located(OverlaySource::Dir(dir));
        }
        if !builtin::overlay(&written.value).is_empty() {
            return located(OverlaySource::Builtin(written.value.clone()));
        }
        let problem = Problem::new(&written.place, format!("there is no overlay `{}`", written.value));
        let known = builtin::overlay_names();
        self.problems.push(match nearest(&written.value, known.iter().copied()) {
            Some(name) => problem.remedy(format!("did you mean `{name}`?")),
            None => {
                problem.remedy(format!("built in are: {}; a folder is named by a path with a slash", known.join(", ")))
            }
        });
        None
    }

    /// `path`, relative to the profile that wrote it, if it is there.
    pub(super) fn existing(
        &mut self,
        written: &Located<String>,
        path: &str,
        is: fn(&Path) -> bool,
        what: &str,
    ) -> Option<PathBuf> {
        let full = written.place.dir().join(path);
        if !path.is_empty() && is(&full) {
            return Some(full);
        }
        let problem = Problem::new(&written.place, format!("`{path}` is not {what}"));
        self.problems.push(problem.remedy(format!("looked for {}: paths are relative to the profile", full.display())));
        None
    }
}

pub(super) fn is_verified(profile: &Profile) -> bool {
    profile.image.verity.as_ref().is_some_and(|verity| verity.value)
}

/// `kind:rest`, or `kind` alone.
pub(super) fn split_source(written: &str) -> (&str, &str) {
    written.split_once(':').unwrap_or((written, ""))
}

/// `deb:` takes a package's name or a file's.
pub(super) fn is_file_name(written: &str) -> bool {
    written.contains('/') || Path::new(written).extension().is_some_and(|ending| ending == "deb")
}

/// Debian Policy 5.6.1, and suites are named alike. It ends up among the
/// arguments of apt-get and mmdebstrap, whose options can run programs.
pub(super) fn is_package_name(written: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c);
    written.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()) && written.chars().all(plain)
}

fn advice(plan: &Plan) -> Vec<String> {
    plan.label.advice().into_iter().chain(plan.boot.advice()).collect()
}

/// `6MiB`, `512 KiB` or `1000000`; never nothing.
pub fn parse_size(text: &str) -> Option<u64> {
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30)];
    let (number, shift) =
        units.iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift))).unwrap_or((text, 0));
    let number: u64 = number.trim_end().parse().ok()?;
    number.checked_mul(1 << shift).filter(|size| *size > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with what the profiles below name.
    fn inputs() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["kernel", "rootfs", "overlays/extra"] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        for file in ["one.tar.xz", "linux.deb", "toybox"] {
            std::fs::write(dir.path().join(file), "").unwrap();
        }
        dir
    }

    /// The plan's text, without the folder's name.
    fn resolve(dir: &Path, text: &str, request: &Request) -> Result<String, String> {
        let no_base = |_: &Path| panic!("no base here");
        let profile = Profile::parse(&dir.join("p.toml"), text, no_base).map_err(|e| e.to_string())?;
        let plan = Plan::resolve(&profile, request).map_err(|e| e.to_string());
        let here = format!("{}/", dir.display());
        plan.map(|plan| plan.to_string().replace(&here, "")).map_err(|text| text.replace(&here, ""))
    }

    const OVERLAY: &str = r#"
name = "aurora"
label = "AURORA"
mode = "overlay"
[kernel]
from = "deb:linux.deb"
modules = ["@live", "!floppy"]
cmdline = "quiet  splash"
[initramfs]
userland = "toybox:toybox"
programs = ["/usr/sbin/fsck", "host:/bin/true"]
[root]
from = "dir:rootfs"
exclude = ["boot/*"]
overlays = ["extra"]
[image]
verity = true
[boot]
[[boot.entry]]
title = "Start"
[[boot.entry]]
title = "Serial"
cmdline = "console=ttyS0"
"#;

    #[test]
    fn an_overlay_plan_has_every_value_and_where_it_was_written() {
        let dir = inputs();
        let request = Request { append: "extra=1".into(), epoch: Some(1000) };
        let wanted = r#"name       aurora
label      AURORA
mode       overlay
arch       x86_64
epoch      1000, and nothing later

kernel
  from     Debian package linux.deb  # p.toml:6
  modules  @live  # p.toml:7
  modules  !floppy  # p.toml:7

initramfs
  compress zstd:19
  kmods    auto
  userland toybox, toybox  # p.toml:10
  program  /usr/sbin/fsck of the root  # p.toml:11
  program  /bin/true of this system  # p.toml:11

root
  from     folder rootfs  # p.toml:13
  exclude  /boot and package caches
  exclude  boot/*  # p.toml:14
  compress zstd:15
  block    128K
  verity   yes
  overlay  overlays/extra  # p.toml:15

boot
  bios     isolinux
  uefi     grub
  layout   gpt
  timeout  5 s
  entry    "Start" "quiet splash extra=1"
  entry    "Serial" "quiet splash console=ttyS0 extra=1"

image
  media_sum yes
"#;
        assert_eq!(resolve(dir.path(), OVERLAY, &request).unwrap(), wanted);
    }

    const RAM: &str = r#"
name = "tiny"
label = "TINY_RAM_SYSTEM"
mode = "ram"
[kernel]
from = "dir:kernel"
[[package]]
from = "one.tar.xz"
required = false
[[package]]
name = "two"
overlays = ["extra"]
"#;

    #[test]
    fn a_ram_plan_has_its_packages_in_order_and_advice_at_the_end() {
        let dir = inputs();
        let text = resolve(dir.path(), RAM, &Request::default()).unwrap();
        let (_, from_packages) = text.split_once("\npackage ").unwrap();
        let wanted = r#"one (optional)
  from     one.tar.xz

package two (required)
  overlay  overlays/extra  # p.toml:12

boot
  bios     isolinux
  uefi     grub
  layout   gpt
  timeout  0 s
  entry    "Start tiny" ""

image
  media_sum yes

advice     a stick formatted as FAT will show the label as "TINY_RAM_SY"
"#;
        assert_eq!(from_packages, wanted);
        assert!(text.contains(&format!("epoch      {DEFAULT_EPOCH}\n")), "{text}");
    }

    #[test]
    fn an_archive_keeps_its_ending_and_lends_its_name() {
        let dir = inputs();
        let text = |file: &str| RAM.replace("one.tar.xz", file);
        for ending in medium::PACKAGE_ENDINGS {
            let file = format!("my.tools{ending}");
            std::fs::write(dir.path().join(&file), "").unwrap();
            let profile = Profile::parse(&dir.path().join("p.toml"), &text(&file), |_| unreachable!()).unwrap();
            let plan = Plan::resolve(&profile, &Request::default()).unwrap();
            let Payload::Packages(packages) = &plan.payload else { panic!("ram mode") };
            let taken = packages.iter().find(|package| package.name == "my.tools").expect("it is named after its file");
            assert_eq!(taken.ending, ending);
        }
    }

    #[test]
    fn what_cannot_be_resolved_is_told_with_its_line_and_a_remedy() {
        let dir = inputs();
        let table: &[(String, &[&str])] = &[
            (OVERLAY.replace("deb:linux.deb", "dep:linux"), &["p.toml:6:8: no kernel source: `dep:linux`", "`host`"]),
            (
                OVERLAY.replace("dir:rootfs", "dir:rootsf"),
                &["p.toml:13:8: `rootsf` is not a folder", "relative to the profile"],
            ),
            (OVERLAY.replace("\"extra\"", "\"extar\""), &["p.toml:15:13: there is no overlay `extar`"]),
            (OVERLAY.replace("toybox:toybox", "busybox"), &["p.toml:10:12: no userland is called `busybox`"]),
            (OVERLAY.replace("/usr/sbin/fsck", "fsck"), &["p.toml:11:13: no program source: `fsck`", "`host:"]),
            (OVERLAY.replace("AURORA", &"A".repeat(33)), &["p.toml:3:9: `label` cannot be a volume ID"]),
            (OVERLAY.replace("AURORA", "A\\nB"), &["p.toml:3:9: `label` cannot be a volume ID"]),
            (OVERLAY.replace("aurora", "../aurora"), &["p.toml:2:8: `name` cannot be \"../aurora\""]),
            (
                OVERLAY.replace("[initramfs]", "[initramfs]\nmicrocode = [\"intel\"]"),
                &["no source of microcode: `intel`", "`deb:FILE.deb`"],
            ),
            (OVERLAY.replace("[kernel]", "[kernel]\nfirmware = [\"intel\"]"), &["no source of firmware: `intel`"]),
            (OVERLAY.replace("[initramfs]", "[initramfs]\nmax_size = \"6 pounds\""), &["not a size", "MiB"]),
            (
                OVERLAY.replace("[initramfs]", "[initramfs]\nshell_password = \"sesame\""),
                &[
                    "p.toml:10:18: `initramfs.shell_password`: not a crypt(5) hash of the SHA-256 kind",
                    "`openssl passwd -5`",
                ],
            ),
            (OVERLAY.replace("[root]", "[root]\ncompress = \"zip\""), &["`zip` is not a squashfs codec", "lz4[:hc]"]),
            (OVERLAY.replace("[root]", "[root]\ncompress = \"zstd:30\""), &["zstd has the levels 1 to 22"]),
            (OVERLAY.replace("[root]", "[root]\nblock = \"100K\""), &["p.toml:13:9: `100K` is not a block size"]),
            (OVERLAY.replace("[root]", "[root]\norder = \"trace\""), &["p.toml:13:9: `trace` is not a file"]),
            (
                OVERLAY.replace("dir:rootfs", "mmdebstrap:--setup-hook=id"),
                &["no root source: `mmdebstrap:--setup-hook=id`"],
            ),
            (OVERLAY.replace("deb:linux.deb", "deb:-oDir=x"), &["no kernel source: `deb:-oDir=x`"]),
            (OVERLAY.replace("console=ttyS0", &"x".repeat(2048)), &["p.toml:23:11: a command line of", "shorten it"]),
            (
                RAM.replace("[[package]]\nname", "[[package]]\nfrom = \"one.tar.xz\"\n[[package]]\nname"),
                &["two packages are called `one`"],
            ),
            (format!("{RAM}[image]\nverity = true\n"), &["p.toml:14:10: `image.verity`, and `mode` is \"ram\""]),
            (RAM.replace("one.tar.xz", "toybox"), &["`toybox` is no package by its name", ".tar.zst"]),
            (
                RAM.replace(
                    "[[package]]\nfrom",
                    "[boot]\n[[boot.entry]]\ntitle = \"x\"\ncmdline = \"root=/dev/sda\"\n[[package]]\nfrom",
                ),
                &["`root=` on the command line of a ram image"],
            ),
        ];
        for (text, wanted) in table {
            let error = resolve(dir.path(), text, &Request::default()).unwrap_err();
            for part in *wanted {
                assert!(error.contains(part), "{part:?} is not in:\n{error}");
            }
        }
    }
}
