//! Where a plan's inputs come from: folders, archives, this system, and the
//! cache of what was fetched from the distribution.
//!
//! Loading never runs a program. [`fetch`] alone does, and only when asked.

mod cache;
pub mod fetch;
mod loader;
mod program;

use std::path::{Path, PathBuf};

use tree::{Content, Provenance, Tree, TreePath};

use crate::arch::Arch;
use crate::bootloader;
use crate::deb::{self, Kept};
use crate::kernel::Kernel;
use crate::plan::{FirmwareSource, KernelSource, LayerPlan, Payload, Plan, RootSource};
use crate::profile::{Located, Place};

pub use cache::{Cache, Wanted};
pub use loader::{LoaderFiles, Need};

/// Everything a build reads, loaded: trees whose content is still on disk.
#[derive(Debug)]
pub struct Sources {
    pub kernel: Kernel,
    /// Where the kernel came out of a package.
    pub kernel_package: Option<Kept>,
    /// In overlay mode.
    pub root: Option<Tree>,
    /// Of each layer over it the whole root that it is made from, if it has one.
    pub layers: Vec<Option<Tree>>,
    /// Trees of firmware that the plan wants microcode from.
    pub microcode: Vec<(Tree, Provenance)>,
    pub loaders: LoaderFiles,
}

#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("{0}")]
    NotFetched(Missing),
    #[error("{place}: {what}")]
    Bad {
        place: Place,
        what: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("{}: the boot loader's file {file} is not in it", path.display())]
    NoLoaderFile { file: &'static str, path: PathBuf },
    #[error("the boot loader's package cannot be read")]
    LoaderPackage(#[from] deb::DebError),
    #[error("the boot loader's file {} cannot be read", path.display())]
    LoaderFile { path: PathBuf, source: std::io::Error },
}

/// What the cache lacks.
#[derive(Debug)]
pub struct Missing(pub Vec<Wanted>);

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "not fetched yet:")?;
        for wanted in &self.0 {
            writeln!(f, "  {wanted}")?;
        }
        write!(f, "  hint: the same command with --fetch gets them with the system's own apt-get and mmdebstrap")
    }
}

/// What has to be fetched before `plan` can be built.
pub fn missing(plan: &Plan, cache: &Cache) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    if let KernelSource::Deb(name) = &plan.kernel.value {
        wanted.push(Wanted::Kernel { package: name.clone(), arch: plan.arch });
    }
    if let Payload::Root(root) = &plan.payload {
        let layers = root.layers.iter().filter_map(|layer| layer.from.as_ref());
        for from in [&root.from].into_iter().chain(layers) {
            if let RootSource::Mmdebstrap { suite, include } = &from.value {
                wanted.push(Wanted::Root { suite: suite.clone(), include: include.clone(), arch: plan.arch });
            }
        }
    }
    wanted.extend(loader::wanted(&bootloader::needs(plan), plan.arch, plan.boot.files.as_ref()));
    wanted.extend(program::wanted(plan));
    wanted.retain(|wanted| !cache.path(wanted).is_file());
    wanted
}

impl Sources {
    pub fn load(plan: &Plan, cache: &Cache) -> Result<Self, SourceError> {
        let missing = missing(plan, cache);
        if !missing.is_empty() {
            return Err(SourceError::NotFetched(Missing(missing)));
        }
        let root = match &plan.payload {
            Payload::Root(root) => Some(load_root(&root.from, "root.from", plan.arch, cache)?),
            Payload::Packages(_) => None,
        };
        let layers = match &plan.payload {
            Payload::Root(root) => &root.layers[..],
            Payload::Packages(_) => &[],
        };
        let load_layer = |layer: &LayerPlan| {
            let from = layer.from.as_ref();
            from.map(|from| load_root(from, "layer.from", plan.arch, cache)).transpose()
        };
        let layers = layers.iter().map(load_layer).collect::<Result<_, _>>()?;
        let (mut kernel, kernel_package) = load_kernel(plan, cache, root.as_ref())?;
        check_machine(plan, &kernel)?;
        for from in &plan.firmware {
            let (firmware, _) = load_firmware(from, "kernel.firmware", root.as_ref())?;
            kernel
                .add_firmware(&firmware)
                .map_err(|e| bad(&from.place, "firmware cannot be added to the kernel's", e))?;
        }
        let own = plan.boot.files.as_ref();
        let mut loaders = LoaderFiles::load(&bootloader::needs(plan), plan.arch, own, cache)?;
        for (extra, content, from) in program::load(plan, cache)? {
            loaders.insert(extra.need, content, from);
        }
        let microcode =
            plan.initramfs.microcode.iter().map(|from| load_firmware(from, "initramfs.microcode", root.as_ref()));
        let microcode = microcode.collect::<Result<_, _>>()?;
        Ok(Self { kernel, kernel_package, root, layers, microcode, loaders })
    }
}

/// `key` is where the profile names it.
fn load_root(from: &Located<RootSource>, key: &str, arch: Arch, cache: &Cache) -> Result<Tree, SourceError> {
    let Located { value, place } = from;
    let cause = |what: String| Provenance::new(what).because(format!("profile {}: {key}", place.short()));
    match value {
        RootSource::Dir(dir) => tree::host::load(dir, tree::host::Owners::AsIs, &cause("the root's folder".into()))
            .map_err(|e| bad(place, "the root cannot be read", e)),
        RootSource::Tar(file) => tree::tar::load(file, &cause(format!("the root's archive {}", file_name(file))))
            .map_err(|e| bad(place, "the root cannot be read", e)),
        RootSource::Mmdebstrap { suite, include } => {
            let file = cache.path(&Wanted::Root { suite: suite.clone(), include: include.clone(), arch });
            tree::tar::load(&file, &cause(format!("mmdebstrap {suite}")))
                .map_err(|e| bad(place, "the root cannot be read", e))
        }
    }
}

/// `key` is where the profile names it.
fn load_firmware(
    from: &Located<FirmwareSource>,
    key: &str,
    root: Option<&Tree>,
) -> Result<(Tree, Provenance), SourceError> {
    let place = &from.place;
    let cause = |what: String| Provenance::new(what).because(format!("profile {}: {key}", place.short()));
    let folder = |dir: &Path, from: &Provenance| {
        tree::host::load(dir, tree::host::Owners::Root, from).map_err(|e| bad(place, "firmware cannot be read", e))
    };
    match &from.value {
        FirmwareSource::Root => {
            let root = root.expect("the plan allows `root` in overlay mode only");
            Ok((root.clone(), cause("the root's firmware".into())))
        }
        FirmwareSource::Host => {
            let from = cause("this system's firmware".into());
            Ok((folder(Path::new("/lib/firmware"), &from)?, from))
        }
        FirmwareSource::Dir(dir) => {
            let from = cause("a folder of firmware".into());
            Ok((folder(dir, &from)?, from))
        }
        FirmwareSource::DebFile(file) => {
            let from = cause(format!("package {}", file_name(file)));
            let tree = deb::load(file, &from).map_err(|e| bad(place, "the package cannot be read", e))?;
            Ok((tree, from))
        }
    }
}

fn load_kernel(plan: &Plan, cache: &Cache, root: Option<&Tree>) -> Result<(Kernel, Option<Kept>), SourceError> {
    let place = &plan.kernel.place;
    let because = format!("profile {}: kernel.from", place.short());
    let deb = |path: &Path, name: String| {
        let from = Provenance::new(name).because(because.clone());
        let loaded = cache.keep(path).load(path, &from);
        let (tree, kept) = loaded.map_err(|e| bad(place, "the kernel's package cannot be read", e))?;
        Ok((Kernel::from_tree(&tree, &from).map_err(|e| bad(place, "no kernel", e))?, Some(kept)))
    };
    let kernel = match &plan.kernel.value {
        KernelSource::Deb(name) => {
            let path = cache.path(&Wanted::Kernel { package: name.clone(), arch: plan.arch });
            return deb(&path, format!("package {name}"));
        }
        KernelSource::DebFile(path) => return deb(path, format!("package {}", file_name(path))),
        KernelSource::Dir(dir) => {
            let from = Provenance::new("the kernel's folder").because(because.clone());
            let tree = tree::host::load(dir, tree::host::Owners::Root, &from)
                .map_err(|e| bad(place, "the kernel cannot be read", e))?;
            Kernel::from_tree(&tree, &from).map_err(|e| bad(place, "no kernel", e))
        }
        KernelSource::Host => {
            let from = Provenance::new("this system's kernel").because(because.clone());
            let tree = host_kernel(&from).map_err(|e| bad(place, "this system's kernel cannot be read", e))?;
            Kernel::from_tree(&tree, &from).map_err(|e| bad(place, "no kernel on this system", e))
        }
        KernelSource::Root => {
            let from = Provenance::new("the root's kernel").because(because.clone());
            let root = root.expect("the plan allows `root` in overlay mode only");
            Kernel::from_tree(root, &from).map_err(|e| bad(place, "no kernel in the root", e))
        }
    };
    Ok((kernel?, None))
}

fn check_machine(plan: &Plan, kernel: &Kernel) -> Result<(), SourceError> {
    let place = &plan.kernel.place;
    let told = Arch::of_kernel(&kernel.image).map_err(|e| bad(place, "the kernel cannot be read", e))?;
    let wanted = plan.arch;
    match told {
        Some(arch) if arch != wanted => Err(format!("it is for {arch}, and `arch` is \"{wanted}\"")),
        // No loader unpacks it, and firmware starts EFI applications only.
        None if wanted == Arch::Aarch64 => Err("it is no EFI application; `gunzip` it if it is compressed".into()),
        _ => Ok(()),
    }
    .map_err(|what| bad(place, "this kernel cannot be started", what))
}

type HostError = Box<dyn std::error::Error + Send + Sync>;

/// `/boot` and `/lib/modules` of the release that runs, and of no other.
fn host_kernel(from: &Provenance) -> Result<Tree, HostError> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let release = release.trim();
    let mut tree = Tree::new();
    for file in [format!("boot/vmlinuz-{release}"), format!("boot/config-{release}")] {
        let path = Path::new("/").join(&file);
        if let Ok(meta) = path.metadata() {
            tree.insert_file(TreePath::new(&file)?, 0o644, Content::host(path, meta.len()), from.clone())?;
        }
    }
    let modules = format!("lib/modules/{release}");
    let host = Path::new("/").join(&modules);
    if host.is_dir() {
        let loaded = tree::host::load(&host, tree::host::Owners::Root, from)?;
        tree.graft(&TreePath::new(&modules)?, loaded)?;
    }
    Ok(tree)
}

fn bad(place: &Place, what: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> SourceError {
    SourceError::Bad { place: place.clone(), what: what.into(), source: source.into() }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
