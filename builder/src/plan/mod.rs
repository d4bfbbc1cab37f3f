//! The plan: a profile resolved. Every setting has its value, every source is
//! named, and everything that can be known to be wrong before work starts has
//! been said.

use std::fmt;
use std::path::{Path, PathBuf};

use init::contract::Mode;
use iso::VolumeId;

use crate::builtin;
use crate::compress::Codec;
use crate::profile::{BiosLoader, Located, PackageSection, Place, Problem, Problems, Profile, nearest};

/// Seconds since 1970 that stand for "no date": 1980-01-01, where FAT begins,
/// so that every format of an image can hold it.
pub const DEFAULT_EPOCH: i64 = 315_532_800;

/// The kernel's COMMAND_LINE_SIZE on x86.
const MAX_CMDLINE: usize = 2048;

/// What does not come from the profile.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Goes to the end of every boot entry's command line.
    pub append: String,
    /// SOURCE_DATE_EPOCH, where it is set.
    pub epoch: Option<i64>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub name: String,
    pub label: VolumeId,
    pub mode: Mode,
    /// The date of everything that has none of its own.
    pub epoch: i64,
    /// SOURCE_DATE_EPOCH was set: no date is later than it.
    pub clamp: bool,
    pub kernel: Located<KernelSource>,
    pub modules: Vec<Located<String>>,
    pub initramfs: InitramfsPlan,
    pub payload: Payload,
    pub boot: BootPlan,
    /// What is allowed and yet worth saying.
    pub advice: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KernelSource {
    /// A tree with `boot/vmlinuz-*` and `lib/modules/*`.
    Dir(PathBuf),
    /// The running system's.
    Host,
    /// The one in the root.
    Root,
    DebFile(PathBuf),
    /// By name, from the distribution, through the cache.
    Deb(String),
}

#[derive(Debug, Clone, PartialEq)]
pub struct InitramfsPlan {
    pub compress: Codec,
    pub parts: Parts,
}

/// What a tree of ours is put together from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parts {
    pub userland: Option<Located<Userland>>,
    /// Paths in the root, or `host:` paths.
    pub programs: Vec<Located<ProgramSource>>,
    /// Later ones lie over earlier ones.
    pub overlays: Vec<Located<OverlaySource>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Userland {
    BuiltinToybox,
    /// A static toybox, with its `--long` list of applets beside it.
    Toybox(PathBuf),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProgramSource {
    Root(String),
    Host(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OverlaySource {
    Builtin(String),
    Dir(PathBuf),
}

/// What the medium carries besides the kernel.
#[derive(Debug, Clone, PartialEq)]
pub enum Payload {
    Root(RootPlan),
    Packages(Vec<PackagePlan>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct RootPlan {
    pub from: Located<RootSource>,
    pub exclude: Vec<Located<String>>,
    pub compress: Codec,
    pub overlays: Vec<Located<OverlaySource>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootSource {
    Dir(PathBuf),
    Tar(PathBuf),
    Mmdebstrap { suite: String, include: Vec<String> },
}

#[derive(Debug, Clone, PartialEq)]
pub struct PackagePlan {
    pub place: Place,
    pub name: String,
    pub source: PackageSource,
    pub required: bool,
    pub privileged: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum PackageSource {
    /// Taken as it is.
    Archive(PathBuf),
    Parts(Parts),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootPlan {
    pub bios: BiosLoader,
    /// Seconds until the first entry starts by itself; 0 starts it at once.
    pub timeout: u32,
    pub entries: Vec<BootEntry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootEntry {
    pub title: String,
    /// The whole command line.
    pub cmdline: String,
}

impl Plan {
    /// Resolves the profile; looks at which files are there, reads none.
    pub fn resolve(profile: &Profile, request: &Request) -> Result<Self, Problems> {
        let mut problems = Vec::new();
        let plan = Resolver { problems: &mut problems }.plan(profile, request);
        match plan {
            Some(plan) if problems.is_empty() => Ok(plan),
            _ => Err(Problems(problems)),
        }
    }
}

/// Collects problems, so that one run tells them all.
struct Resolver<'p> {
    problems: &'p mut Vec<Problem>,
}

impl Resolver<'_> {
    fn plan(&mut self, profile: &Profile, request: &Request) -> Option<Plan> {
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
        let compress = self.codec(profile.initramfs.compress.as_ref(), "zstd:19");
        let section = &profile.initramfs;
        let parts = self.parts(section.userland.as_ref(), &section.programs, &section.overlays, profile.mode.value);
        let payload = match profile.mode.value {
            Mode::Overlay => self.root(profile).map(Payload::Root),
            Mode::Ram => self.packages(&profile.packages).map(Payload::Packages),
        };
        let boot = self.boot(profile, request);
        let mut plan = Plan {
            name: name?,
            label: label?,
            mode: profile.mode.value,
            epoch: request.epoch.unwrap_or(DEFAULT_EPOCH),
            clamp: request.epoch.is_some(),
            kernel: kernel?,
            modules,
            initramfs: InitramfsPlan { compress: compress?, parts },
            payload: payload?,
            boot,
            advice: Vec::new(),
        };
        plan.advice = advice(&plan);
        Some(plan)
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

    fn refuse(&mut self, written: Option<&Located<String>>, what: &str) {
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
            "deb" if !rest.is_empty() => KernelSource::Deb(rest.into()),
            _ => {
                let remedy = "`dir:PATH`, `host`, `deb:NAME`, `deb:FILE.deb`, and in overlay mode `root`";
                self.problems
                    .push(Problem::new(&from.place, format!("no kernel source: `{}`", from.value)).remedy(remedy));
                return None;
            }
        };
        Some(Located { value: source, place: from.place.clone() })
    }

    fn root(&mut self, profile: &Profile) -> Option<RootPlan> {
        let section = profile.root.as_ref()?;
        let from = &section.from;
        let (kind, rest) = split_source(&from.value);
        let source = match kind {
            "dir" => RootSource::Dir(self.existing(from, rest, Path::is_dir, "a folder")?),
            "tar" => RootSource::Tar(self.existing(from, rest, Path::is_file, "a file")?),
            "mmdebstrap" if !rest.is_empty() => RootSource::Mmdebstrap {
                suite: rest.into(),
                include: section.include.iter().map(|package| package.value.clone()).collect(),
            },
            _ => {
                let problem = Problem::new(&from.place, format!("no root source: `{}`", from.value));
                self.problems.push(problem.remedy("`dir:PATH`, `tar:FILE` or `mmdebstrap:SUITE`"));
                return None;
            }
        };
        if let (Some(first), false) = (section.include.first(), matches!(source, RootSource::Mmdebstrap { .. })) {
            let problem = Problem::new(&first.place, "`root.include` names packages, and this root is finished");
            self.problems.push(problem.remedy("`include` goes with `from = \"mmdebstrap:SUITE\"`"));
        }
        let compress = self.codec(section.compress.as_ref(), "zstd:15");
        let overlays = self.overlays(&section.overlays);
        Some(RootPlan {
            from: Located { value: source, place: from.place.clone() },
            exclude: section.exclude.clone(),
            compress: compress?,
            overlays,
        })
    }

    fn packages(&mut self, sections: &[PackageSection]) -> Option<Vec<PackagePlan>> {
        let mut plans: Vec<PackagePlan> = Vec::new();
        for section in sections {
            let source = match &section.from {
                Some(from) => {
                    let path = self.existing(from, &from.value, Path::is_file, "a file")?;
                    if !path.to_string_lossy().ends_with(".tar.xz") {
                        let problem = Problem::new(&from.place, format!("`{}` is not a .tar.xz file", from.value));
                        self.problems.push(problem.remedy("pack it as a tar archive in xz: `tar cJf NAME.tar.xz …`"));
                    }
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
                    let stem = path.file_name().unwrap_or_default().to_string_lossy().replace(".tar.xz", "");
                    self.name(&Located { value: stem, place: section.place.clone() })?
                }
                (None, PackageSource::Parts(_)) => return None, // the profile said so already
            };
            if let Some(first) = plans.iter().find(|plan| plan.name == name) {
                let what = format!("two packages are called `{name}`; the other one is at {}", first.place);
                self.problems.push(Problem::new(&section.place, what).remedy("give one of them another `name`"));
            }
            let (required, privileged) = (section.required, section.privileged);
            plans.push(PackagePlan { place: section.place.clone(), name, source, required, privileged });
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
            ("toybox", "") if builtin::toybox().is_some() => Userland::BuiltinToybox,
            ("toybox", "") => {
                let problem = Problem::new(&written.place, "this liveroot was built without a toybox of its own");
                let remedy = "`cargo xtask toybox` builds one and prints how to build it in; or say `toybox:PATH`";
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

    fn overlays(&mut self, written: &[Located<String>]) -> Vec<Located<OverlaySource>> {
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

    fn boot(&mut self, profile: &Profile, request: &Request) -> BootPlan {
        let everywhere = profile.kernel.cmdline.as_ref();
        let mut entries = Vec::new();
        for entry in &profile.boot.entries {
            let words = [everywhere, entry.cmdline.as_ref()].map(|part| part.map_or("", |part| part.value.as_str()));
            let cmdline = joined(&[words[0], words[1], &request.append]);
            let place = entry.cmdline.as_ref().or(everywhere).map_or(&entry.title.place, |part| &part.place);
            self.check_cmdline(place, &cmdline, profile.mode.value);
            self.check_line(&entry.title);
            entries.push(BootEntry { title: entry.title.value.clone(), cmdline });
        }
        if entries.is_empty() {
            let cmdline = joined(&[everywhere.map_or("", |part| &part.value), &request.append]);
            let place = everywhere.map_or(&profile.name.place, |part| &part.place);
            self.check_cmdline(place, &cmdline, profile.mode.value);
            entries.push(BootEntry { title: format!("Start {}", profile.name.value), cmdline });
        }
        let timeout = profile.boot.timeout.unwrap_or(if entries.len() > 1 { 5 } else { 0 });
        BootPlan { bios: profile.boot.bios, timeout, entries }
    }

    fn check_cmdline(&mut self, place: &Place, cmdline: &str, mode: Mode) {
        if cmdline.len() >= MAX_CMDLINE {
            let what = format!("a command line of {} bytes; the kernel reads {}", cmdline.len(), MAX_CMDLINE - 1);
            self.problems.push(Problem::new(place, what).remedy("shorten it"));
        }
        if cmdline.contains(|c: char| c.is_control()) {
            self.problems.push(Problem::new(place, "a command line with a control character in it"));
        }
        // It makes the kernel pick ramfs for the first root, which has no size limit.
        if mode == Mode::Ram && cmdline.split_whitespace().any(|word| word.starts_with("root=")) {
            let problem = Problem::new(place, "`root=` on the command line of a ram image");
            self.problems.push(
                problem.remedy("leave it out: the packages are the root, and the medium is found by its boot-id"),
            );
        }
    }

    fn check_line(&mut self, text: &Located<String>) {
        if text.value.contains(|c: char| c.is_control()) {
            self.problems.push(Problem::new(&text.place, "a title with a control character in it"));
        }
    }

    /// `path`, relative to the profile that wrote it, if it is there.
    fn existing(
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

/// `kind:rest`, or `kind` alone.
fn split_source(written: &str) -> (&str, &str) {
    written.split_once(':').unwrap_or((written, ""))
}

/// `deb:` takes a package's name or a file's.
fn is_file_name(written: &str) -> bool {
    written.contains('/') || Path::new(written).extension().is_some_and(|ending| ending == "deb")
}

fn joined(parts: &[&str]) -> String {
    parts.iter().flat_map(|part| part.split_whitespace()).collect::<Vec<_>>().join(" ")
}

fn advice(plan: &Plan) -> Vec<String> {
    let mut advice = Vec::new();
    let label = plan.label.as_str();
    if label.len() > 11 {
        advice.push(format!(
            "label {label}: FAT copies (Rufus and others) shorten it to {}; /init finds the medium by its boot-id either way",
            &label[..11]
        ));
    }
    if plan.boot.bios == BiosLoader::None {
        advice.push("boot.bios is none: nothing on this medium starts by itself".into());
    }
    advice
}

mod print;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print::plan(self, f)
    }
}
