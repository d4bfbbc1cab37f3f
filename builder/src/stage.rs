//! Plan and sources become trees: what stands in the initramfs, in the root,
//! in each package. Nothing is encoded here.

use std::path::Path;

use init::contract::initramfs as at;
use tree::{Conflict, Content, Kind, Leaf, Meta, Provenance, Tree, TreePath};

use crate::builtin;
use crate::companions;
use crate::compress::{Unpacks, is_built_in, unpacks};
use crate::dpkg;
use crate::elf::{self, ElfError, HostSysroot, Needed, Sysroot};
use crate::exclusion;
use crate::kernel::pattern::{Pattern, Pick};
use crate::kernel::{self, Machine, MachineError, Packing};
use crate::layer::{self, LayerError};
use crate::microcode::{self, MicrocodeError};
use crate::overlay::{self, OverlayError};
use crate::plan::{
    InitramfsPlan, LayerPlan, OverlaySource, PackagePlan, PackageSource, Parts, Payload, Plan, ProgramSource, RootPlan,
};
use crate::profile::{Located, Place, Problem, Problems};
use crate::provenance::role::words;
use crate::source::Sources;
use crate::userland::{self, UserlandError};

/// The trees of one build. The initramfs lacks the facts of its image yet:
/// they name the boot-id, which is a digest over all of this.
#[derive(Debug)]
pub struct Staged {
    pub initramfs: Tree,
    /// What stands before it, uncompressed: microcode, or nothing.
    pub early: Tree,
    pub payload: StagedPayload,
    /// What the user may want to know, such as what an overlay replaced.
    pub notes: Vec<String>,
}

#[derive(Debug)]
pub enum StagedPayload {
    /// The root, and each layer as what it has over those below.
    Root(Vec<Tree>),
    /// In the plan's order.
    Packages(Vec<StagedPackage>),
}

#[derive(Debug)]
pub enum StagedPackage {
    /// A finished archive or squashfs.
    Archive(Content),
    Tree(Tree),
}

#[derive(Debug, thiserror::Error)]
pub enum StageError {
    #[error(transparent)]
    Overlay(#[from] OverlayError),
    #[error(transparent)]
    Codec(Problems),
    #[error("{place}: two overlays of one list have the same path: take it out of one of them")]
    Twice { place: Place, source: Conflict },
    #[error("{place}: the overlays do not fit what they are laid over")]
    DoesNotFit { place: Place, source: tree::OverlayError },
    #[error("{place}")]
    Userland { place: Place, source: UserlandError },
    #[error("{place}: a program cannot be taken")]
    Program { place: Place, source: ElfError },
    #[error("{place}: the layer")]
    Layer { place: Place, source: LayerError },
    #[error("{place}: no path of a program")]
    ProgramPath { place: Place, source: tree::PathError },
    #[error("{place}: the kernel's modules")]
    Modules {
        place: Place,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error(transparent)]
    Microcode(#[from] MicrocodeError),
    #[error("{}", path.display())]
    Read { path: std::path::PathBuf, source: std::io::Error },
    #[error("the initramfs")]
    Initramfs(#[from] Conflict),
}

impl Staged {
    pub fn stage(plan: &Plan, sources: &Sources) -> Result<Self, StageError> {
        let mut notes = Vec::new();
        let payload = match &plan.payload {
            Payload::Root(root) => {
                check_root_codecs(plan, root, sources)?;
                StagedPayload::Root(stage_layers(plan, root, sources, &mut notes)?)
            }
            Payload::Packages(packages) => {
                let staged = packages.iter().map(|package| stage_package(plan, package, sources, &mut notes));
                StagedPayload::Packages(staged.collect::<Result<_, _>>()?)
            }
        };
        let initramfs = stage_initramfs(plan, sources, &mut notes)?;
        Ok(Self { initramfs, early: stage_early(plan, sources)?, payload, notes })
    }

    /// The initramfs, without anything for a medium.
    pub fn initramfs_alone(plan: &Plan, sources: &Sources) -> Result<Self, StageError> {
        let mut notes = Vec::new();
        let initramfs = stage_initramfs(plan, sources, &mut notes)?;
        let early = stage_early(plan, sources)?;
        Ok(Self { initramfs, early, payload: StagedPayload::Packages(Vec::new()), notes })
    }
}

fn stage_early(plan: &Plan, sources: &Sources) -> Result<Tree, StageError> {
    let mut early = microcode::early(&sources.microcode)?;
    early.for_each_meta(|meta| meta.mtime = plan.epoch);
    Ok(early)
}

/// The kernel's config, where it came with one.
fn kernel_config(sources: &Sources) -> Result<Option<String>, StageError> {
    let Some(config) = &sources.kernel.config else { return Ok(None) };
    // Debian's has 260 KB.
    let text =
        config.read_all(16 << 20).map_err(|source| StageError::Read { path: "the kernel's config".into(), source })?;
    Ok(Some(String::from_utf8_lossy(&text).into_owned()))
}

/// A squashfs of another codec is not mounted, and one with a filter of xz that
/// the kernel lacks is, but some of its files cannot be read.
fn check_root_codecs(plan: &Plan, root: &RootPlan, sources: &Sources) -> Result<(), StageError> {
    let Some(config) = kernel_config(sources)? else { return Ok(()) };
    for compress in root.layers.iter().map(|layer| layer.compress).chain([root.compress]) {
        if let Some(option) = compress.kernel_options().into_iter().find(|option| !is_built_in(option, &config)) {
            let what = format!("this kernel cannot read a squashfs in {compress}: its config has no {option}=y");
            let remedy = "under [root] and [[layer]], `compress` can be another codec, or the same without that filter";
            return Err(StageError::Codec(Problems(vec![Problem::new(&plan.kernel.place, what).remedy(remedy)])));
        }
    }
    Ok(())
}

/// A kernel that cannot unpack its initramfs panics, and says nothing of why.
fn check_codec(plan: &Plan, sources: &Sources) -> Result<(), StageError> {
    let Some(config) = kernel_config(sources)? else { return Ok(()) };
    let codec = plan.initramfs.compress;
    match unpacks(codec.kind, &config) {
        Unpacks::Yes => Ok(()),
        Unpacks::No { option, instead } => {
            let what = format!("this kernel cannot unpack an initramfs in {codec}: its config has no {option}=y");
            let remedy = format!("under [initramfs], `compress` can be: {}", instead.join(", "));
            Err(StageError::Codec(Problems(vec![Problem::new(&plan.kernel.place, what).remedy(remedy)])))
        }
    }
}

fn stage_initramfs(plan: &Plan, sources: &Sources, notes: &mut Vec<String>) -> Result<Tree, StageError> {
    check_codec(plan, sources)?;
    let mut tree = Tree::new();
    let ours = Provenance::new(words::EVERY_INITRAMFS);
    let path = |written: &str| TreePath::new(written).expect("a plain path");
    let init = builtin::init(plan.arch).expect("the plan has looked");
    tree.insert_file(path(at::INIT), 0o755, Content::from(init), Provenance::new(words::INIT))?;
    // The kernel opens /dev/console before it starts /init, and the Rust
    // runtime ends a program that has no descriptors 0 to 2 to write to.
    for (name, mode, major, minor) in [("dev/console", 0o600, 5, 1), ("dev/null", 0o666, 1, 3)] {
        let leaf = Leaf { meta: Meta::new(mode), kind: Kind::CharDevice { major, minor } };
        tree.insert_leaf(path(name), leaf, ours.clone())?;
    }
    for (name, mode) in [("proc", 0o755), ("sys", 0o755), ("run", 0o755), ("tmp", 0o1777), ("root", 0o700)] {
        tree.insert_dir(path(name), Meta::new(mode), ours.clone())?;
    }
    let modules = stage_modules(plan, sources, notes)?;
    lay(&mut tree, modules, &plan.kernel.place, notes)?;
    let mut parts = stage_parts(plan, &plan.initramfs.parts, sources)?;
    if plan.initramfs.strip {
        notes.extend(elf::strip_all(&mut parts));
    }
    lay(&mut tree, parts, &plan.kernel.place, notes)?;
    if let Some(password) = &plan.initramfs.shell_password {
        let line = format!("profile {}: initramfs.shell_password", password.place.short());
        let provenance = Provenance::new(words::SHELL_PASSWORD).because(line);
        let text = format!("{}\n", password.value.print());
        tree.insert_file(path(at::SHELL_PASSWORD), 0o600, Content::from(text), provenance)?;
    }
    // Whose files they were on this system is nobody's business in there, and
    // the archive has no room for xattrs.
    let mut capable = 0;
    tree.for_each_meta(|meta| {
        (meta.uid, meta.gid, meta.mtime) = (0, 0, plan.epoch);
        capable += usize::from(!std::mem::take(&mut meta.xattrs).is_empty());
    });
    if capable > 0 {
        notes.push(format!("{capable} files lose extended attributes (capabilities, labels) in the initramfs"));
    }
    Ok(tree)
}

fn stage_modules(plan: &Plan, sources: &Sources, notes: &mut Vec<String>) -> Result<Tree, StageError> {
    let failed = |place: &Place| {
        let place = place.clone();
        move |source: Box<dyn std::error::Error + Send + Sync>| StageError::Modules { place, source }
    };
    let place = &plan.kernel.place;
    let catalog = kernel::Catalog::scan(&sources.kernel).map_err(|e| failed(place)(e.into()))?;
    let line = plan.modules.first().map_or(place, |pattern| &pattern.place);
    let because = |place: &Place| Provenance::new(format!("profile {}: kernel.modules", place.short()));
    let asked = plan.modules.iter().map(|pattern| {
        let machine = machine(pattern).map_err(|e| failed(&pattern.place)(e.into()))?;
        Ok(kernel::Asked { word: pattern.value.clone(), from: because(&pattern.place), machine })
    });
    let asked = asked.collect::<Result<Vec<_>, StageError>>()?;
    let selection = kernel::select(&catalog, &asked).map_err(|e| failed(line)(e.into()))?;
    let InitramfsPlan { kmods: form, strip, compress: archive, .. } = plan.initramfs;
    let packing = Packing { form, strip, archive };
    let staged = kernel::stage(&sources.kernel, &catalog, &selection, packing).map_err(|e| failed(place)(e.into()))?;
    notes.extend(catalog.warnings.iter().chain(&selection.warnings).cloned());
    notes.extend(kernel::describe_missing(&staged.missing_firmware));
    let mut tree = staged.tree;
    let index = TreePath::new(at::KMODS).expect("a plain path");
    tree.insert_file(
        index,
        0o644,
        Content::from(staged.index),
        Provenance::new(words::KMOD_INDEX).because(because(line).to_string()),
    )?;
    Ok(tree)
}

/// The machine that `@host` means: this one, or one whose /sys and /proc are in
/// a folder beside the profile.
fn machine(pattern: &Located<String>) -> Result<Option<Machine>, MachineError> {
    match Pattern::parse(&pattern.value).pick {
        Pick::Host(None) => Machine::load(Path::new("/")).map(Some),
        Pick::Host(Some(folder)) => Machine::load(&pattern.place.dir().join(folder)).map(Some),
        _ => Ok(None),
    }
}

/// The root and its layers, the lowest first.
fn stage_layers(
    plan: &Plan,
    root: &RootPlan,
    sources: &Sources,
    notes: &mut Vec<String>,
) -> Result<Vec<Tree>, StageError> {
    let mut below = stage_root(plan, root, sources, notes)?;
    let Some(first) = root.layers.first() else { return Ok(vec![below]) };
    let failed = |layer: &LayerPlan| {
        let place = layer.name.place.clone();
        move |source| StageError::Layer { place, source }
    };
    layer::check(&below).map_err(failed(first))?;
    let mut staged = vec![below.clone()];
    for (layer, source) in root.layers.iter().zip(&sources.layers) {
        let mut wanted = source.clone().unwrap_or_else(|| below.clone());
        exclude(&mut wanted, root.exclude_usual && source.is_some(), &layer.exclude);
        let overlays = merge_overlays(plan, &layer.overlays)?;
        lay(&mut wanted, overlays, &layer.name.place, notes)?;
        if source.is_some() {
            add_mount_points(&mut wanted)?;
        }
        if plan.clamp {
            wanted.clamp_mtimes(plan.epoch);
        }
        staged.push(layer::over(&below, &wanted).map_err(failed(layer))?);
        // The next one cannot count on a layer that is not always there.
        if !layer.extra {
            below = wanted;
        }
    }
    Ok(staged)
}

fn exclude(tree: &mut Tree, usual: bool, globs: &[Located<String>]) {
    if usual {
        exclusion::exclude_usual(tree);
    }
    for glob in globs {
        exclusion::exclude(tree, &glob.value);
    }
}

/// What the handover moves its mounts to, and some minimal roots lack.
fn add_mount_points(tree: &mut Tree) -> Result<(), Conflict> {
    for name in ["dev", "proc", "sys", "run"] {
        let path = TreePath::new(name).expect("a plain path");
        if !tree.contains(&path) {
            tree.insert_dir(path, Meta::new(0o755), Provenance::new("a mount point of the handover"))?;
        }
    }
    Ok(())
}

fn stage_root(plan: &Plan, root: &RootPlan, sources: &Sources, notes: &mut Vec<String>) -> Result<Tree, StageError> {
    let mut tree = sources.root.clone().expect("a root was loaded for overlay mode");
    exclude(&mut tree, root.exclude_usual, &root.exclude);
    let overlays = merge_overlays(plan, &root.overlays)?;
    lay(&mut tree, overlays, &root.from.place, notes)?;
    add_mount_points(&mut tree)?;
    if tree.get(&TreePath::root()).is_some_and(|root| root.meta.uid != 0) {
        notes.push("the root's `/` does not belong to root: an archive made as root keeps its owners".into());
    }
    if plan.clamp {
        tree.clamp_mtimes(plan.epoch);
    }
    Ok(tree)
}

fn stage_package(
    plan: &Plan,
    package: &PackagePlan,
    sources: &Sources,
    notes: &mut Vec<String>,
) -> Result<StagedPackage, StageError> {
    match &package.source {
        PackageSource::Archive(path) => {
            let read = |source| StageError::Read { path: path.clone(), source };
            let len = path.metadata().map_err(read)?.len();
            Ok(StagedPackage::Archive(Content::host(path.as_path(), len)))
        }
        PackageSource::Parts(parts) => {
            let mut tree = Tree::new();
            let staged = stage_parts(plan, parts, sources)?;
            lay(&mut tree, staged, &package.place, notes)?;
            tree.for_each_meta(|meta| meta.mtime = plan.epoch);
            Ok(StagedPackage::Tree(tree))
        }
    }
}

/// Userland first, programs over it, overlays on top.
fn stage_parts(plan: &Plan, parts: &Parts, sources: &Sources) -> Result<Tree, StageError> {
    let mut tree = match &parts.userland {
        Some(userland) => {
            userland::tree(userland).map_err(|source| StageError::Userland { place: userland.place.clone(), source })?
        }
        None => Tree::new(),
    };
    for program in &parts.programs {
        let closure = program_closure(program, sources)?;
        lay(&mut tree, closure, &program.place, &mut Vec::new())?;
    }
    let overlays = merge_overlays(plan, &parts.overlays)?;
    if let Some(first) = parts.overlays.first() {
        lay(&mut tree, overlays, &first.place, &mut Vec::new())?;
    }
    Ok(tree)
}

fn program_closure(program: &Located<ProgramSource>, sources: &Sources) -> Result<Tree, StageError> {
    let from = Provenance::new(format!("profile {}: programs", program.place.short()));
    let host = HostSysroot::new("/");
    let (sysroot, written): (&dyn Sysroot, _) = match &program.value {
        ProgramSource::Host(path) => (&host, path),
        ProgramSource::Root(path) => (sources.root.as_ref().expect("the plan allows it in overlay mode only"), path),
    };
    let place = || program.place.clone();
    let path = TreePath::new(written).map_err(|source| StageError::ProgramPath { place: place(), source })?;
    let failed = |source| StageError::Program { place: place(), source };
    let from = from.nearer(format!("{} {path}", words::PROGRAM));
    let beside = companions::of(sysroot, &path).map_err(failed)?;
    let beside = beside.into_iter().map(|file| (file, from.nearer(format!("{} {path}", words::COMPANION))));
    let needed = elf::closure_of(sysroot, [(path.clone(), from.clone())].into_iter().chain(beside)).map_err(failed)?;
    let paths: Vec<TreePath> = needed.iter().map(|needed| needed.path.clone()).collect();
    let packages = dpkg::owners(sysroot, &paths).map_err(failed)?;
    let mut tree = Tree::new();
    for Needed { path, leaf, from } in needed {
        let package = packages.get(&path).map(|package| format!("{} {package}", words::PACKAGE));
        tree.insert_leaf(path, leaf, package.map_or(from.clone(), |package| from.nearer(package)))?;
    }
    Ok(tree)
}

/// Overlays of one list stand side by side: a path in two of them is an error,
/// since the profile does not say which one is meant.
fn merge_overlays(plan: &Plan, overlays: &[Located<OverlaySource>]) -> Result<Tree, StageError> {
    let mut merged = Tree::new();
    for source in overlays {
        let place = &source.place;
        let overlay = overlay::load(source, plan.epoch)?;
        if let Some(twice) = overlay.walk().find(|item| !item.is_dir() && merged.contains(item.path)) {
            let first = merged.get(twice.path).expect("just found").provenance.clone();
            let source = Conflict::Twice { path: twice.path.clone(), first, second: twice.provenance.clone() };
            return Err(StageError::Twice { place: place.clone(), source });
        }
        merged.lay_over(overlay).map_err(|source| StageError::DoesNotFit { place: place.clone(), source })?;
    }
    Ok(merged)
}

fn lay(tree: &mut Tree, over: Tree, place: &Place, notes: &mut Vec<String>) -> Result<(), StageError> {
    let replaced = tree.lay_over(over).map_err(|source| StageError::DoesNotFit { place: place.clone(), source })?;
    notes.extend(replaced.into_iter().map(|replaced| replaced.to_string()));
    Ok(())
}
