//! The profile as written: TOML, declarative, every value with its place.
//!
//! Nothing here looks at the file system beyond the profile and its base; what
//! the values lead to is the plan's business ([`crate::plan`]).

mod boot;
mod place;
mod value;

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

use init::contract::Mode;

use crate::arch::Arch;

pub use boot::{BiosLoader, BootSection, DiskLayout, EntrySection, UefiLoader};
pub use place::{Located, Place, Problem, Problems, nearest};
pub(crate) use value::Section;

/// Each field is named after its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    pub file: Arc<Path>,
    pub name: Located<String>,
    pub label: Located<String>,
    pub mode: Located<Mode>,
    /// `None` where the profile does not say.
    pub arch: Option<Located<Arch>>,
    pub kernel: KernelSection,
    pub initramfs: InitramfsSection,
    pub root: Option<RootSection>,
    pub layers: Vec<LayerSection>,
    pub packages: Vec<PackageSection>,
    pub image: ImageSection,
    pub boot: BootSection,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelSection {
    pub from: Located<String>,
    pub modules: Vec<Located<String>>,
    /// Where firmware is that the kernel's own source does not have.
    pub firmware: Vec<Located<String>>,
    pub cmdline: Option<Located<String>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InitramfsSection {
    pub compress: Option<Located<String>>,
    pub kmods: Option<Located<String>>,
    /// Whether ELF files lose what only debuggers read ([`crate::elf::strip_all`]).
    pub strip: Option<Located<bool>>,
    pub max_size: Option<Located<String>>,
    /// Hashed, and never the password itself.
    pub shell_password: Option<Located<String>>,
    pub microcode: Vec<Located<String>>,
    pub userland: Option<Located<String>>,
    pub programs: Vec<Located<String>>,
    pub overlays: Vec<Located<String>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootSection {
    pub from: Located<String>,
    /// Packages for a `mmdebstrap:` source, beyond the minimal set.
    pub include: Vec<Located<String>>,
    pub exclude: Vec<Located<String>>,
    /// Whether what no live system needs is left out ([`crate::exclusion`]).
    pub exclude_usual: Option<Located<bool>>,
    pub compress: Option<Located<String>>,
    /// The squashfs's block size; layers have it too.
    pub block: Option<Located<String>>,
    /// Whether the ends of long files go into fragments; layers' do too.
    pub pack_tails: Option<Located<bool>>,
    /// A file with one path a line: what a boot reads, in that order.
    pub order: Option<Located<String>>,
    pub overlays: Vec<Located<String>>,
}

/// One more squashfs over the root: what makes it another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerSection {
    pub name: Located<String>,
    /// A whole root, of which the layer holds what differs from the one below;
    /// without it the one below is what is changed.
    pub from: Option<Located<String>>,
    pub include: Vec<Located<String>>,
    pub exclude: Vec<Located<String>>,
    pub compress: Option<Located<String>>,
    pub overlays: Vec<Located<String>>,
    /// Used only where it is asked for by name.
    pub extra: Option<Located<bool>>,
}

/// What holds for the image as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageSection {
    pub verity: Option<Located<bool>>,
    pub media_sum: Option<Located<bool>>,
}

/// Either a finished archive (`from`), or one that is made from parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageSection {
    pub place: Place,
    pub name: Option<Located<String>>,
    pub from: Option<Located<String>>,
    pub userland: Option<Located<String>>,
    pub programs: Vec<Located<String>>,
    pub overlays: Vec<Located<String>>,
    pub required: bool,
    pub privileged: bool,
    /// Used only where the command line names it.
    pub extra: bool,
}

impl Profile {
    /// Reads `file` and the base it names. All problems of both are told
    /// together.
    pub fn load(file: &Path) -> Result<Self, LoadError> {
        let read =
            |path: &Path| std::fs::read_to_string(path).map_err(|source| LoadError::Read { path: path.into(), source });
        Self::parse(file, &read(file)?, read)
    }

    /// [`Profile::load`] with the text at hand; `read` brings the base's.
    pub fn parse(
        file: &Path,
        text: &str,
        read: impl Fn(&Path) -> Result<String, LoadError>,
    ) -> Result<Self, LoadError> {
        let file: Arc<Path> = file.into();
        let table = value::parse(&file, text).map_err(Problems)?;
        let problems = RefCell::new(Vec::new());
        let start = Place::of(&file, text, 0);

        // One level deep: a chain of bases cannot be read in one go.
        let mut head = Section::new("", start.clone(), table, &problems);
        if let Some(base) = head.string("base") {
            let base_file: Arc<Path> = start.dir().join(&base.value).into();
            let base_text = read(&base_file).map_err(|error| {
                Problems(vec![
                    Problem::new(&base.place, format!("the base cannot be read: {error}"))
                        .remedy("`base` is relative to the profile that names it"),
                ])
            })?;
            let mut merged = value::parse(&base_file, &base_text).map_err(Problems)?;
            if let Some((place, _)) = merged.remove("base") {
                let deep = Problem::new(&place, "a base cannot have a base of its own");
                problems.borrow_mut().push(deep.remedy("name that profile directly, or put both into one"));
            }
            value::merge(&mut merged, head.into_table());
            head = Section::new("", start, merged, &problems);
        }

        let profile = decode(file, head);
        let problems = problems.into_inner();
        match profile {
            Some(profile) if problems.is_empty() => Ok(profile),
            _ => Err(sorted(problems).into()),
        }
    }
}

/// `None` where something was reported instead.
pub(crate) type Decoded<T> = Option<T>;

/// Reads another TOML file of ours by the same rules as a profile.
pub(crate) fn decode_file<T>(
    file: &Path,
    text: &str,
    decode: impl FnOnce(&mut Section<'_>) -> Decoded<T>,
) -> Result<T, Problems> {
    let file: Arc<Path> = file.into();
    let table = value::parse(&file, text).map_err(Problems)?;
    let problems = RefCell::new(Vec::new());
    let mut top = Section::new("", Place::of(&file, text, 0), table, &problems);
    let decoded = decode(&mut top);
    top.finish();
    let problems = problems.into_inner();
    match decoded {
        Some(decoded) if problems.is_empty() => Ok(decoded),
        _ => Err(sorted(problems)),
    }
}

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("{}", path.display())]
    Read { path: std::path::PathBuf, source: std::io::Error },
    #[error(transparent)]
    Wrong(#[from] Problems),
}

fn sorted(mut problems: Vec<Problem>) -> Problems {
    problems.sort_by(|a, b| a.place.cmp(&b.place));
    Problems(problems)
}

fn decode(file: Arc<Path>, mut top: Section<'_>) -> Option<Profile> {
    let name = top.string("name");
    let name = top.require("name", name, "`name = \"aurora\"`: it becomes the default file name");
    let label = top.string("label");
    let label =
        top.require("label", label, "`label = \"AURORA\"`: the volume ID, A-Z 0-9 _, best at most 11 characters");
    let modes = [(Mode::Ram.name(), Mode::Ram), (Mode::Overlay.name(), Mode::Overlay)];
    let mode = top.word("mode", &modes);
    let mode =
        top.require("mode", mode, "`mode = \"overlay\"` (a squashfs root) or `mode = \"ram\"` (packages in RAM)");
    let arch = top.word("arch", Arch::WORDS);

    let kernel = top.section("kernel");
    let kernel =
        top.require("kernel", kernel, "`[kernel]` with `from = \"deb:linux-image-amd64\"`").and_then(kernel_section);
    let initramfs = top.section("initramfs").map(initramfs_section).unwrap_or_default();
    let root_section = top.section("root");
    let layer_sections = top.sections("layer");
    let packages: Vec<_> = top.sections("package").into_iter().map(package_section).collect();
    if let Some(mode) = &mode {
        check_mode(&top, mode, root_section.as_ref(), &packages);
        if let (Mode::Ram, Some(layer)) = (mode.value, layer_sections.first()) {
            let problem = Problem::new(layer.place(), "a layer, and `mode` is \"ram\"");
            top.report(problem.remedy("layers lie over `[root]`, in `mode = \"overlay\"`"));
        }
    }
    let layers = layer_sections.into_iter().filter_map(layer_section).collect();
    let root = root_section.and_then(root_section_fields);
    let image = top.section("image").map(image_section).unwrap_or_default();
    let boot = top.section("boot").map(boot::section).unwrap_or_default();
    top.finish();
    Some(Profile {
        file,
        name: name?,
        label: label?,
        mode: mode?,
        arch,
        kernel: kernel?,
        initramfs,
        root,
        layers,
        packages,
        image,
        boot,
    })
}

/// The word for a value, of those a key can have.
pub(crate) fn named<T: Copy + PartialEq>(words: &[(&'static str, T)], value: T) -> &'static str {
    words.iter().find(|(_, known)| *known == value).map_or("", |(word, _)| word)
}

/// What belongs to one mode only, or is missing in the other.
fn check_mode(top: &Section<'_>, mode: &Located<Mode>, root: Option<&Section<'_>>, packages: &[PackageSection]) {
    match mode.value {
        Mode::Overlay => {
            if root.is_none() {
                let problem = Problem::new(&mode.place, "`mode = \"overlay\"` needs a root");
                top.report(problem.remedy("add `[root]` with `from = \"dir:…\"`, `tar:…` or `mmdebstrap:SUITE`"));
            }
            for package in packages {
                let problem = Problem::new(&package.place, "a package, and `mode` is \"overlay\"");
                top.report(problem.remedy("packages belong to `mode = \"ram\"`"));
            }
        }
        Mode::Ram => {
            if packages.is_empty() {
                let problem = Problem::new(&mode.place, "`mode = \"ram\"` needs at least one `[[package]]`");
                top.report(problem.remedy("add `[[package]]` with `from = \"packages/base.tar.xz\"`"));
            }
            if let Some(root) = root {
                let problem = Problem::new(root.place(), "a root, and `mode` is \"ram\"");
                top.report(problem.remedy("`[root]` belongs to `mode = \"overlay\"`; ram mode is made of packages"));
            }
        }
    }
}

fn kernel_section(mut section: Section<'_>) -> Option<KernelSection> {
    let from = section.string("from");
    let from = section.require("from", from, "`dir:PATH`, `host`, `root`, or `deb:NAME-or-FILE`");
    let modules = section.strings("modules").unwrap_or_default();
    let firmware = section.strings("firmware").unwrap_or_default();
    let cmdline = section.string("cmdline");
    section.finish();
    Some(KernelSection { from: from?, modules, firmware, cmdline })
}

fn initramfs_section(mut section: Section<'_>) -> InitramfsSection {
    let fields = InitramfsSection {
        compress: section.string("compress"),
        kmods: section.string("kmods"),
        strip: section.boolean("strip"),
        max_size: section.string("max_size"),
        shell_password: section.string("shell_password"),
        microcode: section.strings("microcode").unwrap_or_default(),
        userland: section.string("userland"),
        programs: section.strings("programs").unwrap_or_default(),
        overlays: section.strings("overlays").unwrap_or_default(),
    };
    section.finish();
    fields
}

fn root_section_fields(mut section: Section<'_>) -> Option<RootSection> {
    let from = section.string("from");
    let from = section.require("from", from, "`dir:PATH`, `tar:FILE` or `mmdebstrap:SUITE`");
    let fields = (
        section.strings("include").unwrap_or_default(),
        section.strings("exclude").unwrap_or_default(),
        section.boolean("exclude_usual"),
        section.string("compress"),
        section.string("block"),
        section.boolean("pack_tails"),
        section.string("order"),
        section.strings("overlays").unwrap_or_default(),
    );
    section.finish();
    let (include, exclude, exclude_usual, compress, block, pack_tails, order, overlays) = fields;
    let from = from?;
    Some(RootSection { from, include, exclude, exclude_usual, compress, block, pack_tails, order, overlays })
}

fn layer_section(mut section: Section<'_>) -> Option<LayerSection> {
    let name = section.string("name");
    let name = section.require("name", name, "`name = \"desktop\"`: the file on the medium is called that");
    let fields = (
        section.string("from"),
        section.strings("include").unwrap_or_default(),
        section.strings("exclude").unwrap_or_default(),
        section.string("compress"),
        section.strings("overlays").unwrap_or_default(),
        section.boolean("extra"),
    );
    section.finish();
    let (from, include, exclude, compress, overlays, extra) = fields;
    Some(LayerSection { name: name?, from, include, exclude, compress, overlays, extra })
}

fn image_section(mut section: Section<'_>) -> ImageSection {
    let fields = ImageSection { verity: section.boolean("verity"), media_sum: section.boolean("media_sum") };
    section.finish();
    fields
}

fn package_section(mut section: Section<'_>) -> PackageSection {
    let fields = PackageSection {
        place: section.place().clone(),
        name: section.string("name"),
        from: section.string("from"),
        userland: section.string("userland"),
        programs: section.strings("programs").unwrap_or_default(),
        overlays: section.strings("overlays").unwrap_or_default(),
        required: section.boolean("required").is_none_or(|required| required.value),
        privileged: section.boolean("privileged").is_some_and(|privileged| privileged.value),
        extra: section.boolean("extra").is_some_and(|extra| extra.value),
    };
    let made = fields.userland.is_some() || !fields.programs.is_empty() || !fields.overlays.is_empty();
    let refuse = |what: &str, remedy: &str| section.report(Problem::new(&fields.place, what).remedy(remedy));
    match (&fields.from, made) {
        (Some(_), true) => refuse(
            "a package with `from` and with parts of its own",
            "a finished archive is taken as it is: put the parts into a second `[[package]]`",
        ),
        (None, false) => refuse(
            "a package made of nothing",
            "say `from = \"FILE.tar.xz\"`, or `name` with `userland`, `programs` or `overlays`",
        ),
        (None, true) if fields.name.is_none() => {
            refuse("a package without a name", "add `name = \"base\"`: it becomes its file name");
        }
        _ => {}
    }
    section.finish();
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAM: &str = "\
name = \"tiny\"
label = \"TINY\"
mode = \"ram\"
[kernel]
from = \"host\"
[[package]]
name = \"base\"
overlays = [\"ram-system\"]
";

    fn parse(text: &str) -> Result<Profile, String> {
        let no_base = |_: &Path| panic!("no base here");
        Profile::parse(Path::new("p.toml"), text, no_base).map_err(|error| error.to_string())
    }

    #[test]
    fn a_small_profile_is_read() {
        let profile = parse(RAM).unwrap();
        assert_eq!(profile.name.value, "tiny");
        assert_eq!(profile.packages[0].overlays[0].place.to_string(), "p.toml:8:13");
        assert_eq!(profile.boot, BootSection::default());
    }

    /// The structs are taken apart, so that a new key is missed here first.
    #[test]
    fn docs_profile_md_has_every_key_and_nothing_else() {
        let text = include_str!("../../../docs/profile.md");
        let mut profiles = text.split("```toml\n").skip(1).map(|rest| {
            let text = rest.split("```").next().unwrap();
            Profile::parse(Path::new("profile.md"), text, |_| Ok(String::new())).unwrap()
        });
        let live = profiles.next().unwrap();
        assert!(live.arch.is_some());
        let KernelSection { from: _, modules, firmware, cmdline } = live.kernel;
        assert!(!modules.is_empty() && !firmware.is_empty() && cmdline.is_some());
        let InitramfsSection {
            compress,
            kmods,
            strip,
            max_size,
            shell_password,
            microcode,
            userland,
            programs,
            overlays,
        } = live.initramfs;
        assert!(strip.is_some() && compress.is_some() && kmods.is_some() && max_size.is_some() && userland.is_some());
        assert!(shell_password.is_some());
        assert!([microcode, programs, overlays].iter().all(|list| !list.is_empty()));
        let RootSection { from: _, include, exclude, exclude_usual, compress, block, pack_tails, order, overlays } =
            live.root.unwrap();
        assert!(compress.is_some() && order.is_some() && exclude_usual.is_some());
        assert!(block.is_some() && pack_tails.is_some());
        assert!([include, exclude, overlays].iter().all(|list| !list.is_empty()));
        let [layer] = &live.layers[..] else { panic!("one layer") };
        let LayerSection { name: _, from, include, exclude, compress, overlays, extra } = layer;
        assert!(from.is_some() && compress.is_some() && extra.is_some());
        assert!([include, exclude, overlays].iter().all(|list| !list.is_empty()));
        let ImageSection { verity, media_sum } = live.image;
        assert!(verity.is_some() && media_sum.is_some());

        let [made, taken] = &profiles.next().unwrap().packages[..] else { panic!("two packages") };
        let PackageSection { place: _, name, from, userland, programs, overlays, required, privileged, extra } = made;
        assert!(name.is_some() && userland.is_some() && !programs.is_empty() && !overlays.is_empty());
        assert!(from.is_none() && *required && !privileged && !extra, "what it is when nothing is said");
        assert!(taken.from.is_some() && !taken.required && taken.privileged && taken.extra);
        assert!(profiles.next().is_none());
    }

    #[test]
    fn what_is_wrong_is_told_with_place_and_remedy() {
        let overlay = RAM.replace("\"ram\"", "\"overlay\"");
        let table: &[(String, &[&str])] = &[
            (
                RAM.replace("label", "lable"),
                &["p.toml:2:1: unknown key `lable`", "did you mean `label`?", "`label` is missing"],
            ),
            (
                RAM.replace("from =", "form ="),
                &["p.toml:5:1: unknown key `kernel.form`", "`from`?", "`kernel.from` is missing"],
            ),
            (
                RAM.replace("\"TINY\"", "7"),
                &["p.toml:2:9: `label` should be a string, and this is an integer", "`label = \"text\"`"],
            ),
            (
                RAM.replace("\"ram\"", "\"rom\""),
                &["p.toml:3:8: `mode` cannot be `rom`", "`ram`? It can be: ram, overlay"],
            ),
            (overlay, &["p.toml:3:8: `mode = \"overlay\"` needs a root", "p.toml:6:1: a package"]),
            (RAM.replace("[[package]]", "[[package]]\nfrom = \"x.tar.xz\""), &["a package with `from` and with parts"]),
            (RAM.replace("[kernel]", "[kernel"), &["p.toml:4:", "not TOML"]),
            (format!("{RAM}\n[boot]\ntimeout = -1\n"), &["`boot.timeout` is -1, which is not from 0 to 3599"]),
        ];
        for (text, wanted) in table {
            let error = parse(text).unwrap_err();
            for part in *wanted {
                assert!(error.contains(part), "{part:?} is not in:\n{error}");
            }
        }
    }

    #[test]
    fn a_value_of_the_wrong_type_is_not_called_missing_too() {
        let error = parse(&RAM.replace("\"TINY\"", "7")).unwrap_err();
        assert!(!error.contains("missing"), "{error}");
    }

    #[test]
    fn a_profile_lies_over_its_base() {
        let base = |path: &Path| {
            assert_eq!(path, Path::new("dir/../base.toml"));
            Ok(RAM.to_owned())
        };
        let text = "base = \"../base.toml\"\nlabel = \"OTHER\"\n[kernel]\ncmdline = \"quiet\"\n";
        let profile = Profile::parse(Path::new("dir/p.toml"), text, base).unwrap();
        assert_eq!((profile.label.value.as_str(), profile.name.value.as_str()), ("OTHER", "tiny"));
        assert_eq!(profile.kernel.from.place.to_string(), "dir/../base.toml:5:8");
        assert_eq!(profile.kernel.cmdline.unwrap().value, "quiet");
        let deep = |_: &Path| Ok(format!("base = \"x\"\n{RAM}"));
        assert!(Profile::parse(Path::new("p.toml"), "base = \"b\"", deep).is_err());
    }
}
